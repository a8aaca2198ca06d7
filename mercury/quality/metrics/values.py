"""Values with their counts: exact while they are few, a DDSketch beyond that, and always the same for every split.

A column with up to `EXACT_VALUES` distinct values keeps them all with their counts, so its quantiles are exact. Beyond
that the state is the DDSketch of `mercury.summaries` (Masson, Rim, Lee 2019): counts per bin, which give each quantile
within a relative error of `ACCURACY`. Which form a merged state has depends on the values alone, not on the split: a
part never has more distinct values than the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mercury.quality.block import Block
from mercury.quality.metrics.base import Metric
from mercury.quality.rules import raw_numbers

EXACT_VALUES = 65_536
ACCURACY = 0.005

_LOG_GAMMA = math.log((1 + ACCURACY) / (1 - ACCURACY))


@dataclass(frozen=True, eq=False)
class ValuesState:
    """State: sorted distinct values with counts, or, when ``sketched``, bins with counts."""

    values: np.ndarray = field(default_factory=lambda: np.empty(0))
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    sketched: bool = False

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ValuesState)
            and self.sketched == other.sketched
            and np.array_equal(self.values, other.values)
            and np.array_equal(self.counts, other.counts)
        )

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    def quantile(self, q: float) -> float | None:
        """The q-quantile: exact with linear interpolation between ranks, or within `ACCURACY` when sketched."""
        total = self.count
        if not total:
            return None
        ends = np.cumsum(self.counts)
        rank = q * (total - 1)
        if self.sketched:
            from mercury.summaries.aggregates.quantiles import quantiles

            one_group = np.zeros(len(self.values), dtype=np.int64)
            return float(quantiles(1, one_group, self.values, self.counts, q, _LOG_GAMMA)[0].as_py())
        low = float(self.values[np.searchsorted(ends, math.floor(rank), side="right")])
        high = float(self.values[np.searchsorted(ends, math.ceil(rank), side="right")])
        return low + (high - low) * (rank - math.floor(rank)) if high != low else low


@dataclass(frozen=True)
class ValueCounts(Metric):
    """Counts per value of a column of numbers or times; nulls and NaN are left out."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def partial(self, block: Block) -> ValuesState:
        column = block.column(self.column)
        numbers = raw_numbers(column.values)
        if column.valid is not None:
            numbers = numbers[column.valid]
        if numbers.dtype.kind == "f":
            numbers = numbers[~np.isnan(numbers)] + 0.0  # -0.0 becomes 0.0
        values, counts = _count(numbers)
        return _bounded(ValuesState(values, counts))

    def merge(self, states: Sequence[ValuesState]) -> ValuesState:
        seen = [state for state in states if len(state.values)]
        if not seen:
            return ValuesState()
        if any(state.sketched for state in seen):
            seen = [state if state.sketched else _sketch(state) for state in seen]
        if len(seen) == 1:
            return seen[0]
        values, inverse = np.unique(np.concatenate([state.values for state in seen]), return_inverse=True)
        counts = np.bincount(inverse, weights=np.concatenate([state.counts for state in seen])).astype(np.int64)
        return _bounded(ValuesState(values, counts, seen[0].sketched))


def _count(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(numbers) and numbers.dtype.kind == "i":
        low, high = int(numbers.min()), int(numbers.max())
        if high - low < max(len(numbers), EXACT_VALUES):
            counts = np.bincount((numbers - low).astype(np.int64))
            present = np.flatnonzero(counts)
            return (present + low).astype(np.int64), counts[present].astype(np.int64)
    values, counts = np.unique(numbers, return_counts=True)
    return values, counts.astype(np.int64)


def _bounded(state: ValuesState) -> ValuesState:
    return _sketch(state) if not state.sketched and len(state.values) > EXACT_VALUES else state


def _sketch(state: ValuesState) -> ValuesState:
    from mercury.summaries.aggregates.quantiles import bin_of

    values, inverse = np.unique(bin_of(state.values.astype(np.float64), _LOG_GAMMA), return_inverse=True)
    counts = np.bincount(inverse, weights=state.counts).astype(np.int64)
    return ValuesState(values, counts, sketched=True)
