"""A block: consecutive rows of one file, with what several metrics need of them, each computed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import ExpressionError, MercuryError, SchemaError, did_you_mean
from mercury.quality.results import SAMPLE_ROWS, Position, Sample
from mercury.quality.rules import Rule, is_text


@dataclass(frozen=True)
class Column:
    """One column of a block; text is kept as distinct ``values`` and, per row, ``codes`` into them.

    ``codes`` is None when ``values`` are the rows themselves. A null has the code 0 and is False in ``valid``.
    """

    values: pa.Array
    codes: np.ndarray | None
    valid: np.ndarray | None
    rows: int
    nulls: int

    def broken(self, rule: Rule) -> np.ndarray | None:
        """Mask of the rows that break a rule; None when none does."""
        bad = rule.broken(self.values)
        if bad is None or self.codes is None:
            return bad
        if not len(bad):
            return None
        mask = bad[self.codes]
        if self.valid is not None:
            mask &= self.valid
        return mask if mask.any() else None


class Block:
    """Rows of one file from ``position`` on.

    Parameters
    ----------
    table : the columns that the plan needs.
    position : where the first row lies.
    expressions : the SQL conditions that any metric will ask for; they are evaluated together, at the first request.
    """

    def __init__(self, table: pa.Table, position: Position, expressions: Iterable[str] = ()) -> None:
        self.table = table
        self.position = position
        self.rows: int = table.num_rows
        self._expressions = tuple(expressions)
        self._columns: dict[str, Column] = {}
        self._conditions: dict[str, pa.Array | Exception] | None = None

    def column(self, name: str) -> Column:
        """The column; `SchemaError` when the block has none of this name."""
        if name not in self._columns:
            if name not in self.table.column_names:
                raise SchemaError(
                    f"there is no column {name!r}", fix=did_you_mean(name, self.table.column_names) or None
                )
            self._columns[name] = _column(self.table[name])
        return self._columns[name]

    def condition(self, expression: str) -> pa.BooleanArray:
        """The truth of a SQL condition per row, null where SQL says unknown."""
        if self._conditions is None:
            self._conditions = _evaluate_all(self._expressions or (expression,), self.table)
        if expression not in self._conditions:
            self._conditions |= _evaluate_all((expression,), self.table)
        found = self._conditions[expression]
        if isinstance(found, Exception):
            raise found
        return found

    def sample(self, bad: np.ndarray, columns: Sequence[str]) -> tuple[Sample, ...]:
        """The first failed rows, with the values of some columns."""
        rows = np.flatnonzero(bad)[:SAMPLE_ROWS] if bad.dtype == bool else bad[:SAMPLE_ROWS]
        if not len(rows):
            return ()
        shown = [name for name in columns if name in self.table.column_names]
        taken = self.table.select(shown).take(pa.array(rows)).to_pylist() if shown else [{} for _ in rows]
        start = self.position
        return tuple(
            Sample(Position(start.file, start.row + int(row)), values) for row, values in zip(rows, taken, strict=True)
        )


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array; chunks are joined, and text views become plain text."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.unify_dictionaries().combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else pa.array([], type=column.type)
    return column.cast(pa.string()) if pa.types.is_string_view(column.type) else column


def _column(column: pa.ChunkedArray) -> Column:
    array = one_array(column)
    rows, nulls = len(array), array.null_count
    valid = pc.is_valid(array).to_numpy(zero_copy_only=False) if nulls else None
    if pa.types.is_dictionary(array.type):
        indices = array.indices.fill_null(0) if nulls else array.indices
        codes = indices.to_numpy(zero_copy_only=False)
        if array.dictionary.null_count:
            # A dictionary may hold null as a value, which is_valid of the indices does not see.
            present = pc.is_valid(array.dictionary).to_numpy(zero_copy_only=False)[codes]
            valid = present if valid is None else valid & present
            nulls = int(rows - valid.sum())
        return Column(array.dictionary, codes, valid, rows, nulls)
    return Column(array, None, valid, rows, nulls)


def _evaluate_all(expressions: Sequence[str], table: pa.Table) -> dict[str, pa.Array | Exception]:
    """All conditions in one query; when it fails, one by one, so that only the guilty one is an error."""
    plain = _decoded(table)
    try:
        return _evaluate(expressions, plain)
    except Exception as error:
        if len(expressions) == 1:
            return {expressions[0]: error}
    found: dict[str, pa.Array | Exception] = {}
    for expression in expressions:
        found |= _evaluate_all((expression,), plain)
    return found


def _evaluate(expressions: Sequence[str], table: pa.Table) -> dict[str, pa.Array | Exception]:
    from mercury.expressions import Expression, evaluate

    parsed = {text: Expression.parse(text) for text in expressions}
    for text, expression in parsed.items():
        kind = expression.check(table.schema)
        if not pa.types.is_boolean(kind):
            raise ExpressionError(f"{text!r} is {kind}, not true or false", fix="Write a condition, as in 'a > 0'")
    names = {f"c{number}": expression for number, expression in enumerate(parsed.values())}
    needed = sorted(set[str]().union(*(expression.columns for expression in parsed.values())))
    answer = evaluate(names, table.select(needed or table.column_names[:1]))
    return {text: one_array(answer[f"c{number}"]) for number, text in enumerate(parsed)}


def _decoded(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and is_text(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(field.type.value_type))
    return table


def evaluation_error(error: Exception) -> str:
    """One line that says why a metric could not be computed."""
    if isinstance(error, MercuryError):
        return str(error)
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}"[:300]


__all__: Sequence[Any] = ["Block", "Column", "evaluation_error", "one_array"]
