"""Summaries as SQL: one statement per table of the state, written alike for DuckDB and Spark.

A statement reads a source of rows and gives the columns of the state in their order, under names of its own, since
engines do not tell `K` from `k`. What they write differently is in `Dialect`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from mercury.equality import key_sql
from mercury.errors import DataError
from mercury.expressions import Expression
from mercury.summaries.aggregates import TIMESTAMP, Kept, StateColumn
from mercury.summaries.spec import SCALARS, SummarySpec


@dataclass(frozen=True)
class Dialect:
    """What an engine calls things: its wide integer, its types, its best sum of floats."""

    name: Literal["duckdb", "spark"]
    wide: str
    types: dict[pa.DataType, str]
    float_sum: str

    def pair(self, at: str, value: str) -> str:
        """A struct that orders by time and then by value."""
        if self.name == "duckdb":
            return f"struct_pack(at := {at}, value := {value})"
        return f"named_struct('at', {at}, 'value', {value})"


DUCKDB = Dialect(
    "duckdb",
    "BIGINT",
    {
        pa.int64(): "BIGINT",
        pa.float64(): "DOUBLE",
        pa.bool_(): "BOOLEAN",
        pa.string(): "VARCHAR",
        pa.date32(): "DATE",
        TIMESTAMP: "TIMESTAMPTZ",
    },
    "fsum",
)

SPARK = Dialect(
    "spark",
    "DECIMAL(38, 0)",
    {
        pa.int64(): "BIGINT",
        pa.float64(): "DOUBLE",
        pa.bool_(): "BOOLEAN",
        pa.string(): "STRING",
        pa.date32(): "DATE",
        TIMESTAMP: "TIMESTAMP",
    },
    "sum",
)


def statements(spec: SummarySpec, schema: pa.Schema, source: str, dialect: Dialect) -> dict[str, str]:
    """The statement of each table of the state that has columns; ``source`` is what follows FROM.

    Sketches of the same values with the same cells, such as two quantiles, have the same statement.
    """
    parts = spec.kept(schema)
    columns = {f"k{place}": _value(text, schema, dialect) for place, text in enumerate(spec.columns.values())}
    keys = list(columns)
    if spec.time is not None:
        columns["t"] = Expression.parse(spec.time).sql(dialect.name, schema)
    # Aggregates of the same expression share a column.
    names: dict[str, str] = {}
    arguments = {}
    for name, kept in parts.items():
        text = _argument(spec.argument(spec.aggregates[name]), kept, schema, dialect)
        arguments[name] = names.setdefault(text, f"a{len(names)}")
    columns |= {name: text for text, name in names.items()}
    selected = ", ".join(f"{text} AS {name}" for name, text in columns.items()) or "1 AS one"
    where = "" if spec.where is None else f" WHERE {Expression.parse(spec.where).sql(dialect.name, schema)}"
    rows = f"(SELECT {selected} FROM {source}{where}) AS mercury_rows"

    out = {}
    state = [text for name, kept in parts.items() for text in _columns(kept, arguments[name], dialect)]
    listed = [*keys, *(f"{text} AS s{place}" for place, text in enumerate(state))]
    if listed:
        grouped = f"GROUP BY {', '.join(keys)}" if keys else "HAVING count(*) > 0"
        out[SCALARS] = f"SELECT {', '.join(listed)} FROM {rows} {grouped}"
    for name, kept in parts.items():
        if kept.sketch is not None:
            cell, value = kept.sketch.sql(dialect.name, arguments[name])
            total = "max(v)" if kept.sketch.rule == "max" else "count(*)"
            by = ", ".join([*keys, "c"])
            out[name] = (
                f"SELECT {by}, {total} AS s FROM (SELECT {', '.join([*keys, f'{cell} AS c', f'{value} AS v'])} "
                f"FROM {rows} WHERE {arguments[name]} IS NOT NULL) AS mercury_cells GROUP BY {by}"
            )
    return out


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """An engine's answer with the names and types of the state; `DataError` for a sum that does not fit."""
    arrays = []
    for column, field in zip(table.columns, schema, strict=True):
        try:
            arrays.append(column.cast(field.type))
        except pa.ArrowInvalid as error:
            if not pa.types.is_decimal(column.type):
                raise
            raise too_large(field.name) from error
    return pa.Table.from_arrays(arrays, schema=schema)


def too_large(name: str) -> DataError:
    """The error of a sum of integers that does not fit."""
    return DataError(
        f"the sum of integers {name.removesuffix('__sum')!r} is beyond 64 bits",
        fix="Make it one of floats, as in Sum('cast(x AS double)')",
    )


def _value(text: str, schema: pa.Schema, dialect: Dialect) -> str:
    expression = Expression.parse(text)
    sql = expression.sql(dialect.name, schema)
    return key_sql(sql, expression.check(schema))


def _argument(text: str, kept: Kept, schema: pa.Schema, dialect: Dialect) -> str:
    value = f"CAST({_value(text, schema, dialect)} AS {dialect.types[kept.argument]})"
    if pa.types.is_floating(kept.argument) and not kept.keeps_nan:
        return f"CASE WHEN isnan({value}) THEN NULL ELSE {value} END"
    return value


def _columns(kept: Kept, argument: str, dialect: Dialect) -> list[str]:
    if not kept.scalars:
        return []
    rule = kept.scalars[0].rule
    if rule == "moments":
        # The mean of what has no finite sum tells nothing that could be merged.
        mean, squares = (
            f"CASE WHEN count({argument}) = 0 THEN 0.0e0 WHEN {_is_finite(f'avg({argument})')} THEN {value} "
            "ELSE CAST('NaN' AS DOUBLE) END"
            for value in (f"avg({argument})", f"var_pop({argument}) * count({argument})")
        )
        return [f"count({argument})", mean, squares]
    if rule in ("earliest", "latest"):
        function = "min" if rule == "earliest" else "max"
        known = f"CASE WHEN {argument} IS NOT NULL AND t IS NOT NULL THEN {dialect.pair('t', argument)} END"
        return [f"({function}({known})).at", f"({function}({known})).value"]
    return [_one(column, kept, argument, dialect) for column in kept.scalars]


def _one(column: StateColumn, kept: Kept, argument: str, dialect: Dialect) -> str:
    if column.of == "count":
        return f"count({argument})"
    if column.rule != "sum":
        return f"{column.rule}({argument})"
    if pa.types.is_integer(kept.argument):
        return f"sum(CAST({argument} AS {dialect.wide}))"
    if dialect.float_sum == "sum":
        return f"sum({argument})"
    # A compensated sum makes NaN of an infinity.
    total = f"sum({argument})"
    return f"CASE WHEN {_is_finite(total)} THEN {dialect.float_sum}({argument}) ELSE {total} END"


def _is_finite(value: str) -> str:
    """Whether a double is neither NaN, which is greater than any number, nor infinite."""
    return f"abs({value}) <= 1.7976931348623157e308"
