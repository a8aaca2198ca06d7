"""The one pass before the noise: rows to bounded, exact integers per group.

1. Rows are filtered and grouped by unit and keys; each pair keeps its count of rows and the sums of its measures.
2. Of a unit's groups, `max_groups` are kept: those with the least keyed hash of (unit, group), by
   `mercury.privacy.choosing`. The key is new for each question, so every group of a unit is equally likely to stay.
   That makes answers fair, not private: privacy needs no more than that the choice among a unit's groups depends on
   nobody else's rows.
3. A pair with more than `max_rows` rows is scaled down to as many: its sums times max_rows / rows, towards zero.
4. Pairs are added up by group: integers, so that nothing depends on an order. What would not fit 64 bits stays at the
   greatest number that does, which moves no further than the sum itself when a unit comes or goes.

Rows whose unit is null or NaN belong to nobody. Whether a source has any is looked up without the question's condition:
an answer or a refusal that depended on both would tell about those rows, without noise and for nothing.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from mercury.equality import key_sql
from mercury.errors import DataError, SchemaError
from mercury.expressions import Expression, duckdb_process
from mercury.expressions.duckdb_files import parquet, parquet_column
from mercury.privacy.plan import USERS, Measure, PrivatePlan

MOST = 2**63 - 1
"""Greatest sum of a group."""

SECONDS = 600.0
"""Time that a question may take."""

MEMORY = "4GiB"
"""Memory of a question; beyond it DuckDB uses its folder of temporary files."""

PAIRS_AT_ONCE = 30_000_000
"""Of a table with more rows than these, units are taken in parts, so that memory holds about as many pairs at once."""


@dataclass(frozen=True)
class Bounded:
    """Groups with their exact integers; nothing of it may leave before there is noise in it.

    Parameters
    ----------
    table : `key_columns` of the plan, `USERS`, and one int64 column per measure, named ``m0``, ``m1``, … in the plan's
        order.
    """

    table: pa.Table


def bounded(plan: PrivatePlan, rows: pa.Table | Sequence[str], seed: bytes, *, threads: int = 1) -> Bounded:
    """The groups of a plan over rows in memory, or over Parquet files.

    Parameters
    ----------
    seed : secret and new for each question; the same seed chooses the same groups of each unit.

    Raises `DataError` in the same words whatever went wrong: a message, or what kind of error it is, may tell of the
    rows. It has a limit of time and memory of its own, so that it is no more than that for the caller either.
    """
    stop = duckdb_process.Stop()
    timer = threading.Timer(SECONDS, stop.stop)
    timer.start()
    try:
        return stop.run(lambda: _bounded(plan, rows, seed, threads))
    except Exception:
        # The chain of errors would hold what the message does not.
        pass
    finally:
        timer.cancel()
    raise DataError(
        "the question could not be answered; what it costs stays spent",
        where=plan.policy.address,
        fix="Let who keeps the data check that its columns have the declared types, and that there is memory and disk",
    )


def _bounded(plan: PrivatePlan, rows: pa.Table | Sequence[str], seed: bytes, threads: int) -> Bounded:
    with duckdb_process.cursor(threads=threads, memory_limit=MEMORY) as cursor:
        source = _source(plan, rows, cursor)
        for name, column in zip(key_columns(plan), plan.keys, strict=True):
            if column in plan.public:
                cursor.register(f"public_{name}", pa.table({"value": plan.public[column]}))
        return Bounded(_groups(plan, source, seed, cursor))


def require_units(plan: PrivatePlan, rows: pa.Table | Sequence[str], *, threads: int = 1) -> None:
    """Raise `DataError` when a row is nobody's and the question does not leave such rows out.

    It looks at the policy's unit alone, not at the question, and is asked before anything is charged: it tells the same
    of every question. Raises `SchemaError` when a column is missing.
    """
    if plan.leaves_nobody_out:
        return
    try:
        with duckdb_process.cursor(threads=threads) as cursor:
            found = cursor.sql(_nobody(plan, _source(plan, rows, cursor))).fetchall()
    except duckdb.Error:
        found = None
    if found is None:
        raise DataError(
            f"the unit {plan.policy.unit!r} could not be computed of the table's rows",
            where=plan.policy.address,
            fix="Check that the table's columns have the declared types",
        )
    if found:
        raise DataError(
            f"the unit {plan.policy.unit!r} is null in some rows, which are then nobody's",
            where=plan.policy.address,
            fix=f'Leave them out: where="({plan.policy.unit}) IS NOT NULL"',
        )


def key_columns(plan: PrivatePlan) -> list[str]:
    """Names of the columns of groups, before they get those of the question: no column of the source is in the way."""
    return [f"k{place}" for place in range(len(plan.keys))]


def _groups(plan: PrivatePlan, source: str, seed: bytes, cursor: duckdb.DuckDBPyConnection) -> pa.Table:
    """Pairs that were chosen, scaled and added up."""
    keys = key_columns(plan)
    select = [*keys, f"count(*) AS {USERS}"]
    for place, part in enumerate(plan.measures):
        select.append(f"{_total(place, part, plan.policy.max_rows)} AS m{place}")
    if not keys:
        return cursor.sql(f"SELECT {', '.join(select)} FROM ({_pairs(plan, source)})").to_arrow_table()
    _choose(plan, source, seed, cursor)
    return cursor.sql(f"SELECT {', '.join(select)} FROM chosen GROUP BY {', '.join(keys)}").to_arrow_table()


def _choose(plan: PrivatePlan, source: str, seed: bytes, cursor: duckdb.DuckDBPyConnection) -> None:
    """Make ``chosen``: the pairs that stay."""
    from mercury.privacy.choosing import chosen

    def kept(query: str) -> pa.Table:
        pairs = cursor.sql(query).to_arrow_table()
        return pairs.filter(pa.array(chosen(pairs, "unit", key_columns(plan), seed, plan.policy.max_groups)))

    ((rows,),) = cursor.sql(f"SELECT count(*) FROM {source}").fetchall()
    parts = math.ceil(rows / PAIRS_AT_ONCE)
    if parts <= 1:
        cursor.register("chosen", kept(_pairs(plan, source)))
        return
    cursor.execute(f"CREATE TEMP TABLE pairs AS {_pairs(plan, source)}")
    cursor.execute("CREATE TEMP TABLE chosen AS SELECT * FROM pairs LIMIT 0")
    for part in range(parts):
        cursor.register("part", kept(f"SELECT * FROM pairs WHERE hash(unit) % {parts} = {part}"))
        cursor.execute("INSERT INTO chosen SELECT * FROM part")


def _total(place: int, measure: Measure, max_rows: int) -> str:
    """The sum of a measure over the chosen units of a group."""
    if measure.name == USERS:
        return "count(*)"
    if measure.worth == "1":
        return _fitting(f"sum(least(rows, {max_rows}))")
    scaled = f"CASE WHEN rows > {max_rows} THEN (s{place}::HUGEINT * {max_rows}) // rows ELSE s{place} END"
    return _fitting(f"sum({scaled})")


def _pairs(plan: PrivatePlan, source: str) -> str:
    """One row per unit and group: rows, and sums of the measures."""
    keys = "".join(f", {name}" for name in key_columns(plan))
    sums = "".join(
        f", {_fitting(f'sum({_worth(plan, place, part)})')} AS s{place}"
        for place, part in enumerate(plan.measures)
        if part.name != USERS and part.worth != "1"
    )
    return f"SELECT unit{keys}, count(*) AS rows{sums} FROM ({_rows(plan, source)}) GROUP BY unit{keys}"


def _fitting(total: str) -> str:
    """A sum within 64 bits, 0 of no rows.

    The sum of nothing is NULL, which DuckDB's `least` and `greatest` pass over: unless it is made 0 before them, it
    becomes the bound, and tells that there is no row.
    """
    return f"least(greatest(coalesce({total}, 0), -{MOST}), {MOST})::BIGINT"


def _rows(plan: PrivatePlan, source: str) -> str:
    """Rows that count: whose they are, their group, and what their measures are made of."""
    columns = [f"{_whose(plan)} AS unit"]
    conditions = []
    if plan.where is not None:
        conditions.append(Expression.parse(plan.where).sql("duckdb", plan.schema))
    # Who asks without leaving them out was refused before (`require_units`); here they never count.
    conditions.append(f"({_whose(plan)}) IS NOT NULL")
    for name, column in zip(key_columns(plan), plan.keys, strict=True):
        columns.append(f"{key_sql(_quoted(column), plan.schema.field(column).type)} AS {name}")
        if column in plan.public:
            # Rows of other keys would use up a unit's groups and be thrown away.
            conditions.append(f"{_quoted(column)} IN (SELECT value FROM public_{name})")
    for place, part in enumerate(plan.measures):
        for what, text in (("of", part.of), ("holds", part.where)):
            if text is not None:
                columns.append(f"{Expression.parse(text).sql('duckdb', plan.schema)} AS {what}{place}")
    where = " AND ".join(f"({part})" for part in conditions)
    return f"SELECT {', '.join(columns)} FROM {source} WHERE {where}"


def _worth(plan: PrivatePlan, place: int, measure: Measure) -> str:
    """What a row gives to a measure, over the columns of `_rows`."""
    given = {f"of{place}": measure.of, f"holds{place}": measure.where}
    fields = [pa.field(name, Expression.parse(text).check(plan.schema)) for name, text in given.items() if text]
    worth = measure.worth.format(of=f"of{place}", holds=f"holds{place}")
    return Expression.parse(worth).sql("duckdb", pa.schema(fields))


def _nobody(plan: PrivatePlan, source: str) -> str:
    return f"SELECT 1 FROM {source} WHERE {_whose(plan)} IS NULL LIMIT 1"


def _whose(plan: PrivatePlan) -> str:
    """The unit of a row, null for nobody's."""
    unit = Expression.parse(str(plan.policy.unit))
    kind = unit.check(plan.schema)
    whose = key_sql(unit.sql("duckdb", plan.schema), kind)
    return f"CASE WHEN NOT isnan({whose}) THEN {whose} END" if pa.types.is_floating(kind) else whose


def _source(plan: PrivatePlan, rows: pa.Table | Sequence[str], cursor: duckdb.DuckDBPyConnection) -> str:
    """What follows FROM: the columns that the question reads."""
    if isinstance(rows, pa.Table):
        missing = sorted(set(plan.columns) - set(rows.column_names))
        if missing:
            assert plan.policy.source is not None
            raise SchemaError(f"the rows have no column {missing[0]!r}", where=plan.policy.source.address)
        cursor.register("given", rows.select(plan.columns))
        return "given"
    columns = ", ".join(parquet_column(plan.schema.field(name)) for name in plan.columns)
    return f"(SELECT {columns} FROM {parquet(rows)})"


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
