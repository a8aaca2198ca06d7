"""Thresholds: which measured values are acceptable, and how grave it is when one is not.

They are apart from the checks: a check measures, a threshold judges. The operators are those of the Open Data Contract
Standard v3.1.0, section "Data quality". Bounds are inclusive where the operator's name says so; `mustBeBetween`
includes both ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

Number = int | float

OPERATORS = (
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
)
"""The operators of the standard; the two `…Between` take two bounds, the others one."""

UNITS = ("rows", "percent")


class Severity(StrEnum):
    """How grave a broken check is: an error fails the run and rejects rows, a warning is only shown."""

    WARN = "warn"
    ERROR = "error"


SEVERITIES = {
    "info": Severity.WARN,
    "low": Severity.WARN,
    "medium": Severity.WARN,
    "minor": Severity.WARN,
    "warn": Severity.WARN,
    "warning": Severity.WARN,
    "major": Severity.ERROR,
    "high": Severity.ERROR,
    "critical": Severity.ERROR,
    "blocker": Severity.ERROR,
    "error": Severity.ERROR,
}
"""Words that contracts use for a severity, in lower case."""


@dataclass(frozen=True)
class Threshold:
    """An operator with its bounds; ``unit="percent"`` compares the failed share of all rows times 100.

    >>> Threshold("mustBeLessOrEqualTo", (5,), "percent").met(5.0)
    True
    >>> Threshold("mustBeBetween", (1, 3)).text
    'between 1 and 3'
    """

    operator: str
    bounds: tuple[Number, ...]
    unit: str = "rows"

    def met(self, value: Number | None) -> bool:
        """Whether a measured value is acceptable; None and NaN never are."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return False
        low, high = self.bounds[0], self.bounds[-1]
        match self.operator:
            case "mustBe":
                return value == low
            case "mustNotBe":
                return value != low
            case "mustBeGreaterThan":
                return value > low
            case "mustBeGreaterOrEqualTo":
                return value >= low
            case "mustBeLessThan":
                return value < low
            case "mustBeLessOrEqualTo":
                return value <= low
            case "mustBeBetween":
                return low <= value <= high
            case _:
                return not low <= value <= high

    @property
    def tolerates_none(self) -> bool:
        """Whether one failed row is enough to break a check that counts failed rows."""
        return (self.operator, self.bounds) in (
            ("mustBe", (0,)),
            ("mustBeLessOrEqualTo", (0,)),
        ) or (self.operator, self.bounds, self.unit) == ("mustBeLessThan", (1,), "rows")

    @property
    def text(self) -> str:
        """The threshold as a person reads it."""
        low, high = (_number(bound) for bound in (self.bounds[0], self.bounds[-1]))
        words = {
            "mustBe": f"= {low}",
            "mustNotBe": f"≠ {low}",
            "mustBeGreaterThan": f"> {low}",
            "mustBeGreaterOrEqualTo": f"≥ {low}",
            "mustBeLessThan": f"< {low}",
            "mustBeLessOrEqualTo": f"≤ {low}",
            "mustBeBetween": f"between {low} and {high}",
            "mustNotBeBetween": f"not between {low} and {high}",
        }[self.operator]
        return f"{words} %" if self.unit == "percent" else words


NONE_FAIL = Threshold("mustBe", (0,))
"""No row may fail: what `required`, `unique`, `primaryKey`, ranges and patterns of a contract mean."""


def _number(value: Number) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"
