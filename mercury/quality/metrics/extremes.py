"""Least and greatest value of a column, from statistics where they are exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mercury.quality.block import Block
from mercury.quality.metrics.base import Footer, Metric


@dataclass(frozen=True)
class ExtremesState:
    """State: the extremes, None when there was no value; times are datetimes in UTC."""

    least: Any = None
    greatest: Any = None


@dataclass(frozen=True)
class Extremes(Metric):
    """Least and greatest of the values that are neither null nor NaN; text by code point."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def partial(self, block: Block) -> ExtremesState:
        values = block.column(self.column).values
        if pa.types.is_floating(values.type):
            values = values.filter(pc.invert(pc.is_nan(values)))
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        found = pc.min_max(values).as_py()
        return ExtremesState(found["min"], found["max"])

    def merge(self, states: Sequence[ExtremesState]) -> ExtremesState:
        seen = [state for state in states if state.least is not None]
        if not seen:
            return ExtremesState()
        return ExtremesState(min(state.least for state in seen), max(state.greatest for state in seen))

    def from_footer(self, footer: Footer) -> ExtremesState | None:
        if footer.nulls(self.column) == footer.rows:
            return ExtremesState()
        bounds = footer.bounds(self.column)
        if bounds is None or pa.types.is_floating(bounds[0]):
            # Zero and NaN: writers turn 0.0 into -0.0 and leave NaN out, so a float's statistics are only bounds.
            return None
        kind, low, high = bounds
        return ExtremesState(_value(low, kind), _value(high, kind))


def _value(raw: int, kind: pa.DataType) -> Any:
    if pa.types.is_date32(kind):
        return pa.scalar(raw, pa.int32()).cast(kind).as_py()
    if pa.types.is_timestamp(kind):
        return pa.scalar(raw, pa.int64()).cast(kind).as_py()
    return raw
