"""Freshness: the newest value of a time column is not older than agreed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from mercury.errors import SchemaError
from mercury.quality.checks.base import Check, Facts, Measurement
from mercury.quality.metrics.base import Metric
from mercury.quality.metrics.extremes import Extremes
from mercury.time import SECOND, format_duration


@dataclass(frozen=True)
class Freshness(Check):
    """Age of the newest value, ``now − max(column)``, in seconds; at most ``max_age`` microseconds.

    The clock is UTC, and so is a time without a zone. A newest value that lies in the future has a negative age.
    """

    column: str
    max_age: int = 0

    kind: ClassVar[str] = "freshness"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (Extremes(self.column),)

    @property
    def demand(self) -> str:
        return f"at most {format_duration(self.max_age)} old"

    def measure(self, facts: Facts) -> Measurement:
        newest = facts.states[Extremes(self.column)].greatest
        if newest is None:
            return Measurement(None, note="there is no value, so nothing is fresh")
        age = (facts.now - _instant(newest, self.column)).total_seconds()
        words = format_duration(int(abs(age)) * SECOND)
        return Measurement(age, note=f"the newest value is {words} {'old' if age >= 0 else 'in the future'}")


def _instant(value: Any, column: str) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise SchemaError("freshness needs a time or a date", where=f"column {column!r}", fix="Name a time column")
