"""Exact uniqueness and distinct counts: hashes that were met more than once are read again and compared by value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mercury.quality.block import Block, one_array
from mercury.quality.metrics.keys import KeyCounts, KeysState
from mercury.quality.results import SAMPLE_ROWS, Sample


@dataclass(frozen=True)
class Uniqueness:
    """Keys without a null part, how many distinct ones, and the first later copies (by position) of a repeated key."""

    keys: int
    distinct: int
    sample: tuple[Sample, ...] = ()

    @property
    def duplicates(self) -> int:
        """Keys beyond the first of their kind: what `DISTINCT` would remove."""
        return self.keys - self.distinct


def uniqueness(
    metric: KeyCounts, state: KeysState, schema: pa.Schema, blocks: Iterable[Block] | None, *, sample: bool = True
) -> Uniqueness:
    """The exact answer for a merged state.

    Parameters
    ----------
    schema : of the data, to see whether the hash of its key type can collide at all.
    blocks : the data again, in the order of positions; read only where some hash repeats. None trusts the hashes: two
        different keys of n then share a hash with a chance of n² / 2**65.
    sample : whether to look for the first later copies.
    """
    repeated = state.repeated()
    distinct = len(state.hashes)
    if not len(repeated) or blocks is None:
        return Uniqueness(state.rows, distinct)
    exact = metric.bijective(schema)
    if exact and not sample:
        return Uniqueness(state.rows, distinct)
    found = _Repeats(metric, repeated)
    for block in blocks:
        found.add(block, values=not exact, sample=sample)
        if exact and len(found.sample) >= SAMPLE_ROWS:
            break
    if not exact:
        distinct += found.distinct() - len(repeated)
    return Uniqueness(state.rows, distinct, tuple(found.sample[:SAMPLE_ROWS]))


def candidates(metric: KeyCounts, repeated: np.ndarray, block: Block) -> np.ndarray:
    """The rows of a block (indices) whose key hash is among the repeated ones, which are sorted."""
    if not len(repeated):
        return np.empty(0, dtype=np.int64)
    hashes, present = metric.hashes(block)
    places = np.minimum(np.searchsorted(repeated, hashes), len(repeated) - 1)
    found = repeated[places] == hashes
    return np.flatnonzero(found if present is None else found & present)


def key_tuples(block: Block, rows: np.ndarray, names: Sequence[str]) -> list[tuple[object, ...]]:
    """The keys of some rows as tuples that compare by value; all NaN are one value."""
    taken = block.table.select(list(names)).take(pa.array(rows))
    columns = [["NaN" if value != value else value for value in taken[name].to_pylist()] for name in names]
    return list(zip(*columns, strict=True))


class _Repeats:
    """The rows whose hash repeats: their distinct values, and the first later copies."""

    def __init__(self, metric: KeyCounts, repeated: np.ndarray) -> None:
        self.metric = metric
        self.repeated = repeated
        self.sample: list[Sample] = []
        self._seen: set[tuple[object, ...]] = set()
        self._distinct: list[pa.Table] = []

    def add(self, block: Block, *, values: bool, sample: bool) -> None:
        rows = candidates(self.metric, self.repeated, block)
        if not len(rows):
            return
        if values:
            self._distinct.append(_distinct(block.table.select(list(self.metric.keys)).take(pa.array(rows))))
        if sample and len(self.sample) < SAMPLE_ROWS:
            self._look_for_copies(block, rows)

    def distinct(self) -> int:
        tables = [table for table in self._distinct if table.num_rows]
        return _distinct(pa.concat_tables(tables, promote_options="permissive")).num_rows if tables else 0

    def _look_for_copies(self, block: Block, rows: np.ndarray) -> None:
        names = list(self.metric.keys)
        for start in range(0, len(rows), 4096):
            part = rows[start : start + 4096]
            for row, key in zip(part, key_tuples(block, part, names), strict=True):
                if key in self._seen:
                    self.sample += block.sample(np.array([row]), names)
                    if len(self.sample) >= SAMPLE_ROWS:
                        return
                self._seen.add(key)


def _distinct(table: pa.Table) -> pa.Table:
    """The distinct rows; text decoded, since dictionaries differ from block to block."""
    columns: dict[str, pa.Array] = {}
    for name in table.column_names:
        array = one_array(table[name])
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_floating(array.type):
            array = pa.array(array.to_numpy(zero_copy_only=False) + 0.0)
        columns[name] = array
    return pa.table(columns).group_by(list(columns)).aggregate([])


__all__: Sequence[str] = ["Uniqueness", "uniqueness"]
