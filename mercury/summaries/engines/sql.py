"""Summaries as SQL: one statement per table of the state, written alike for DuckDB and Spark.

The statement reads a source of rows and gives the state's columns; what engines write differently is in `Dialect`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from mercury.errors import DataError
from mercury.expressions import Expression
from mercury.summaries.aggregates import Kept, StateColumn
from mercury.summaries.spec import SCALARS, SummarySpec


@dataclass(frozen=True)
class Dialect:
    """What an engine calls things: its quote, its wide integer, its types, its best sum of floats."""

    name: Literal["duckdb", "spark"]
    quote: str
    wide: str
    types: dict[pa.DataType, str]
    float_sum: str

    def identifier(self, name: str) -> str:
        """A quoted column name."""
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote

    def pair(self, at: str, value: str) -> str:
        """A struct that orders by time and then by value."""
        if self.name == "duckdb":
            return f"struct_pack(at := {at}, value := {value})"
        return f"named_struct('at', {at}, 'value', {value})"


DUCKDB = Dialect(
    "duckdb",
    '"',
    "HUGEINT",
    {
        pa.int64(): "BIGINT",
        pa.float64(): "DOUBLE",
        pa.bool_(): "BOOLEAN",
        pa.string(): "VARCHAR",
        pa.date32(): "DATE",
        pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
    },
    "fsum",
)

SPARK = Dialect(
    "spark",
    "`",
    "DECIMAL(38, 0)",
    {
        pa.int64(): "BIGINT",
        pa.float64(): "DOUBLE",
        pa.bool_(): "BOOLEAN",
        pa.string(): "STRING",
        pa.date32(): "DATE",
        pa.timestamp("us", tz="UTC"): "TIMESTAMP",
    },
    "sum",
)


def statements(spec: SummarySpec, schema: pa.Schema, source: str, dialect: Dialect) -> dict[str, str]:
    """The statement of each table of the state; ``source`` is what follows FROM."""
    parts = spec.kept(schema)
    rows = _rows(spec, schema, source, dialect, parts)
    keys = [dialect.identifier(name) for name in spec.key_names]
    grouped = f" GROUP BY {', '.join(keys)}" if keys else " HAVING count(*) > 0"
    columns = [text for place, kept in enumerate(parts.values()) for text in _columns(kept, f"a{place}", dialect)]
    out = {}
    if keys or columns:
        out[SCALARS] = f"SELECT {', '.join([*keys, *columns])} FROM ({rows}) AS mercury_rows{grouped}"
    for place, (name, kept) in enumerate(parts.items()):
        if kept.sketch is not None:
            cell, value = kept.sketch.sql(dialect.name, f"a{place}")
            inner = ", ".join([*keys, f"{cell} AS mercury_cell", f"{value} AS mercury_value"])
            by = ", ".join([*keys, "mercury_cell"])
            total = "max(mercury_value)" if kept.sketch.rule == "max" else "count(*)"
            out[name] = (
                f"SELECT {by} AS {dialect.identifier(kept.sketch.cell.name)}, "
                f"{total} AS {dialect.identifier(kept.sketch.value.name)} "
                f"FROM (SELECT {inner} FROM ({rows}) AS mercury_rows WHERE a{place} IS NOT NULL) AS mercury_cells "
                f"GROUP BY {by}"
            )
    return out


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """An engine's answer in the types of the state; `DataError` for a sum that does not fit."""
    arrays = []
    for field in schema:
        try:
            arrays.append(table[field.name].cast(field.type))
        except pa.ArrowInvalid as error:
            raise DataError(f"the sum {field.name!r} is beyond 64 bits", fix="Sum it as a float") from error
    return pa.Table.from_arrays(arrays, schema=schema)


def _rows(spec: SummarySpec, schema: pa.Schema, source: str, dialect: Dialect, parts: dict[str, Kept]) -> str:
    columns = []
    for name, text in spec.columns.items():
        columns.append(f"{_value(text, schema, dialect)} AS {dialect.identifier(name)}")
    for place, (name, kept) in enumerate(parts.items()):
        text = spec.argument(spec.aggregates[name])
        value = f"CAST({_value(text, schema, dialect)} AS {dialect.types[kept.argument]})"
        if pa.types.is_floating(kept.argument) and not kept.keeps_nan:
            value = f"CASE WHEN isnan({value}) THEN NULL ELSE {value} END"
        columns.append(f"{value} AS a{place}")
    if spec.time is not None:
        columns.append(f"{Expression.parse(spec.time).sql(dialect.name, schema)} AS t")
    where = "" if spec.where is None else f" WHERE {Expression.parse(spec.where).sql(dialect.name, schema)}"
    return f"SELECT {', '.join(columns) or '1 AS one'} FROM {source}{where}"


def _value(text: str, schema: pa.Schema, dialect: Dialect) -> str:
    expression = Expression.parse(text)
    sql = expression.sql(dialect.name, schema)
    # Minus zero plus zero is zero: one group, one least value.
    return f"({sql} + 0.0e0)" if pa.types.is_floating(expression.check(schema)) else sql


def _columns(kept: Kept, argument: str, dialect: Dialect) -> list[str]:
    if not kept.scalars:
        return []
    rule = kept.scalars[0].rule
    names = [dialect.identifier(column.name) for column in kept.scalars]
    if rule == "moments":
        n, mean, squares = names
        return [
            f"count({argument}) AS {n}",
            f"coalesce(avg({argument}), 0.0e0) AS {mean}",
            f"coalesce(var_pop({argument}) * count({argument}), 0.0e0) AS {squares}",
        ]
    if rule in ("earliest", "latest"):
        function = "min" if rule == "earliest" else "max"
        pair = f"{function}(CASE WHEN {argument} IS NOT NULL THEN {dialect.pair('t', argument)} END)"
        return [f"({pair}).at AS {names[0]}", f"({pair}).value AS {names[1]}"]
    return [
        f"{_one(column, kept, argument, dialect)} AS {name}" for column, name in zip(kept.scalars, names, strict=True)
    ]


def _one(column: StateColumn, kept: Kept, argument: str, dialect: Dialect) -> str:
    if column.of == "count":
        return f"count({argument})"
    if column.rule == "sum" and pa.types.is_integer(kept.argument):
        return f"sum(CAST({argument} AS {dialect.wide}))" if dialect.name == "spark" else f"sum({argument})"
    if column.rule == "sum":
        return f"{dialect.float_sum}({argument})"
    return f"{column.rule}({argument})"
