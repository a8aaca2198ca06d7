"""Numbers, times and names between NumPy and Arrow, by their buffers.

pyarrow's own constructors and conversions import pandas when they are first called: half a second of a command that has
no other use for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def to_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column of 64-bit floats, or of 32 or 64-bit integers without nulls; a null among floats is NaN.

    >>> to_numpy(from_floats(np.array([1.5, np.nan])).slice(1)).tolist()
    [nan]
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = {"double": np.float64, "int64": np.int64, "int32": np.int32}[str(array.type)]
    part = slice(array.offset, array.offset + len(array))
    valid, data = array.buffers()
    values = np.frombuffer(data, kind)[part]
    if not array.null_count:
        return values
    known = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[part].astype(bool)
    return np.where(known, values, np.nan)


def from_floats(values: np.ndarray) -> pa.Array:
    """Floats of 64 bits, null where they are NaN."""
    values = np.ascontiguousarray(values, np.float64)
    known = ~np.isnan(values)
    valid = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(pa.float64(), len(values), [valid, pa.py_buffer(values)])


def from_times(micro: np.ndarray) -> pa.Array:
    """Instants in UTC, of microseconds since 1970."""
    kind = pa.timestamp("us", tz="UTC")
    return pa.Array.from_buffers(kind, len(micro), [None, pa.py_buffer(np.ascontiguousarray(micro, np.int64))])


def repeated_names(names: Sequence[str], times: int) -> pa.Array:
    """Each name so many times, one after the other.

    >>> repeated_names(["a", "über"], 2).to_pylist()
    ['a', 'a', 'über', 'über']
    """
    texts = [name.encode() for name in names]
    ends = np.cumsum([0, *map(len, texts)])
    buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(b"".join(texts))]
    places = np.repeat(np.arange(len(texts), dtype=np.int64), times)
    taken = pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers).take(taken).cast(pa.string())
