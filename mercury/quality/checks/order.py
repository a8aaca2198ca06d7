"""Rows in the order of a column, right across files, row groups and workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mercury.quality.checks.base import Check, Facts, Measurement, row_measurement
from mercury.quality.metrics.base import Metric
from mercury.quality.metrics.failures import Failures
from mercury.quality.metrics.order import Order


@dataclass(frozen=True)
class Monotonic(Check):
    """Neighbours that are out of order within bounds; equal neighbours are in order unless the order is strict."""

    column: str
    decreasing: bool = False
    strict: bool = False

    kind: ClassVar[str] = "monotonic"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (Order(self.column, self.decreasing, self.strict),)

    @property
    def demand(self) -> str:
        order = f"{'strictly ' if self.strict else ''}{'decreasing' if self.decreasing else 'increasing'}"
        return order if self.threshold.tolerates_none else f"{order}; violations {self.threshold.text}"

    def measure(self, facts: Facts) -> Measurement:
        metric = Order(self.column, self.decreasing, self.strict)
        values, violations, sample = metric.finish(facts.states[metric])
        return row_measurement(self.threshold, Failures(values, violations, sample), facts.rows)
