"""Time columns as int64 microseconds UTC, rounded so that no feature ever looks older than it is.

Where precision is lost, **feature times go up and label times go down**: the reverse would let a feature of the next
microsecond into a training row. A date is all of its day: known at its end as a feature, asked at its start as a label.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import DataError, SchemaError
from mercury.time import DAY

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

NULL_INSTANT = np.iinfo(np.int64).min
"""What a null time becomes; no instant that Arrow can print is this one."""

_PER_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}


class Side(Enum):
    """Which way a time that is finer or coarser than a microsecond is rounded."""

    FEATURE = "ceil"
    LABEL = "floor"


def instants(
    column: pa.Array | pa.ChunkedArray, side: Side, *, name: str = "time", assume_tz: str | None = None
) -> npt.NDArray[np.int64]:
    """Microseconds UTC of a timestamp or date column; nulls are `NULL_INSTANT`.

    Parameters
    ----------
    side : a feature's time is rounded up, a label's down.
    name : the column's name, for errors.
    assume_tz : time zone of timestamps that carry none, for example ``"America/New_York"``.

    Raises
    ------
    SchemaError : the column is no time, or has no zone and none is assumed.
    DataError : a time is out of the range of int64 microseconds.
    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], column.type)
    kind = values.type
    if pa.types.is_date(kind):
        days = values.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
        counts = _numbers(days)
        return _fill(_scaled(counts + (1 if side is Side.FEATURE else 0), DAY, name), values)
    if not pa.types.is_timestamp(kind):
        raise SchemaError(f"column {name!r} is {kind}, not a time", fix="Cast it to a timestamp with a time zone")
    if kind.tz is None:
        if assume_tz is None:
            raise SchemaError(
                f"column {name!r} is a timestamp without a time zone", fix="Store it in UTC, or say assume_tz='UTC'"
            )
        values = pc.assume_timezone(values, assume_tz, ambiguous="latest" if side is Side.FEATURE else "earliest")
    counts = _numbers(values.cast(pa.int64()))
    if kind.unit == "ns":
        rounded = -(-counts // 1000) if side is Side.FEATURE else counts // 1000
        return _fill(rounded, values)
    return _fill(_scaled(counts, _PER_UNIT[kind.unit], name), values)


def to_timestamps(micros: npt.NDArray[np.int64]) -> pa.Array:
    """A ``timestamp[us, UTC]`` array of microseconds; `NULL_INSTANT` becomes null."""
    return pa.array(micros, pa.int64(), mask=micros == NULL_INSTANT).cast(UTC_MICROSECONDS)


def _numbers(values: pa.Array) -> npt.NDArray[np.int64]:
    filled = values.fill_null(0) if values.null_count else values
    return filled.to_numpy(zero_copy_only=False)


def _scaled(counts: npt.NDArray[np.int64], factor: int, name: str) -> npt.NDArray[np.int64]:
    if factor == 1:
        return counts
    limit = np.iinfo(np.int64).max // factor
    if len(counts) and (counts.max() > limit or counts.min() < -limit):
        raise DataError(
            f"column {name!r} has a time outside the years -290308 to 294247", fix="Microseconds reach no further"
        )
    return counts * factor


def _fill(micros: npt.NDArray[np.int64], values: pa.Array) -> npt.NDArray[np.int64]:
    if values.null_count:
        micros = micros.copy()
        micros[values.is_null().to_numpy(zero_copy_only=False)] = NULL_INSTANT
    return micros
