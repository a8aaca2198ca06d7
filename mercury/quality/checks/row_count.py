"""Row count within bounds; the number of rows is known from every scan, and from footers without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mercury.quality.checks.base import Check, Facts, Measurement


@dataclass(frozen=True)
class RowCount(Check):
    """Bounds on the number of rows of the table."""

    kind: ClassVar[str] = "row_count"

    def measure(self, facts: Facts) -> Measurement:
        return Measurement(facts.rows, note=f"{facts.rows:,} rows")

    @property
    def demand(self) -> str:
        return f"rows {self.threshold.text}"
