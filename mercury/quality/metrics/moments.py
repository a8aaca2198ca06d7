"""Count, sum, mean and sum of squared deviations of a column, merged by the formula of Chan, Golub and LeVeque (1979).

Sums of integers are exact; those of floats agree for every split to about 1e-12 relative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mercury.quality.block import Block
from mercury.quality.metrics.base import Metric
from mercury.quality.rules import raw_numbers


@dataclass(frozen=True)
class MomentsState:
    """State: number of values, their sum (an int for integers), their mean and M2 = Σ(x − mean)²."""

    count: int = 0
    total: int | float = 0
    mean: float = 0.0
    m2: float = 0.0

    def std(self) -> float:
        """Sample standard deviation (n − 1); NaN with fewer than two values."""
        return math.sqrt(self.m2 / (self.count - 1)) if self.count > 1 else math.nan


@dataclass(frozen=True)
class Moments(Metric):
    """Moments of the values that are neither null nor NaN."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def partial(self, block: Block) -> MomentsState:
        column = block.column(self.column)
        numbers = raw_numbers(column.values)
        if column.valid is not None:
            numbers = numbers[column.valid]
        if numbers.dtype.kind == "f":
            numbers = numbers[~np.isnan(numbers)].astype(np.float64, copy=False)
        if not len(numbers):
            return MomentsState()
        total = _exact_sum(numbers)
        mean = float(total) / len(numbers)
        with np.errstate(invalid="ignore", over="ignore"):
            deviations = numbers.astype(np.float64) - mean
            return MomentsState(len(numbers), total, mean, float(np.dot(deviations, deviations)))

    def merge(self, states: Sequence[MomentsState]) -> MomentsState:
        seen = sorted((s for s in states if s.count), key=lambda s: (s.count, s.total, s.m2))
        if not seen:
            return MomentsState()
        if len(seen) == 1:
            return seen[0]
        count = sum(state.count for state in seen)
        integers = all(isinstance(state.total, int) for state in seen)
        total = sum(state.total for state in seen) if integers else _sum(float(state.total) for state in seen)
        mean = float(total) / count
        # A product of great floats is infinite; `**` would raise instead.
        m2 = _sum(state.m2 + state.count * (state.mean - mean) * (state.mean - mean) for state in seen)
        return MomentsState(count, total, mean, m2)


def _exact_sum(numbers: np.ndarray) -> int | float:
    if numbers.dtype.kind == "f":
        return float(numbers.sum())
    greatest = max(abs(int(numbers.min())), abs(int(numbers.max())))
    if greatest * len(numbers) < 2**62:
        return int(numbers.sum(dtype=np.int64))
    return sum(numbers.tolist())


def _sum(values: object) -> float:
    listed = [float(value) for value in values]  # type: ignore[attr-defined]
    try:
        return math.fsum(listed)
    except (ValueError, OverflowError):
        return float(np.sum(listed))
