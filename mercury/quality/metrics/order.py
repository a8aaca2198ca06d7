"""Whether a column rises or falls from row to row, right across the boundaries of blocks.

Each block leaves its first and last value and its own violations under its position; only at the end are neighbours
compared, in the order of positions, so blocks may arrive in any order. Empty and all-null blocks leave nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.quality.block import Block
from mercury.quality.metrics.base import Metric
from mercury.quality.results import SAMPLE_ROWS, Position, Sample
from mercury.quality.rules import is_text, raw_numbers


@dataclass(frozen=True)
class Stretch:
    """A block's part in the order: where it starts, its first and last value, its violations inside."""

    position: Position
    first: Any
    first_position: Position
    last: Any
    values: int
    violations: int
    sample: tuple[Sample, ...]


@dataclass(frozen=True)
class OrderState:
    """State: one stretch per block that had a value, sorted by position."""

    stretches: tuple[Stretch, ...] = ()


@dataclass(frozen=True)
class Order(Metric):
    """Neighbouring values that are out of order; nulls and NaN are skipped over, times count as their integers."""

    column: str
    decreasing: bool = False
    strict: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def partial(self, block: Block) -> OrderState:
        column = block.column(self.column)
        present = np.ones(column.rows, dtype=bool) if column.valid is None else column.valid.copy()
        values: Any
        if is_text(column.values.type):
            rows = column.values if column.codes is None else column.values.take(pa.array(column.codes))
            values = rows.filter(pa.array(present))
        else:
            numbers = raw_numbers(column.values)
            if numbers.dtype.kind == "f":
                present &= ~np.isnan(numbers)
            values = numbers[present]
        if not len(values):
            return OrderState()
        rows_of = np.flatnonzero(present)
        bad = rows_of[1:][self._violations(values)]
        place = block.position
        first, last = _plain(values[0]), _plain(values[-1])
        first_position = Position(place.file, place.row + int(rows_of[0]))
        sample = block.sample(bad, self.columns)
        return OrderState((Stretch(place, first, first_position, last, len(values), len(bad), sample),))

    def merge(self, states: Sequence[OrderState]) -> OrderState:
        stretches = (stretch for state in states for stretch in state.stretches)
        return OrderState(tuple(sorted(stretches, key=lambda stretch: stretch.position)))

    def finish(self, state: OrderState) -> tuple[int, int, tuple[Sample, ...]]:
        """Number of values, of violations, and the first rows that are out of order."""
        values = sum(stretch.values for stretch in state.stretches)
        violations = sum(stretch.violations for stretch in state.stretches)
        sample = [one for stretch in state.stretches for one in stretch.sample]
        for before, after in zip(state.stretches, state.stretches[1:], strict=False):
            if self._wrong(before.last, after.first):
                violations += 1
                sample.append(Sample(after.first_position, {self.column: after.first}))
        return values, violations, tuple(sorted(sample, key=lambda one: one.position)[:SAMPLE_ROWS])

    def _violations(self, values: Any) -> np.ndarray:
        if isinstance(values, np.ndarray):
            before, after = values[:-1], values[1:]
            return self._wrong(before, after)
        before, after = values.slice(0, len(values) - 1), values.slice(1)
        left, right = (after, before) if self.decreasing else (before, after)
        compare = pc.greater_equal if self.strict else pc.greater
        return compare(left, right).to_numpy(zero_copy_only=False)

    def _wrong(self, before: Any, after: Any) -> Any:
        left, right = (after, before) if self.decreasing else (before, after)
        return left >= right if self.strict else left > right


def _plain(value: Any) -> Any:
    return value.as_py() if isinstance(value, pa.Scalar) else value.item()
