"""Bounds on the mean, standard deviation, sum, extremes and quantiles of a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mercury.quality.checks.base import Check, Facts, Measurement
from mercury.quality.metrics.base import Metric
from mercury.quality.metrics.extremes import Extremes
from mercury.quality.metrics.moments import Moments, MomentsState
from mercury.quality.metrics.values import ACCURACY, ValueCounts, ValuesState

STATISTICS = ("mean", "std", "sum", "min", "max")


@dataclass(frozen=True)
class Statistic(Check):
    """Bounds on one of `STATISTICS` of the values that are neither null nor NaN; without a value the check fails."""

    column: str
    statistic: str = "mean"

    kind: ClassVar[str] = "statistic"

    @property
    def reveals_values(self) -> bool:
        return self.statistic in ("min", "max")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (Extremes(self.column) if self.statistic in ("min", "max") else Moments(self.column),)

    @property
    def demand(self) -> str:
        return f"{self.statistic} {self.threshold.text}"

    def measure(self, facts: Facts) -> Measurement:
        state = facts.states[self.metrics[0]]
        if self.statistic == "min":
            return Measurement(state.least)
        if self.statistic == "max":
            return Measurement(state.greatest)
        moments: MomentsState = state
        if moments.count < (2 if self.statistic == "std" else 1):
            return Measurement(None)
        return Measurement({"mean": moments.mean, "std": moments.std(), "sum": moments.total}[self.statistic])


@dataclass(frozen=True)
class QuantileBound(Check):
    """Bounds on a quantile, exact up to `EXACT_VALUES` distinct values, else within the stated accuracy."""

    column: str
    q: float = 0.5

    kind: ClassVar[str] = "quantile"

    @property
    def reveals_values(self) -> bool:
        return True

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (ValueCounts(self.column),)

    @property
    def demand(self) -> str:
        return f"{self.q:g}-quantile {self.threshold.text}"

    def measure(self, facts: Facts) -> Measurement:
        state: ValuesState = facts.states[ValueCounts(self.column)]
        return Measurement(state.quantile(self.q), accuracy=ACCURACY if state.sketched else None)
