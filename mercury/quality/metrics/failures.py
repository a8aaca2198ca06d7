"""Metrics that count rows: null, missing, NaN, breaking a rule, making a condition false, lacking a referenced key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.quality.block import Block, one_array
from mercury.quality.metrics.base import Footer, Metric
from mercury.quality.results import SAMPLE_ROWS, Sample
from mercury.quality.rules import OneOf, Rule


@dataclass(frozen=True)
class Failures:
    """State: rows tested, rows failed, and the first failed rows by position."""

    tested: int = 0
    failed: int = 0
    sample: tuple[Sample, ...] = ()


class RowMetric(Metric):
    """A metric that is about single rows, so that it can also judge the rows of a stream."""

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns that a sample of failed rows shows."""
        return self.columns

    @abstractmethod
    def failing(self, block: Block) -> np.ndarray | None:
        """Mask of the failing rows, None when there is none."""

    def tested(self, block: Block) -> int:
        """How many rows the metric looks at."""
        return block.rows

    def partial(self, block: Block) -> Failures:
        bad = self.failing(block)
        tested = self.tested(block)
        if bad is None:
            return Failures(tested)
        return Failures(tested, int(np.count_nonzero(bad)), block.sample(bad, self.shown))

    def merge(self, states: Sequence[Failures]) -> Failures:
        samples = sorted((one for state in states for one in state.sample), key=lambda one: one.position)
        return Failures(
            sum(state.tested for state in states), sum(state.failed for state in states), tuple(samples[:SAMPLE_ROWS])
        )


@dataclass(frozen=True)
class Nulls(RowMetric):
    """Rows whose value is null. NaN is a value, counted apart by `NaNs`."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def failing(self, block: Block) -> np.ndarray | None:
        column = block.column(self.column)
        return None if column.valid is None or not column.nulls else ~column.valid

    def from_footer(self, footer: Footer) -> Failures | None:
        nulls = footer.nulls(self.column)
        return None if nulls is None else Failures(footer.rows, nulls)


@dataclass(frozen=True)
class MissingValues(RowMetric):
    """Rows whose value is null or one of the values that stand for "missing"."""

    column: str
    values: tuple[Any, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def failing(self, block: Block) -> np.ndarray | None:
        column = block.column(self.column)
        null = None if column.valid is None else ~column.valid
        marked = column.broken(OneOf(self.column, self.values, inside=False)) if self.values else None
        if null is None or marked is None:
            return marked if null is None else null
        return null | marked


@dataclass(frozen=True)
class NaNs(RowMetric):
    """Rows whose value is a floating-point NaN; none where the column is of another type."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def failing(self, block: Block) -> np.ndarray | None:
        values = block.column(self.column).values
        if not pa.types.is_floating(values.type):
            return None
        mask = pc.is_nan(values).fill_null(False).to_numpy(zero_copy_only=False)
        return mask if mask.any() else None


@dataclass(frozen=True)
class RuleBreaks(RowMetric):
    """Rows whose value breaks a rule; nulls are not tested."""

    rule: Rule

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.rule.column,)

    def failing(self, block: Block) -> np.ndarray | None:
        return block.column(self.rule.column).broken(self.rule)

    def tested(self, block: Block) -> int:
        column = block.column(self.rule.column)
        return column.rows - column.nulls

    def from_footer(self, footer: Footer) -> Failures | None:
        nulls, bounds = footer.nulls(self.rule.column), footer.bounds(self.rule.column)
        if nulls is not None and nulls == footer.rows:
            return Failures(0)
        if nulls is None or bounds is None or not self.rule.kept_by(*bounds):
            return None
        return Failures(footer.rows - nulls)


@dataclass(frozen=True)
class FalseConditions(RowMetric):
    """Rows for which a SQL condition is false; where it is unknown (null) the row passes, as in SQL's CHECK."""

    expression: str
    needed: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.needed

    @property
    def expressions(self) -> tuple[str, ...]:
        return (self.expression,)

    def failing(self, block: Block) -> np.ndarray | None:
        mask = pc.invert(block.condition(self.expression)).fill_null(False).to_numpy(zero_copy_only=False)
        return mask if mask.any() else None


@dataclass(frozen=True)
class Orphans(RowMetric):
    """Rows whose key is not among the referenced keys; a key with a null part references nothing and passes."""

    keys: tuple[str, ...]
    reference: tuple[tuple[Any, ...], ...] = field(repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.keys

    def failing(self, block: Block) -> np.ndarray | None:
        if len(self.keys) == 1:
            known = tuple(key[0] for key in self.reference)
            return block.column(self.keys[0]).broken(OneOf(self.keys[0], known)) if known else self._all(block)
        # Composite keys: only the distinct keys of the block are looked up, in a set of the referenced ones.
        table = block.table.select(list(self.keys))
        known_keys = set(self.reference)
        rows = list(zip(*(one_array(table[name]).to_pylist() for name in self.keys), strict=True))
        bad = np.fromiter((None not in row and row not in known_keys for row in rows), dtype=bool, count=len(rows))
        return bad if bad.any() else None

    def tested(self, block: Block) -> int:
        valid = [column.valid for column in map(block.column, self.keys) if column.valid is not None]
        return int(np.logical_and.reduce(valid).sum()) if valid else block.rows

    def _all(self, block: Block) -> np.ndarray | None:
        valid = block.column(self.keys[0]).valid
        bad = np.ones(block.rows, dtype=bool) if valid is None else valid
        return bad if bad.any() else None
