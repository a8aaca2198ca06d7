"""Summaries of Arrow tables in process: numbers for groups, numba kernels for values.

Row expressions are evaluated by `mercury.expressions`; everything after is one pass per state column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import SchemaError
from mercury.expressions import evaluate
from mercury.summaries.aggregates import TIMESTAMP, Kept, Sketch, StateColumn
from mercury.summaries.engines import duckdb, kernels
from mercury.summaries.engines.grouping import Grouping, as_numbers, group_rows, plain
from mercury.summaries.engines.sql import too_large
from mercury.summaries.spec import SCALARS, Summary, SummarySpec

_ALWAYS = "TRUE"
"""The argument of a count of rows, which no column is made for."""


def partial(spec: SummarySpec, rows: pa.Table | pa.RecordBatch) -> Summary:
    """The state of these rows."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    parts = spec.kept(table.schema)
    schemas = spec.state_schema(table.schema)
    texts = {name: spec.argument(aggregate) for name, aggregate in spec.aggregates.items()}
    seen = _evaluated(spec, texts.values(), table)
    keys = [plain(seen[f"k{place}"]) for place in range(len(spec.columns))]
    groups = group_rows(keys, seen.num_rows)
    times = None if spec.time is None else plain(seen["t"].cast(TIMESTAMP))
    place = pa.array(groups.first)
    columns: dict[str, pa.Array | np.ndarray] = {
        name: key.take(place) for name, key in zip(spec.columns, keys, strict=True)
    }
    tables: dict[str, pa.Table] = {}
    known: dict[object, _Argument] = {}
    sketched: dict[object, pa.Table] = {}
    for name, kept in parts.items():
        ordered = bool(kept.scalars) and kept.scalars[0].rule in ("earliest", "latest")
        same = (texts[name], kept.argument, kept.keeps_nan, ordered)
        if same not in known:
            column = None if texts[name] == _ALWAYS else seen[texts[name]]
            known[same] = _Argument.of(column, kept, groups, times if ordered else None)
        columns |= _scalars(kept, known[same])
        if kept.sketch is not None:
            # Quantiles of the same values at the same accuracy have the same cells.
            cells = (same, kept.sketch.sql("duckdb", "v"))
            if cells not in sketched:
                sketched[cells] = _cells(kept.sketch, known[same], groups, keys, schemas[name])
            tables[name] = sketched[cells].rename_columns(schemas[name].names)
    return Summary(spec, {SCALARS: _table(columns, schemas[SCALARS]), **tables})


def merge(summaries: Sequence[Summary]) -> Summary:
    """The state of all their rows; they have the same spec."""
    spec = summaries[0].spec
    tables = {}
    for name, first in summaries[0].tables.items():
        for other in summaries[1:]:
            _require_same_types(first.schema, other.tables[name].schema)
        held = pa.concat_tables([summary.tables[name] for summary in summaries])
        tables[name] = _merged_scalars(held, spec) if name == SCALARS else _merged_cells(held, spec, name)
    return Summary(spec, tables)


@dataclass(frozen=True)
class _Argument:
    """The values of an expression that count: nulls are left out, and NaN where it is no value.

    ``number`` is the group of each value; ``times`` are as int64, for what goes by time.
    """

    number: np.ndarray
    values: pa.Array
    times: np.ndarray
    groups: int

    @classmethod
    def of(cls, column: pa.ChunkedArray | None, kept: Kept, groups: Grouping, times: pa.Array | None) -> _Argument:
        number, at = groups.number, np.empty(0, np.int64)
        if column is None:
            return cls(number, pa.nulls(len(number)), at, groups.count)
        values = column.combine_chunks()
        if values.type != kept.argument:
            values = values.cast(kept.argument, safe=False)
        valid = values.is_valid().to_numpy(zero_copy_only=False) if values.null_count else None
        if pa.types.is_floating(values.type):
            # Minus zero plus zero is zero; a null becomes NaN.
            floats = values.to_numpy(zero_copy_only=False) + 0.0
            if not kept.keeps_nan:
                valid = floats == floats
            values = pa.array(floats)
        if times is not None:
            at = times.cast(pa.int64()).to_numpy(zero_copy_only=False)
            if times.null_count:
                # What has no time is neither first nor last.
                known = times.is_valid().to_numpy(zero_copy_only=False)
                valid = known if valid is None else valid & known
                at = times.cast(pa.int64()).fill_null(0).to_numpy()
        if valid is None or valid.all():
            return cls(number, values, at, groups.count)
        return cls(number[valid], values.filter(pa.array(valid)), at[valid] if len(at) else at, groups.count)

    @cached_property
    def counts(self) -> np.ndarray:
        """Values of each group."""
        return np.bincount(self.number, minlength=self.groups).astype(np.int64)

    @cached_property
    def numbers(self) -> np.ndarray:
        """The values as int64 or float64 that order as they do."""
        return as_numbers(self.values)


def _evaluated(spec: SummarySpec, texts: Iterable[str], table: pa.Table) -> pa.Table:
    """Keys ``k0``, ``k1``, …, the time ``t``, and each argument by its own text, of the rows that count."""
    wanted = {f"k{place}": text for place, text in enumerate(spec.columns.values())}
    if spec.time is not None:
        wanted["t"] = spec.time
    wanted |= {text: text for text in texts if text != _ALWAYS}
    return evaluate(wanted or {"row": _ALWAYS}, table, where=spec.where)


def _scalars(kept: Kept, argument: _Argument) -> Mapping[str, pa.Array | np.ndarray]:
    if not kept.scalars:
        return {}
    names = [column.name for column in kept.scalars]
    rule = kept.scalars[0].rule
    if rule == "moments":
        return dict(zip(names, _moments(argument), strict=True))
    if rule in ("earliest", "latest"):
        best = kernels.best_pairs(argument.number, argument.times, argument.numbers, argument.groups, rule == "latest")
        at = pa.array(argument.times).cast(TIMESTAMP)
        return {names[0]: _take(at, best), names[1]: _take(argument.values, best)}
    return {
        column.name: argument.counts if column.of == "count" else _reduced(column, argument) for column in kept.scalars
    }


def _moments(argument: _Argument) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    floats = argument.numbers
    with np.errstate(all="ignore"):
        means = kernels.sum_floats(argument.number, floats, argument.groups) / np.maximum(argument.counts, 1)
        # The mean of what has no finite sum tells nothing that could be merged.
        means = np.where(np.isfinite(means), means, np.nan)
        return argument.counts, means, kernels.squares(argument.number, floats, means)


def _reduced(column: StateColumn, argument: _Argument) -> pa.Array:
    """One column by `sum`, `min` or `max`; null for a group without values."""
    number, values, count = argument.number, argument.numbers, argument.groups
    if column.rule != "sum":
        return _take(argument.values, kernels.best_rows(number, values, count, column.rule == "max"))
    empty = argument.counts == 0
    if values.dtype == np.float64:
        return pa.array(kernels.sum_floats(number, values, count), mask=empty)
    sums, fit = kernels.sum_integers(number, values, count)
    if not fit:
        raise too_large(column.name)
    return pa.array(sums, mask=empty)


def _cells(
    sketch: Sketch, argument: _Argument, groups: Grouping, keys: Sequence[pa.Array], schema: pa.Schema
) -> pa.Table:
    number, values = argument.number, argument.values
    if sketch.cells is not None:
        cell, value = sketch.cells(values), None
    else:
        distinct = group_rows([values], len(values))
        cell, value = (
            part.take(pa.array(distinct.number)) for part in duckdb.cells(sketch, values.take(pa.array(distinct.first)))
        )
    merged = group_rows([pa.array(number), cell], len(number))
    held = pa.array(np.bincount(merged.number, minlength=merged.count)) if value is None else _greatest(merged, value)
    place = pa.array(groups.first[number[merged.first]])
    columns = [*(key.take(place) for key in keys), cell.take(pa.array(merged.first)), held]
    return _table(dict(zip(schema.names, columns, strict=True)), schema)


def _merged_cells(held: pa.Table, spec: SummarySpec, name: str) -> pa.Table:
    sketch = spec.rules[name].sketch
    assert sketch is not None
    *keys, value = (plain(column) for column in held.columns)
    groups = group_rows(keys, held.num_rows)
    if sketch.rule == "max":
        merged = _greatest(groups, value)
    else:
        sums, _ = kernels.sum_integers(groups.number, as_numbers(value), groups.count)
        merged = pa.array(sums)
    place = pa.array(groups.first)
    columns = [*(key.take(place) for key in keys), merged]
    return _table(dict(zip(held.column_names, columns, strict=True)), held.schema)


def _merged_scalars(held: pa.Table, spec: SummarySpec) -> pa.Table:
    keys = [plain(held[name]) for name in spec.key_names]
    groups = group_rows(keys, held.num_rows)
    place = pa.array(groups.first)
    columns: dict[str, pa.Array | np.ndarray] = {
        name: key.take(place) for name, key in zip(spec.key_names, keys, strict=True)
    }
    for kept in spec.rules.values():
        if not kept.scalars:
            continue
        names = [column.name for column in kept.scalars]
        rule = kept.scalars[0].rule
        if rule == "moments":
            parts = [as_numbers(plain(held[name])) for name in names]
            columns |= dict(zip(names, kernels.merge_moments(groups.number, *parts, groups.count), strict=True))
        elif rule in ("earliest", "latest"):
            at, value = (_with_value(held[name], groups) for name in names)
            best = kernels.best_pairs(at.number, at.numbers, value.numbers, groups.count, rule == "latest")
            columns |= {names[0]: _take(at.values, best), names[1]: _take(value.values, best)}
        else:
            for column in kept.scalars:
                merged = _reduced(column, _with_value(held[column.name], groups))
                columns[column.name] = pc.fill_null(merged, 0) if column.of == "count" else merged
    return _table(columns, held.schema)


def _with_value(column: pa.ChunkedArray, groups: Grouping) -> _Argument:
    """A state column as an argument: also NaN is a value, since it is what was found."""
    values = plain(column)
    number = groups.number
    if values.null_count:
        number, values = number[values.is_valid().to_numpy(zero_copy_only=False)], values.drop_null()
    return _Argument(number, values, np.empty(0, np.int64), groups.count)


def _greatest(groups: Grouping, value: pa.Array) -> pa.Array:
    return value.take(pa.array(kernels.best_rows(groups.number, as_numbers(value), groups.count, True)))


def _table(columns: Mapping[str, pa.Array | np.ndarray], schema: pa.Schema) -> pa.Table:
    if not schema.names:
        # A table without columns cannot say how many groups it has; there is one or none.
        return schema.empty_table()
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _take(values: pa.Array, place: np.ndarray) -> pa.Array:
    """Values at these places; -1 gives null."""
    return values.take(pa.array(place, mask=place < 0))


def _require_same_types(schema: pa.Schema, other: pa.Schema) -> None:
    if schema.names != other.names:
        raise SchemaError(f"summaries with the columns {schema.names} and {other.names} do not merge")
    for mine, theirs in zip(schema, other, strict=True):
        if mine.type != theirs.type:
            raise SchemaError(
                f"the column {mine.name!r} of a summary is {mine.type} here and {theirs.type} there",
                fix="Cast it in the definition, so that it has one type whatever the rows hold",
            )
