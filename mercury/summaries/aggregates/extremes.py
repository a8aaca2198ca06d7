"""Least and greatest value, and the value at the least and the greatest time."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from mercury.definitions import First, Last, Max, Min
from mercury.summaries.aggregates.base import TIMESTAMP, Kept, StateColumn


def keep_extreme(name: str, aggregate: Min | Max, argument: pa.DataType) -> Kept:
    """The extreme of numbers, times, booleans or text; text compares by code point."""
    rule: Literal["min", "max"] = "min" if isinstance(aggregate, Min) else "max"
    column = StateColumn(name, argument, rule)
    return Kept(argument, (column,), None, lambda groups: groups.scalars[name].combine_chunks())


def keep_ordered(name: str, aggregate: First | Last, argument: pa.DataType) -> Kept:
    """Time and value of the earliest (latest) row with a value; of equal times the least (greatest) value."""
    rule: Literal["earliest", "latest"] = "earliest" if isinstance(aggregate, First) else "latest"
    at = StateColumn(f"{name}__at", TIMESTAMP, rule, "at")
    value = StateColumn(f"{name}__value", argument, rule, "value")
    return Kept(argument, (at, value), None, lambda groups: groups.scalars[value.name].combine_chunks())
