"""Counts per 64-bit key hash: the state from which uniqueness and exact distinct counts come.

Equal keys always have equal hashes, so a hash that was met once is a unique key. Only hashes met more than once can be
collisions of different keys; `mercury.quality.keys` reads those rows again and compares the values, which makes the
answer exact. The state is 8 bytes per distinct key as long as every key of it was met once, else 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mercury.quality.block import Block, Column
from mercury.quality.metrics.base import Metric


@dataclass(frozen=True, eq=False)
class KeysState:
    """State: distinct hashes in increasing order, and how often each was met; ``counts`` None means once each."""

    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    counts: np.ndarray | None = None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, KeysState)
            and np.array_equal(self.hashes, other.hashes)
            and np.array_equal(self.times(), other.times())
        )

    def times(self) -> np.ndarray:
        """How often each hash was met."""
        return np.ones(len(self.hashes), dtype=np.int64) if self.counts is None else self.counts

    @property
    def rows(self) -> int:
        """Number of keys, nulls left out."""
        return len(self.hashes) if self.counts is None else int(self.counts.sum())

    def repeated(self) -> np.ndarray:
        """The hashes that were met more than once, sorted."""
        return self.hashes[:0] if self.counts is None else self.hashes[self.counts > 1]


@dataclass(frozen=True)
class KeyCounts(Metric):
    """How often each key was met; keys with a null part are left out, as in SQL's UNIQUE."""

    keys: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.keys

    def partial(self, block: Block) -> KeysState:
        if len(self.keys) == 1:
            column = block.column(self.keys[0])
            if column.codes is not None and len(column.values) < column.rows // 2:
                return self._of_dictionary(column)
        hashes, present = self.hashes(block)
        return _compact(hashes if present is None else hashes[present], None)

    def merge(self, states: Sequence[KeysState]) -> KeysState:
        seen = [state for state in states if len(state.hashes)]
        if not seen:
            return KeysState()
        if len(seen) == 1:
            return seen[0]
        once = all(state.counts is None for state in seen)
        hashes = np.concatenate([state.hashes for state in seen])
        return _compact(hashes, None if once else np.concatenate([state.times() for state in seen]))

    def hashes(self, block: Block) -> tuple[np.ndarray, np.ndarray | None]:
        """Hash per row, and the mask of rows whose key has no null part (None when all)."""
        from mercury.runtime.hashing import hash_keys

        valid = [column.valid for column in map(block.column, self.keys) if column.valid is not None]
        present = np.logical_and.reduce(valid) if valid else None
        return hash_keys([_hashable(block.table[name]) for name in self.keys]), present

    def bijective(self, schema: pa.Schema) -> bool:
        """Whether different keys always have different hashes, so that nothing has to be verified."""
        if len(self.keys) != 1:
            return False
        kind = schema.field(self.keys[0]).type
        if pa.types.is_timestamp(kind):
            return bool(kind.unit != "ns")
        return bool(pa.types.is_integer(kind) or pa.types.is_date32(kind) or pa.types.is_boolean(kind))

    def _of_dictionary(self, column: Column) -> KeysState:
        """Hash the distinct values only, and count their codes."""
        from mercury.runtime.hashing import hash_keys

        assert column.codes is not None
        codes = column.codes if column.valid is None else column.codes[column.valid]
        counts = np.bincount(codes, minlength=len(column.values))
        met = counts > 0
        return _compact(hash_keys([_hashable(column.values)])[met], counts[met].astype(np.int64))


def _hashable(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_decimal(column.type) else column


def _compact(hashes: np.ndarray, counts: np.ndarray | None) -> KeysState:
    if counts is None:
        ordered = np.sort(hashes)
    else:
        order = np.argsort(hashes, kind="stable")
        ordered, counts = hashes[order], counts[order]
    if not len(ordered):
        return KeysState()
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    if len(starts) == len(ordered):
        alone = counts is None or int(counts.max()) == 1
        return KeysState(ordered, None if alone else counts)
    ends = np.diff(np.append(starts, len(ordered))) if counts is None else np.add.reduceat(counts, starts)
    return KeysState(ordered[starts], ends.astype(np.int64))
