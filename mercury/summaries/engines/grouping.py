"""Group numbers of rows, and values as numbers that sort as they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Grouping:
    """``number``: int64 per row; ``count`` groups in the order of their first rows, whose places are ``first``."""

    number: np.ndarray
    count: int
    first: np.ndarray


def group_rows(columns: Sequence[pa.ChunkedArray | pa.Array], rows: int) -> Grouping:
    """Rows with equal values in all columns get the same number; nulls equal each other, so do NaN, and -0.0 is 0.0.

    Without columns all rows are one group.
    """
    if not columns:
        return Grouping(np.zeros(rows, np.int64), min(rows, 1), np.zeros(min(rows, 1), np.int64))
    number, count = _codes(columns[0])
    for column in columns[1:]:
        codes, size = _codes(column)
        if count * max(size, 1) >= 2**62:
            number, count = _codes(pa.array(number))
        number, count = number * size + codes, count * size
    if len(columns) > 1:
        number, count = _codes(pa.array(number))
    first = np.zeros(count, np.int64)
    first[number[::-1]] = np.arange(rows - 1, -1, -1)
    return Grouping(number, count, first)


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One chunk, floats with one NaN and one zero."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_floating(array.type):
        values = array.to_numpy(zero_copy_only=False) + 0.0
        values[np.isnan(values)] = np.nan
        mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
        return pa.array(values, array.type, mask=mask)
    return array


def as_numbers(array: pa.Array) -> np.ndarray:
    """int64 or float64 that order as the values do; there are no nulls. Text orders by code point."""
    kind = array.type
    if pa.types.is_floating(kind):
        return array.to_numpy(zero_copy_only=False)
    if pa.types.is_date32(kind):
        return array.cast(pa.int32()).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        return array.cast(pa.int64()).to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(kind):
        return array.cast(pa.int8()).to_numpy(zero_copy_only=False).astype(np.int64)
    encoded = array.dictionary_encode()
    ranks = np.empty(len(encoded.dictionary), np.int64)
    ranks[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(ranks))
    return ranks[encoded.indices.to_numpy(zero_copy_only=False)]


def _codes(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, int]:
    encoded = pc.dictionary_encode(plain(column), null_encoding="encode")
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), len(encoded.dictionary)
