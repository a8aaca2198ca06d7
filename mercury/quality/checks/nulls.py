"""Null and missing values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mercury.quality.checks.base import RowCheck
from mercury.quality.metrics.failures import MissingValues, Nulls, RowMetric


@dataclass(frozen=True)
class NotNull(RowCheck):
    """Nulls within bounds; NaN is a value and not a null."""

    column: str

    kind: ClassVar[str] = "not_null"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def metric(self) -> RowMetric:
        return Nulls(self.column)

    @property
    def reason(self) -> str:
        return f"{self.column} is null"

    @property
    def demand(self) -> str:
        return f"nulls {self.threshold.text}"


@dataclass(frozen=True)
class Missing(RowCheck):
    """Nulls and values that stand for "missing" within bounds."""

    column: str
    values: tuple[Any, ...] = ()

    kind: ClassVar[str] = "missing_values"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def metric(self) -> RowMetric:
        return MissingValues(self.column, self.values)

    @property
    def reason(self) -> str:
        return f"{self.column} is missing"

    @property
    def demand(self) -> str:
        return f"missing values {self.threshold.text}"
