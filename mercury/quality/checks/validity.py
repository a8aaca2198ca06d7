"""Values that meet a rule: a range, a set, a pattern, a length, a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mercury.quality.checks.base import RowCheck
from mercury.quality.metrics.failures import RowMetric, RuleBreaks
from mercury.quality.rules import Rule


@dataclass(frozen=True)
class Valid(RowCheck):
    """Values that break a rule within bounds; nulls are not tested."""

    rule: Rule

    kind: ClassVar[str] = "valid"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.rule.column,)

    @property
    def metric(self) -> RowMetric:
        return RuleBreaks(self.rule)

    @property
    def reason(self) -> str:
        return f"{self.rule.column} is not {self.rule.text()}"

    @property
    def demand(self) -> str:
        rule = self.rule.text()
        return rule if self.threshold.tolerates_none else f"{rule}; failed rows {self.threshold.text}"
