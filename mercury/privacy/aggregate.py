"""The one pass before the noise: rows to bounded, exact integers per group.

1. Rows are filtered and grouped by unit and keys; each pair keeps its count of rows and the sums of its measures.
2. Of a unit's groups, `max_groups` are kept: those with the least keyed hash of (unit, group). The key is new for each
   question, so every group of a unit is equally likely to stay. That makes answers fair, not private: privacy needs no
   more than that the choice among a unit's groups depends on nobody else's rows, which holds for every hash.
3. A pair with more than `max_rows` rows is scaled down to as many: its sums times max_rows / rows, towards zero.
4. Pairs are added up by group: integers, so that nothing depends on an order.

Rows whose unit is null or NaN belong to nobody; a question about them is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mercury.definitions import arrow_schema
from mercury.errors import DataError, SchemaError
from mercury.expressions import Expression, duckdb_process
from mercury.expressions.duckdb_files import parquet, parquet_column
from mercury.privacy.plan import USERS, PrivatePlan


@dataclass(frozen=True)
class Bounded:
    """Groups with their exact integers; nothing of it may leave before there is noise in it.

    Parameters
    ----------
    table : key columns, `USERS`, and one int64 column per measure, named ``m0``, ``m1``, … in the plan's order.
    """

    table: pa.Table


def bounded(plan: PrivatePlan, rows: pa.Table | Sequence[str], seed: bytes, *, threads: int = 1) -> Bounded:
    """The groups of a plan over rows in memory, or over Parquet files.

    Parameters
    ----------
    seed : secret and new for each question; the same seed chooses the same groups of each unit.

    Raises `DataError` when a unit is null, `SchemaError` when a column is missing. Errors name no value: those are what
    is to be protected.
    """
    assert plan.policy.source is not None and plan.policy.unit is not None
    schema = arrow_schema(plan.policy.source.schema)
    unit = Expression.parse(plan.policy.unit)
    with duckdb_process.cursor(threads=threads) as cursor:
        source = _source(plan, rows, cursor)
        keys = [f'"{column}"' for column in plan.by]
        where = [Expression.parse(plan.where).sql("duckdb", schema)] if plan.where else []
        where += [_public(plan, column) for column in plan.by if column in plan.policy.public_keys]
        condition = f" WHERE {' AND '.join(f'({part})' for part in where)}" if where else ""
        values = [
            f"{Expression.parse(measure.value).sql('duckdb', schema)} AS v{place}"
            for place, measure in enumerate(plan.measures)
            if measure.name != USERS
        ]
        whose = unit.sql("duckdb", schema)
        if pa.types.is_floating(unit.check(schema)):
            whose = f"CASE WHEN NOT isnan({whose}) THEN {whose} END"
        row = ", ".join([f"{whose} AS mercury_unit", *keys, *values])
        cursor.execute(f"CREATE OR REPLACE TEMP VIEW mercury_rows AS SELECT {row} FROM {source}{condition}")
        table = cursor.sql(_groups(plan), params={"seed": seed.hex()}).to_arrow_table()
        cursor.execute("DROP VIEW mercury_rows")
        if pc.any(table["nobody"]).as_py():
            raise DataError(
                f"the unit {plan.policy.unit!r} is null in some rows, which are then nobody's",
                where=plan.policy.address,
                fix=f'Leave them out: where="({plan.policy.unit}) IS NOT NULL"',
            )
    return Bounded(table.drop_columns(["nobody"]))


def _pairs(plan: PrivatePlan) -> str:
    """One row per unit and group: rows, and sums of the measures."""
    sums = "".join(
        f", sum(v{place})::BIGINT AS s{place}" for place, part in enumerate(plan.measures) if part.name != USERS
    )
    keys = "".join(f', "{column}"' for column in plan.by)
    return f"SELECT mercury_unit AS unit{keys}, count(*) AS rows{sums} FROM mercury_rows GROUP BY ALL"


def _groups(plan: PrivatePlan) -> str:
    """Pairs that were chosen and scaled, added up."""
    policy = plan.policy
    keys = [f'"{column}"' for column in plan.by]
    # Hashed twice: DuckDB only exclusive-ors the hashes of several values, which favours some groups of every unit.
    drawn = f"hash(hash({', '.join(['$seed', 'unit', *keys])}))"
    # By a number first: units that are sorted as text cost as much as all the rest.
    chosen = (
        f"SELECT *, row_number() OVER (PARTITION BY hash(unit), unit ORDER BY {drawn}) AS place FROM ({_pairs(plan)})"
    )
    scaled = [
        f"CASE WHEN rows > {policy.max_rows} THEN (s{place}::HUGEINT * {policy.max_rows}) // rows ELSE s{place} END"
        for place, part in enumerate(plan.measures)
        if part.name != USERS
    ]
    sums = iter(f"coalesce(sum({text}), 0)::BIGINT" for text in scaled)
    measured = [
        f"{'count(*)' if part.name == USERS else next(sums)} AS m{place}" for place, part in enumerate(plan.measures)
    ]
    select = ", ".join([*keys, f"count(*) AS {USERS}", *measured, "coalesce(bool_or(unit IS NULL), FALSE) AS nobody"])
    grouped = f" GROUP BY {', '.join(keys)}" if keys else ""
    return f"SELECT {select} FROM ({chosen}) WHERE place <= {policy.max_groups}{grouped}"


def _source(plan: PrivatePlan, rows: pa.Table | Sequence[str], cursor: object) -> str:
    """What follows FROM: the columns that the question reads."""
    assert plan.policy.source is not None and plan.policy.unit is not None
    schema = arrow_schema(plan.policy.source.schema)
    texts = [plan.policy.unit, *(part.value for part in plan.measures if part.value), *filter(None, [plan.where])]
    used = frozenset(plan.by).union(*(Expression.parse(text).columns for text in texts))
    if isinstance(rows, pa.Table):
        missing = sorted(used - set(rows.column_names))
        if missing:
            raise SchemaError(f"the rows have no column {missing[0]!r}", where=plan.policy.source.address)
        cursor.register("mercury_given", rows.select(sorted(used)))  # type: ignore[attr-defined]
        return "mercury_given"
    columns = ", ".join(parquet_column(schema.field(name)) for name in sorted(used))
    return f"(SELECT {columns} FROM {parquet(rows)})"


def _public(plan: PrivatePlan, column: str) -> str:
    """Only rows of public keys: others would use up a unit's groups and be thrown away."""
    values = plan.policy.public_keys[column]
    listed = ", ".join("'" + str(value).replace("'", "''") + "'" for value in values)
    return f'"{column}"::VARCHAR IN ({listed})'
