"""Cells of a rollup merged into the groups of a query, by the merge rules of summaries themselves.

Cells are held with their keys as numbers of a dictionary: few days, carriers or bins occur in many cells. Buckets of
time and conditions are computed for the few values, and cells are grouped by the numbers.

State in, state out: what comes out is the state that the rows themselves would have given, to be merged with that of
other rows and finished by `mercury.summaries`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.analytics.conditions import conjunction, conjuncts, text_of
from mercury.expressions import Expression, evaluate
from mercury.summaries import SCALARS, Summary, SummarySpec, merge
from mercury.summaries.engines.sql import fitted


@dataclass(frozen=True)
class CellKey:
    """A group of a query: a key column of the cells, or ``of`` that column's values."""

    column: str
    of: Callable[[pa.Array], pa.Array] | None = None


@dataclass(frozen=True)
class CellRange:
    """The cells whose ``column`` lies in ``[low, high)``; None for no bound, and null lies in no range."""

    column: str
    low: pa.Scalar | None
    high: pa.Scalar | None


def encoded(cells: pa.Table, keys: int) -> pa.Table:
    """Cells with their first columns, so many, as numbers of a dictionary, in which null has a number as well."""
    columns = [column.combine_chunks() for column in cells.columns]
    columns[:keys] = [column.dictionary_encode(null_encoding="encode") for column in columns[:keys]]
    return pa.table(columns, names=cells.column_names)


def coarsened(
    spec: SummarySpec,
    schema: pa.Schema,
    cells: Mapping[str, pa.Table],
    keys: Mapping[str, CellKey],
    where: str | None,
    times: CellRange | None,
) -> Summary:
    """The state of a spec from finer cells.

    Parameters
    ----------
    spec : of the query: its keys and leaves.
    schema : of the source's rows, which decides the types of the state.
    cells : `encoded` tables of a finer state that has at least these leaves.
    keys : key of the spec to what it is of the cells.
    where : condition on the key columns of the cells.
    times : the cells to take; None for all.

    Raises `DataError` for a sum that does not fit 64 bits.
    """
    states = spec.state_schema(schema)
    tables = {}
    for name, state in states.items():
        held = cells[name]
        sketch = spec.rules[name].sketch if name != SCALARS else None
        values = state.names[len(keys) :] if sketch is None else [sketch.cell.name, sketch.value.name]
        columns = {key: _key(held[part.column], part) for key, part in keys.items()}
        columns |= {value: _only_chunk(held[value]) for value in values}
        if where is not None or times is not None:
            chosen = pa.array(_chosen(held, where, times))
            columns = {key: column.filter(chosen) for key, column in columns.items()}
        tables[name] = pa.table(columns)
    merged = merge([Summary(spec, tables)])
    return Summary(spec, {name: fitted(merged.tables[name], state) for name, state in states.items()})


def _key(column: pa.ChunkedArray, key: CellKey) -> pa.Array:
    held = _only_chunk(column)
    if key.of is None:
        return held
    few = key.of(held.dictionary).dictionary_encode(null_encoding="encode")
    return pa.DictionaryArray.from_arrays(few.indices.take(held.indices), few.dictionary)


def _chosen(cells: pa.Table, where: str | None, times: CellRange | None) -> np.ndarray:
    """Whether each cell is in a range and meets a condition.

    What these say of one column is computed once for each value there is.
    """
    chosen = np.ones(cells.num_rows, bool)
    if times is not None:
        held = _only_chunk(cells[times.column])
        few = np.ones(len(held.dictionary), bool)
        for bound, holds in ((times.low, pc.greater_equal), (times.high, pc.less)):
            if bound is not None:
                few &= holds(held.dictionary, bound).fill_null(False).to_numpy(zero_copy_only=False)
        chosen &= few[held.indices.to_numpy(zero_copy_only=False)]
    by_columns: dict[tuple[str, ...], list[str]] = {}
    for part in conjuncts(Expression.parse(where).tree) if where is not None else ():
        text = text_of(part)
        by_columns.setdefault(tuple(sorted(Expression.parse(text).columns)), []).append(text)
    for columns, texts in by_columns.items():
        condition = conjunction(texts) or "TRUE"
        if len(columns) == 1:
            held = _only_chunk(cells[columns[0]])
            few = _holds(condition, pa.table({columns[0]: held.dictionary}))
            chosen &= few[held.indices.to_numpy(zero_copy_only=False)]
        else:
            chosen &= _holds(condition, cells.select(columns or cells.column_names[:1]))
    return chosen


def _holds(condition: str, rows: pa.Table) -> np.ndarray:
    plain = pa.table(
        [column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column for column in rows],
        names=rows.column_names,
    )
    found = evaluate({"holds": condition}, plain).column(0).fill_null(False)
    return np.asarray(found.to_numpy())


def _only_chunk(column: pa.ChunkedArray) -> pa.Array:
    (held,) = column.chunks
    return held
