"""Unique keys of one or several columns, exact on any number of partitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mercury.quality.checks.base import Check, Facts, Measurement, row_measurement
from mercury.quality.keys import uniqueness
from mercury.quality.metrics.base import Metric
from mercury.quality.metrics.failures import Failures
from mercury.quality.metrics.keys import KeyCounts


@dataclass(frozen=True)
class Unique(Check):
    """Copies of keys within bounds: each key beyond its first fails; keys with a null part are left out."""

    keys: tuple[str, ...]

    kind: ClassVar[str] = "unique"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.keys

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (KeyCounts(self.keys),)

    @property
    def reason(self) -> str:
        """Why a later copy fails."""
        return f"{', '.join(self.keys)} was there before"

    @property
    def demand(self) -> str:
        return f"duplicates {self.threshold.text}"

    def measure(self, facts: Facts) -> Measurement:
        metric = KeyCounts(self.keys)
        blocks = None if facts.reread is None else facts.reread(self.keys)
        found = uniqueness(metric, facts.states[metric], facts.schema, blocks)
        return row_measurement(self.threshold, Failures(found.keys, found.duplicates, found.sample), facts.rows)
