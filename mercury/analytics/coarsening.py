"""Cells of a rollup merged into the groups of a query, by DuckDB: the merge rules of summaries, as SQL.

State in, state out: what comes out is the state that the rows themselves would have given, to be merged with that of
other rows and finished by `mercury.summaries`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from mercury.expressions import Expression, duckdb_process
from mercury.summaries import SCALARS, Summary, SummarySpec
from mercury.summaries.aggregates import Kept
from mercury.summaries.engines.sql import fitted

KEY = "mercury_key_"
"""How the columns are called inside a statement, so that no name of a user can be taken for one."""


@dataclass(frozen=True)
class CellKey:
    """A group of a query: a key column of the cells, or ``of`` that column's values."""

    column: str
    of: Callable[[pa.Array], pa.Array] | None = None


def coarsened(
    spec: SummarySpec, schema: pa.Schema, cells: Mapping[str, pa.Table], keys: Mapping[str, CellKey], where: str | None
) -> Summary:
    """The state of a spec from finer cells.

    Parameters
    ----------
    spec : of the query: its keys and leaves.
    schema : of the source's rows, which decides the types of the state.
    cells : tables of a finer state that has at least these leaves.
    keys : key of the spec to what it is of the cells.
    where : condition on the key columns of the cells.

    Raises `DataError` for a sum that does not fit 64 bits.
    """
    states = spec.state_schema(schema)
    tables = {}
    with duckdb_process.cursor(threads=1, enable_external_access=False) as cursor:
        for name, state in states.items():
            held = cells[name]
            cursor.register("mercury_cells", held)
            groups, source = _groups(cursor, held, keys)
            statement = _statement(name, spec, held.schema, groups, source, where)
            if statement is None:
                tables[name] = state.empty_table()
                continue
            tables[name] = fitted(cursor.sql(statement).to_arrow_table(), state)
    return Summary(spec, tables)


def _groups(cursor: duckdb.DuckDBPyConnection, held: pa.Table, keys: Mapping[str, CellKey]) -> tuple[list[str], str]:
    """SQL of each key, and what they are selected from.

    Many cells share few times: the bucket of each time is computed once and joined.
    """
    groups, source = [], "mercury_cells"
    for place, key in enumerate(keys.values()):
        if key.of is None:
            groups.append(_quoted(key.column))
            continue
        times = pc.unique(held[key.column])
        cursor.register(f"mercury_buckets_{place}", pa.table({"mercury_time": times, "mercury_bucket": key.of(times)}))
        groups.append(f"b{place}.mercury_bucket")
        source += (
            f" JOIN mercury_buckets_{place} AS b{place} "
            f"ON {_quoted(key.column)} IS NOT DISTINCT FROM b{place}.mercury_time"
        )
    return groups, source


def _statement(
    name: str, spec: SummarySpec, held: pa.Schema, keys: Sequence[str], source: str, where: str | None
) -> str | None:
    listed = [f"{text} AS {KEY}{place}" for place, text in enumerate(keys)]
    by = [f"{KEY}{place}" for place in range(len(keys))]
    filtered = "" if where is None else f" WHERE {Expression.parse(where).sql('duckdb', held)}"
    if name != SCALARS:
        sketch = spec.rules[name].sketch
        assert sketch is not None
        listed += [f"{_quoted(sketch.cell.name)} AS c", f"{_quoted(sketch.value.name)} AS v"]
        return (
            f"SELECT {', '.join([*by, 'c'])}, {sketch.rule}(v) AS s FROM "
            f"(SELECT {', '.join(listed)} FROM {source}{filtered}) GROUP BY {', '.join([*by, 'c'])}"
        )
    columns = [column.name for kept in spec.rules.values() for column in kept.scalars]
    places = {column: f"s{place}" for place, column in enumerate(columns)}
    listed += [f"{_quoted(column)} AS {place}" for column, place in places.items()]
    if not listed:
        return None
    means = _means(spec, places, by)
    inner = f"SELECT {', '.join(listed)} FROM {source}{filtered}"
    if means:
        inner = f"SELECT *, {', '.join(means)} FROM ({inner})"
    merged = [text for kept in spec.rules.values() for text in _merged(kept, places)]
    grouped = f"GROUP BY {', '.join(by)}" if by else "HAVING count(*) > 0"
    return f"SELECT {', '.join([*by, *merged])} FROM ({inner}) {grouped}"


def _means(spec: SummarySpec, places: Mapping[str, str], by: Sequence[str]) -> list[str]:
    """The common mean of a group beside each cell, which Chan's formula needs before squares can be added."""
    over = f"OVER (PARTITION BY {', '.join(by)})" if by else "OVER ()"
    found = []
    for kept in spec.rules.values():
        if kept.scalars and kept.scalars[0].rule == "moments":
            n, mean, _ = (places[column.name] for column in kept.scalars)
            found.append(f"sum({n} * {mean}) {over} / nullif(sum({n}) {over}, 0) AS m_{n}")
    return found


def _merged(kept: Kept, places: Mapping[str, str]) -> list[str]:
    if not kept.scalars:
        return []
    rule = kept.scalars[0].rule
    if rule == "moments":
        n, mean, squares = (places[column.name] for column in kept.scalars)
        apart = f"CASE WHEN {n} = 0 THEN 0e0 ELSE {squares} + {n} * ({mean} - m_{n}) * ({mean} - m_{n}) END"
        return [f"sum({n})", f"coalesce(any_value(m_{n}), 0e0)", f"sum({apart})"]
    if rule in ("earliest", "latest"):
        at, value = (places[column.name] for column in kept.scalars)
        best = "min" if rule == "earliest" else "max"
        pair = f"{best}(CASE WHEN {at} IS NOT NULL THEN struct_pack(at := {at}, value := {value}) END)"
        return [f"({pair}).at", f"({pair}).value"]
    out = []
    for column in kept.scalars:
        place = places[column.name]
        if column.rule == "sum" and pa.types.is_floating(column.type):
            # A compensated sum makes NaN of an infinity.
            finite = f"abs(sum({place})) <= 1.7976931348623157e308"
            out.append(f"CASE WHEN {finite} THEN fsum({place}) ELSE sum({place}) END")
        else:
            out.append(f"{column.rule}({place})")
    return out


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
