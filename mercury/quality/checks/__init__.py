"""Checks: one type per module, each naming its metrics and turning their states into a measurement.

A check has a name, a threshold and the line of the contract that it comes from. It does not read data: an engine
computes the metrics of all checks in one pass, and `Check.measure` reads the answer off their states.
"""

from mercury.quality.checks.base import Check, Facts, Measurement, RowCheck, judge
from mercury.quality.checks.distinct import Distinct
from mercury.quality.checks.expression import Condition
from mercury.quality.checks.freshness import Freshness
from mercury.quality.checks.nulls import Missing, NotNull
from mercury.quality.checks.order import Monotonic
from mercury.quality.checks.reference import ForeignKey
from mercury.quality.checks.row_count import RowCount
from mercury.quality.checks.schema import ColumnPresent, ColumnType
from mercury.quality.checks.statistics import STATISTICS, QuantileBound, Statistic
from mercury.quality.checks.uniqueness import Unique
from mercury.quality.checks.unsupported import Unsupported
from mercury.quality.checks.validity import Valid

__all__ = [
    "STATISTICS",
    "Check",
    "ColumnPresent",
    "ColumnType",
    "Condition",
    "Distinct",
    "Facts",
    "ForeignKey",
    "Freshness",
    "Measurement",
    "Missing",
    "Monotonic",
    "NotNull",
    "QuantileBound",
    "RowCheck",
    "RowCount",
    "Statistic",
    "Unique",
    "Unsupported",
    "Valid",
    "judge",
]
