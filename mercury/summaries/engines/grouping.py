"""Group numbers of rows, their order, and values as numbers that sort as they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.equality import normalized
from mercury.summaries.engines import kernels

Coded: TypeAlias = tuple[np.ndarray, int]

_WIDEST = 2**62
"""Codes of several columns are combined into one below this, so that nothing overflows."""


@dataclass(frozen=True)
class Grouping:
    """``number``: int64 per row; groups are numbered in the order of their first rows, whose places are ``first``."""

    number: np.ndarray
    first: np.ndarray

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(self.first)


def group_rows(columns: Sequence[pa.ChunkedArray | pa.Array], rows: int) -> Grouping:
    """Rows with equal values in all columns get the same number; nulls equal each other, so do NaN, and -0.0 is 0.0.

    Without columns all rows are one group.
    """
    if not columns or not rows:
        return Grouping(np.zeros(rows, np.int64), np.zeros(min(rows, 1), np.int64))
    codes, size = _codes(plain(columns[0]))
    for column in columns[1:]:
        more, other = _codes(plain(column))
        if size * other >= _WIDEST:
            (codes, size), (more, other) = _renumbered(codes, size), _renumbered(more, other)
        codes *= other
        codes += more
        size *= other
    return _numbered(codes, size)


def row_order(columns: Sequence[pa.ChunkedArray | pa.Array]) -> np.ndarray:
    """Places of the rows in ascending order of the columns, none of which are equal in all; NaN and null come last."""
    ranks, size = _ranks(plain(columns[0]))
    for column in columns[1:]:
        more, other = _ranks(plain(column))
        if size * other >= _WIDEST:
            (ranks, size), (more, other) = _reranked(ranks), _reranked(more)
        ranks *= other
        ranks += more
        size *= other
    return np.argsort(ranks)


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One chunk, floats with one NaN and one zero; other dictionaries stay, since their values come once."""
    kind = column.type
    if pa.types.is_floating(kind) or (pa.types.is_dictionary(kind) and pa.types.is_floating(kind.value_type)):
        return normalized(column)
    # Combining copies even a single chunk of dictionary values.
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def as_numbers(array: pa.Array) -> np.ndarray:
    """int64 or float64 that order as the values do; there are no nulls. Text orders by code point."""
    if pa.types.is_floating(array.type):
        return array.to_numpy(zero_copy_only=False)
    integers = _integers(array)
    return _ranks(array)[0] if integers is None else integers


def _integers(array: pa.Array) -> np.ndarray | None:
    """The int64 that a value without nulls is kept as; None for other types."""
    kind = array.type
    if pa.types.is_date32(kind):
        return array.cast(pa.int32()).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        return array.cast(pa.int64()).to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(kind):
        return array.cast(pa.int8()).to_numpy(zero_copy_only=False).astype(np.int64)
    return None


def _codes(array: pa.Array) -> Coded:
    """Equal int64 for equal values, from 0, and how many there may be; the array is plain and not empty."""
    if pa.types.is_dictionary(array.type) and not array.null_count:
        # No value comes twice in a dictionary, and null is one of them.
        return array.indices.to_numpy(zero_copy_only=False).astype(np.int64), len(array.dictionary)
    if not array.null_count:
        integers = _integers(array)
        if integers is not None:
            return _from_zero(integers, _renumbered)
        if pa.types.is_floating(array.type):
            return _renumbered(array.to_numpy().view(np.int64))
    encoded = pc.dictionary_encode(array, null_encoding="encode")
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), len(encoded.dictionary)


def _ranks(array: pa.Array) -> Coded:
    """int64 from 0 that order as the values do, and how many there may be."""
    if not len(array):
        return np.zeros(0, np.int64), 1
    integers = None if array.null_count else _integers(array)
    if integers is not None:
        return _from_zero(integers, _reranked)
    encoded = pc.dictionary_encode(array, null_encoding="encode")
    ranks = np.empty(len(encoded.dictionary), np.int64)
    ranks[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(ranks))
    return ranks[encoded.indices.to_numpy(zero_copy_only=False)], len(ranks)


def _from_zero(integers: np.ndarray, otherwise: Callable[[np.ndarray], Coded]) -> Coded:
    """The integers less the least of them, unless they lie too far apart."""
    low, high = int(integers.min()), int(integers.max())
    return (integers - low, high - low + 1) if high - low < _WIDEST else otherwise(integers)


def _numbered(codes: np.ndarray, size: int) -> Grouping:
    # A table of all codes is fastest while it is not much larger than the rows.
    if size <= 4 * len(codes) + 1024:
        return Grouping(*kernels.number_dense(codes, size))
    return Grouping(*kernels.number_hashed(codes))


def _renumbered(codes: np.ndarray, size: int = _WIDEST) -> Coded:
    groups = _numbered(codes, size)
    return groups.number, groups.count


def _reranked(ranks: np.ndarray) -> Coded:
    distinct, inverse = np.unique(ranks, return_inverse=True)
    return inverse, len(distinct)
