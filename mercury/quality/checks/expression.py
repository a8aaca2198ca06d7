"""A SQL condition per row, over any columns of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mercury.quality.checks.base import RowCheck
from mercury.quality.metrics.failures import FalseConditions, RowMetric


@dataclass(frozen=True)
class Condition(RowCheck):
    """Rows for which a condition of `mercury.expressions` is false within bounds; unknown (null) passes."""

    expression: str
    needed: tuple[str, ...] = ()

    kind: ClassVar[str] = "expression"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.needed

    @property
    def metric(self) -> RowMetric:
        return FalseConditions(self.expression, self.needed)

    @property
    def reason(self) -> str:
        return f"not {self.expression}" if self.name == self.expression else f"{self.name}: not {self.expression}"

    @property
    def demand(self) -> str:
        text = self.expression
        return text if self.threshold.tolerates_none else f"{text}; failed rows {self.threshold.text}"
