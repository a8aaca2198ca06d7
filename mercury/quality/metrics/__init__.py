"""Metrics: what is measured of data, as states that merge.

A metric turns a block into a small state (`partial`) and joins states (`merge`, associative and commutative, with the
state of no rows as neutral element), so any split of the data over workers, arriving in any order, gives one answer.
Two checks that need the same metric share it: metrics are values, and equal ones are computed once.
"""

from mercury.quality.metrics.base import Metric
from mercury.quality.metrics.extremes import Extremes, ExtremesState
from mercury.quality.metrics.failures import (
    Failures,
    FalseConditions,
    MissingValues,
    NaNs,
    Nulls,
    Orphans,
    RuleBreaks,
)
from mercury.quality.metrics.keys import KeyCounts, KeysState
from mercury.quality.metrics.moments import Moments, MomentsState
from mercury.quality.metrics.order import Order, OrderState
from mercury.quality.metrics.values import ValueCounts, ValuesState

__all__ = [
    "Extremes",
    "ExtremesState",
    "Failures",
    "FalseConditions",
    "KeyCounts",
    "KeysState",
    "Metric",
    "MissingValues",
    "Moments",
    "MomentsState",
    "NaNs",
    "Nulls",
    "Order",
    "OrderState",
    "Orphans",
    "RuleBreaks",
    "ValueCounts",
    "ValuesState",
]
