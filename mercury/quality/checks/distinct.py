"""Exact number of distinct values within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mercury.quality.checks.base import Check, Facts, Measurement
from mercury.quality.keys import uniqueness
from mercury.quality.metrics.base import Metric
from mercury.quality.metrics.keys import KeyCounts


@dataclass(frozen=True)
class Distinct(Check):
    """Distinct non-null values (or combinations of values without a null) within bounds."""

    keys: tuple[str, ...]

    kind: ClassVar[str] = "distinct"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.keys

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (KeyCounts(self.keys),)

    @property
    def demand(self) -> str:
        return f"distinct values {self.threshold.text}"

    def measure(self, facts: Facts) -> Measurement:
        metric = KeyCounts(self.keys)
        blocks = None if facts.reread is None else facts.reread(self.keys)
        found = uniqueness(metric, facts.states[metric], facts.schema, blocks, sample=False)
        return Measurement(found.distinct, note=f"{found.distinct:,} distinct values")
