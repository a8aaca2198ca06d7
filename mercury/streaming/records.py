"""Kafka record batches (message format v2) to Arrow columns, a whole batch at a time.

A record on the wire is a chain of zigzag varints (KIP-98): length, attributes, timestamp delta, offset delta, key,
value, headers. The numba kernel walks the chain once and copies keys and values out; the numpy twin finds the record
starts in Python and decodes the fields of all records together. Both give the same columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numba
import numpy as np
import pyarrow as pa

from mercury.errors import CorruptDataError

RECORDS = pa.schema(
    [
        pa.field("offset", pa.int64()),
        pa.field("timestamp", pa.timestamp("us", tz="UTC")),  # null where the record has none
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),  # null is a tombstone
    ]
)
"""Columns of the records of one partition, in offset order."""

Kernel = Literal["numba", "numpy"]

_LOG_APPEND_TIME = 1
_FIELDS = 6  # offset delta, timestamp delta, key start, key length, value start, value length
_MAX_VARINT = 10


def empty() -> pa.Table:
    """No records."""
    return RECORDS.empty_table()


def decode_batch(
    payload: Any,
    count: int,
    base_offset: int,
    first_timestamp: int,
    max_timestamp: int,
    timestamp_type: int,
    kernel: Kernel = "numba",
) -> pa.RecordBatch:
    """The records of one decompressed batch.

    Parameters
    ----------
    payload : bytes-like, the records after the 61-byte header, decompressed.
    count : number of records that the header promises.
    base_offset, first_timestamp, max_timestamp : from the header; times in milliseconds, -1 for none.
    timestamp_type : 0 for the producer's time, 1 for the broker's.

    Raises `CorruptDataError` when the payload does not hold exactly `count` well-formed records.
    """
    buffer = np.frombuffer(payload, dtype=np.uint8)
    fields = np.empty((_FIELDS, count), dtype=np.int64)
    walk: Callable[[np.ndarray, np.ndarray], int] = _walk if kernel == "numba" else _walk_numpy
    position = walk(buffer, fields)
    if position != len(buffer):
        raise CorruptDataError(
            f"a record batch of {count} records and {len(buffer)} bytes cannot be decoded",
            where=f"base offset {base_offset}",
            fix="The CRC held, so the producer wrote it so; find out which client that was",
        )
    if timestamp_type == _LOG_APPEND_TIME:
        milliseconds = np.full(count, max_timestamp, dtype=np.int64)
    else:
        milliseconds = first_timestamp + fields[1]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(base_offset + fields[0]),
            _timestamps(milliseconds, first_timestamp),
            slices(buffer, fields[2], fields[3], pa.binary(), kernel),
            slices(buffer, fields[4], fields[5], pa.binary(), kernel),
        ],
        schema=RECORDS,
    )


def from_records(records: Iterable[Any]) -> pa.Table:
    """The same columns from objects with ``offset``, ``timestamp`` (ms), ``key`` and ``value`` (bytes or None)."""
    rows = list(records)
    milliseconds = np.array([-1 if row.timestamp is None else row.timestamp for row in rows], dtype=np.int64)
    return pa.Table.from_arrays(
        [
            pa.array([row.offset for row in rows], pa.int64()),
            pa.array(milliseconds * 1000, pa.timestamp("us", tz="UTC"), mask=milliseconds < 0),
            pa.array([row.key for row in rows], pa.binary()),
            pa.array([row.value for row in rows], pa.binary()),
        ],
        schema=RECORDS,
    )


def concat(parts: Sequence[pa.RecordBatch | pa.Table]) -> pa.Table:
    """One table of contiguous columns from parts in offset order."""
    tables = [pa.Table.from_batches([part]) if isinstance(part, pa.RecordBatch) else part for part in parts]
    return pa.concat_tables(tables).combine_chunks() if tables else empty()


def between(records: pa.Table, low: int, high: int) -> pa.Table:
    """The records with ``low <= offset < high``; a slice, since offsets increase."""
    offsets = records.column("offset").to_numpy()
    start, stop = np.searchsorted(offsets, [low, high])
    return records.slice(start, stop - start)


def slices(
    buffer: np.ndarray, starts: np.ndarray, lengths: np.ndarray, kind: pa.DataType, kernel: Kernel = "numba"
) -> pa.Array:
    """A binary or string array of the bytes ``buffer[start : start + length]``; a negative length is a null.

    String bytes are not validated here.
    """
    present = lengths >= 0
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(np.where(present, lengths, 0), out=offsets[1:])
    if kernel == "numba":
        data = np.empty(int(offsets[-1]), dtype=np.uint8)
        _gather(buffer, starts, lengths, offsets, data)
    else:
        parts = [buffer[start : start + length] for start, length in zip(starts, lengths, strict=True) if length > 0]
        data = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint8)
    validity = None if present.all() else pa.array(present).buffers()[1]
    return pa.Array.from_buffers(
        kind, len(lengths), [validity, pa.py_buffer(offsets), pa.py_buffer(data)], int((~present).sum())
    )


def _timestamps(milliseconds: np.ndarray, first_timestamp: int) -> pa.Array:
    mask = milliseconds < 0 if first_timestamp < 0 else None
    return pa.array(milliseconds * 1000, pa.int64(), mask=mask).cast(pa.timestamp("us", tz="UTC"))


@numba.njit(cache=True, nogil=True)
def _varint(buffer: np.ndarray, position: int) -> tuple[int, int]:
    value = np.uint64(0)
    shift = np.uint64(0)
    for step in range(10):
        if position + step >= len(buffer):
            return 0, -1
        byte = buffer[position + step]
        value |= np.uint64(byte & 0x7F) << shift
        if byte < 0x80:
            return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), position + step + 1  # type: ignore[return-value]
        shift += np.uint64(7)
    return 0, -1


@numba.njit(cache=True, nogil=True)
def _walk(buffer: np.ndarray, fields: np.ndarray) -> int:
    position = 0
    for row in range(fields.shape[1]):
        length, position = _varint(buffer, position)
        if position < 0 or length <= 0 or position + length > len(buffer):
            return -1
        end = position + length
        timestamp_delta, position = _varint(buffer, position + 1)  # one byte of attributes, unused
        if position < 0:
            return -1
        offset_delta, position = _varint(buffer, position)
        if position < 0:
            return -1
        key_length, position = _varint(buffer, position)
        if position < 0:
            return -1
        key_start = position
        position += max(key_length, 0)
        if position > end:
            return -1
        value_length, position = _varint(buffer, position)
        if position < 0:
            return -1
        value_start = position
        if position + max(value_length, 0) > end:
            return -1
        fields[0, row] = offset_delta
        fields[1, row] = timestamp_delta
        fields[2, row] = key_start
        fields[3, row] = key_length
        fields[4, row] = value_start
        fields[5, row] = value_length
        position = end
    return position


@numba.njit(cache=True, nogil=True)
def _gather(buffer: np.ndarray, starts: np.ndarray, lengths: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> None:
    for row in range(len(starts)):
        if lengths[row] > 0:
            out[offsets[row] : offsets[row + 1]] = buffer[starts[row] : starts[row] + lengths[row]]


def _walk_numpy(buffer: np.ndarray, fields: np.ndarray) -> int:
    count = fields.shape[1]
    data = buffer.tobytes()
    starts = np.empty(count, dtype=np.int64)
    ends = np.empty(count, dtype=np.int64)
    position = 0
    for row in range(count):
        value = shift = 0
        while True:
            if position >= len(data) or shift > 63:
                return -1
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        length = (value >> 1) ^ -(value & 1)
        starts[row] = position + 1
        position += length
        if length <= 0 or position > len(data):
            return -1
        ends[row] = position
    fields[1], cursor, sound = _varints_numpy(buffer, starts)
    for target in (0, 3):
        fields[target], cursor, step_sound = _varints_numpy(buffer, cursor)
        sound &= step_sound
    fields[2] = cursor
    cursor = cursor + np.maximum(fields[3], 0)
    sound &= cursor <= ends
    fields[5], fields[4], step_sound = _varints_numpy(buffer, cursor)
    sound &= step_sound & (fields[4] + np.maximum(fields[5], 0) <= ends)
    return position if bool(sound.all()) else -1


def _varints_numpy(buffer: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = np.zeros(len(positions), dtype=np.uint64)
    cursor = positions.copy()
    open_ = np.ones(len(positions), dtype=bool)
    sound = np.ones(len(positions), dtype=bool)
    for step in range(_MAX_VARINT):
        inside = cursor < len(buffer)
        sound &= inside | ~open_
        byte = buffer[np.minimum(cursor, max(len(buffer) - 1, 0))].astype(np.uint64)
        values |= np.where(open_, (byte & np.uint64(0x7F)) << np.uint64(7 * step), np.uint64(0))
        cursor += open_
        open_ &= byte >= 0x80
        if not open_.any():
            break
    sound &= ~open_
    signed = (values >> np.uint64(1)).astype(np.int64) ^ -(values & np.uint64(1)).astype(np.int64)
    return signed, cursor, sound
