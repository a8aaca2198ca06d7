"""A stable 64-bit hash of key columns, by which every part of Mercury puts a key into the same bucket.

Feature runs, shuffle partitions and streaming key groups lie on disk by this hash, so its values are a format: they may
never change. Equal keys hash alike whatever their Arrow encoding is.

====================================  ================================================================
values                                hash of one value
====================================  ================================================================
integers, booleans                    splitmix64 of the value as 64 bits (two's complement)
dates, times, timestamps, durations   splitmix64 of the days or the microseconds (finer units floored)
floats                                splitmix64 of the IEEE 754 double's bits; -0.0 as 0.0, one NaN
text, binary                          splitmix64 of FNV-1a of the bytes
null                                  `NULL_HASH`
several columns                       splitmix64(splitmix64(left) ^ right), from the left
====================================  ================================================================

Sources: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (splitmix64);
Fowler, Noll and Vo, draft-eastlake-fnv (FNV-1a, 64 bits).
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import SchemaError, UsageError

NULL_HASH = 0x9AE16A3B2F90404F
"""Hash of a null in any column. A value that hashes to it as well is legal, only unlikely."""

Hashes = npt.NDArray[np.uint64]


def hash_keys(columns: Sequence[pa.Array | pa.ChunkedArray]) -> Hashes:
    """One uint64 per row of the key columns, which have the same length.

    Raises `SchemaError` for a type that is no key (lists, structs, decimals) and for columns of unequal length,
    `UsageError` when there is no column.

    >>> hex(hash_keys([pa.array([0])])[0])
    '0xe220a8397b1dcdaf'
    """
    if not columns:
        raise UsageError("no key column to hash", fix="Name at least one key column")
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise SchemaError(f"key columns have different lengths: {sorted(lengths)}")
    hashes = _hash_column(columns[0])
    for column in columns[1:]:
        hashes = _combine(hashes, _hash_column(column))
    return hashes


def bucket_of(columns: Sequence[pa.Array | pa.ChunkedArray], buckets: int) -> npt.NDArray[np.int64]:
    """The bucket, ``hash % buckets``, of each row of the key columns.

    Raises as `hash_keys` does, and `UsageError` when `buckets` is not positive.
    """
    if buckets < 1:
        raise UsageError(f"{buckets} buckets", fix="Ask for one bucket or more")
    return (hash_keys(columns) % np.uint64(buckets)).astype(np.int64)


def _hash_column(column: pa.Array | pa.ChunkedArray) -> Hashes:
    if isinstance(column, pa.ChunkedArray):
        parts = [_hash_column(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), NULL_HASH, np.uint64)
    if pa.types.is_dictionary(kind):
        return _hash_dictionary(column)
    if isinstance(column, pa.ExtensionArray):
        return _hash_column(column.storage)
    if _is_bytes(kind):
        hashes = _hash_bytes(column)
    elif pa.types.is_floating(kind):
        hashes = _hash_floats(column)
    else:
        hashes = _splitmix64(_as_bits(column))
    if column.null_count:
        hashes[column.is_null().to_numpy(zero_copy_only=False)] = NULL_HASH
    return hashes


def _hash_dictionary(column: pa.DictionaryArray) -> Hashes:
    # One more slot at the end stands for a null index; a null inside the dictionary has its hash already.
    values = np.append(_hash_column(column.dictionary), np.uint64(NULL_HASH))
    slots = pc.fill_null(column.indices.cast(pa.int64()), len(values) - 1)
    return values[slots.to_numpy(zero_copy_only=False)]


def _is_bytes(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _hash_bytes(column: pa.Array) -> Hashes:
    kind = column.type
    if not (pa.types.is_large_binary(kind) or pa.types.is_large_string(kind)):
        if pa.types.is_fixed_size_binary(kind):
            column = column.cast(pa.binary())
        column = column.cast(pa.large_string() if pa.types.is_string(kind) or _is_view(kind) else pa.large_binary())
    if not len(column):
        return np.empty(0, np.uint64)
    _, offsets, data = column.buffers()
    starts = np.frombuffer(offsets, np.int64, count=len(column) + 1, offset=8 * column.offset)
    content = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    return _splitmix64(_fnv1a(starts, content))


def _is_view(kind: pa.DataType) -> bool:
    return pa.types.is_string_view(kind)


def _hash_floats(column: pa.Array) -> Hashes:
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0  # -0.0 + 0.0 is 0.0
    values[np.isnan(values)] = np.nan
    return _splitmix64(values.view(np.uint64))


def _as_bits(column: pa.Array) -> npt.NDArray[np.uint64]:
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        column = _microseconds(column, kind.unit)
    elif pa.types.is_time(kind):
        column = _microseconds(column.cast(pa.int32()) if pa.types.is_time32(kind) else column, kind.unit)
    elif pa.types.is_date(kind):
        column = column.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    elif not pa.types.is_integer(kind):
        raise SchemaError(
            f"a column of type {kind} cannot be a key", fix="Keys are integers, text, binary, floats, dates or times"
        )
    if column.null_count:
        column = column.fill_null(0)
    values = column.to_numpy(zero_copy_only=False)
    return (values if values.dtype == np.uint64 else values.astype(np.int64)).view(np.uint64)


def _microseconds(column: pa.Array, unit: str) -> pa.Array:
    counts = column.cast(pa.int64())
    if unit == "ns":
        values = counts.fill_null(0).to_numpy(zero_copy_only=False) // 1000
        return pa.array(values)
    scale = {"s": 1_000_000, "ms": 1_000, "us": 1}[unit]
    return counts if scale == 1 else pc.multiply(counts, scale)


@numba.njit(cache=True, nogil=True, inline="always")
def _mix(bits: np.uint64) -> np.uint64:
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _splitmix64(bits: Hashes) -> Hashes:
    mixed = np.empty(len(bits), np.uint64)
    for row in range(len(bits)):
        mixed[row] = _mix(bits[row])
    return mixed


@numba.njit(cache=True, nogil=True)
def _combine(left: Hashes, right: Hashes) -> Hashes:
    mixed = np.empty(len(left), np.uint64)
    for row in range(len(left)):
        mixed[row] = _mix(_mix(left[row]) ^ right[row])
    return mixed


@numba.njit(cache=True, nogil=True)
def _fnv1a(starts: npt.NDArray[np.int64], content: npt.NDArray[np.uint8]) -> Hashes:
    hashes = np.empty(len(starts) - 1, np.uint64)
    for row in range(len(hashes)):
        digest = np.uint64(0xCBF29CE484222325)
        for at in range(starts[row], starts[row + 1]):
            digest = (digest ^ np.uint64(content[at])) * np.uint64(0x100000001B3)
        hashes[row] = digest
    return hashes
