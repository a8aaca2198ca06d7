"""Summaries of Arrow tables in process: dictionary codes for groups, numba kernels for values.

Row expressions are evaluated by `mercury.expressions`; everything after is one pass per state column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import DataError
from mercury.expressions import evaluate
from mercury.summaries.aggregates import Kept, Sketch, StateColumn
from mercury.summaries.engines import kernels
from mercury.summaries.engines.grouping import Grouping, as_numbers, group_rows, plain
from mercury.summaries.spec import SCALARS, Summary, SummarySpec

_NO_ARGUMENT = "(TRUE)"
_ALWAYS = "TRUE"


def partial(spec: SummarySpec, rows: pa.Table | pa.RecordBatch) -> Summary:
    """The state of these rows."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    parts = spec.kept(table.schema)
    texts = {name: spec.argument(aggregate) for name, aggregate in spec.aggregates.items()}
    wanted = {f"k{place}": text for place, text in enumerate(spec.columns.values())}
    # Aggregates of the same expression share a column; a count of rows needs none.
    arguments = {text: f"a{place}" for place, text in enumerate(dict.fromkeys(texts.values())) if text != _ALWAYS}
    wanted |= {column: text for text, column in arguments.items()}
    if spec.time is not None:
        wanted["t"] = spec.time
    if not wanted:
        wanted = {"row": _NO_ARGUMENT}
    seen = evaluate(wanted, table, where=spec.where)

    keys = [plain(seen[f"k{place}"]) for place in range(len(spec.columns))]
    groups = group_rows(keys, seen.num_rows)
    times = _numbers(seen["t"]) if spec.time is not None else None
    scalars = {name: keys[place].take(pa.array(groups.first)) for place, name in enumerate(spec.columns)}
    tables: dict[str, pa.Table] = {}
    schemas = spec.state_schema(table.schema)
    for name, kept in parts.items():
        text = texts[name]
        argument = None if text == _ALWAYS else _argument(seen[arguments[text]], kept)
        scalars |= _scalars(kept, argument, groups, times)
        if kept.sketch is not None:
            assert argument is not None
            tables[name] = _cells(kept.sketch, argument, groups, keys, schemas[name])
    tables[SCALARS] = _table(scalars, schemas[SCALARS], groups.count)
    return Summary(spec, tables)


def merge(summaries: Sequence[Summary]) -> Summary:
    """The state of all their rows; they have the same spec."""
    spec = summaries[0].spec
    tables = {}
    for name in summaries[0].tables:
        held = pa.concat_tables([summary.tables[name] for summary in summaries])
        tables[name] = _merge_table(held, spec, name)
    return Summary(spec, tables)


def _argument(column: pa.ChunkedArray, kept: Kept) -> pa.Array:
    """The argument in the type that is kept, with NaN as null unless it counts."""
    array = plain(column)
    if array.type != kept.argument:
        array = plain(array.cast(kept.argument))
    if pa.types.is_floating(array.type) and not kept.keeps_nan:
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    return array


def _scalars(
    kept: Kept, argument: pa.Array | None, groups: Grouping, times: np.ndarray | None
) -> dict[str, pa.Array | np.ndarray]:
    if not kept.scalars:
        return {}
    number, values, kept_times = groups.number, argument, times
    if argument is not None and argument.null_count:
        valid = argument.is_valid().to_numpy(zero_copy_only=False)
        number, values = groups.number[valid], argument.drop_null()
        kept_times = None if times is None else times[valid]
    counts = np.bincount(number, minlength=groups.count).astype(np.int64)
    rule = kept.scalars[0].rule
    if rule == "moments":
        assert values is not None
        return _first_moments(kept, number, values, counts)
    if rule in ("earliest", "latest"):
        assert values is not None and kept_times is not None
        best = kernels.best_pairs(number, kept_times, as_numbers(values), groups.count, rule == "latest")
        at = pa.array(kept_times).cast(kept.scalars[0].type)
        return {kept.scalars[0].name: _take(at, best), kept.scalars[1].name: _take(values, best)}
    out: dict[str, pa.Array | np.ndarray] = {}
    for column in kept.scalars:
        if column.of == "count":
            out[column.name] = counts
        else:
            assert values is not None
            out[column.name] = _reduce(column, number, values, groups.count)
    return out


def _first_moments(kept: Kept, number: np.ndarray, values: pa.Array, counts: np.ndarray) -> dict[str, np.ndarray]:
    floats = values.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        means = kernels.sum_floats(number, floats, len(counts)) / np.maximum(counts, 1)
        m2 = kernels.squares(number, floats, means)
    return dict(zip((column.name for column in kept.scalars), (counts, means, m2), strict=True))


def _reduce(column: StateColumn, number: np.ndarray, values: pa.Array, count: int) -> pa.Array:
    """One column by `sum`, `min` or `max`; null for a group without values."""
    if column.rule != "sum":
        return _take(values, kernels.best_rows(number, as_numbers(values), count, column.rule == "max"))
    empty = np.bincount(number, minlength=count) == 0
    if pa.types.is_floating(values.type):
        return pa.array(kernels.sum_floats(number, values.to_numpy(zero_copy_only=False), count), mask=empty)
    sums, overflowed = kernels.sum_integers(number, values.to_numpy(zero_copy_only=False).astype(np.int64), count)
    if overflowed >= 0:
        raise DataError(
            f"the sum {column.name!r} is beyond 64 bits", where=f"group {overflowed}", fix="Sum it as a float"
        )
    return pa.array(sums, mask=empty)


def _cells(
    sketch: Sketch, argument: pa.Array, groups: Grouping, keys: Sequence[pa.Array], schema: pa.Schema
) -> pa.Table:
    valid = argument.is_valid().to_numpy(zero_copy_only=False)
    number, values = groups.number[valid], argument.drop_null()
    if pa.types.is_floating(values.type):
        cell, value = sketch.cells(values)
    else:
        # What costs most is done once for each distinct value.
        encoded = values.dictionary_encode()
        cell, value = (part.take(encoded.indices) for part in sketch.cells(encoded.dictionary))
    merged = group_rows([pa.array(number), cell], len(number))
    held = _combine(sketch.rule, merged, value)
    place = pa.array(groups.first[number[merged.first]])
    columns = [*(key.take(place) for key in keys), cell.take(pa.array(merged.first)), held]
    return pa.Table.from_arrays([_cast(a, f.type) for a, f in zip(columns, schema, strict=True)], schema=schema)


def _combine(rule: str, groups: Grouping, value: pa.Array) -> pa.Array:
    if rule == "max":
        return value.take(pa.array(kernels.best_rows(groups.number, as_numbers(value), groups.count, True)))
    sums, _ = kernels.sum_integers(groups.number, value.cast(pa.int64()).to_numpy(), groups.count)
    return pa.array(sums)


def _merge_table(held: pa.Table, spec: SummarySpec, name: str) -> pa.Table:
    keys = [plain(held[key]) for key in spec.key_names]
    if name != SCALARS:
        sketch = spec.rules[name].sketch
        assert sketch is not None
        keys.append(plain(held.column(len(keys))))
        groups = group_rows(keys, held.num_rows)
        value = _combine(sketch.rule, groups, plain(held.column(len(keys))))
        columns = [*(key.take(pa.array(groups.first)) for key in keys), value]
        return pa.Table.from_arrays(
            [_cast(array, field.type) for array, field in zip(columns, held.schema, strict=True)], schema=held.schema
        )
    groups = group_rows(keys, held.num_rows)
    merged: dict[str, pa.Array | np.ndarray] = {
        key: keys[place].take(pa.array(groups.first)) for place, key in enumerate(spec.key_names)
    }
    for kept in spec.rules.values():
        merged |= _merge_scalars(held, kept, groups)
    return _table(merged, held.schema, groups.count)


def _merge_scalars(held: pa.Table, kept: Kept, groups: Grouping) -> dict[str, pa.Array | np.ndarray]:
    if not kept.scalars:
        return {}
    names = [column.name for column in kept.scalars]
    rule = kept.scalars[0].rule
    if rule == "moments":
        parts = [plain(held[column]).to_numpy(zero_copy_only=False) for column in names]
        return dict(zip(names, kernels.merge_moments(groups.number, *parts, groups.count), strict=True))
    if rule in ("earliest", "latest"):
        at, value = plain(held[names[0]]), plain(held[names[1]])
        valid = at.is_valid()
        number = groups.number[valid.to_numpy(zero_copy_only=False)]
        at, value = at.filter(valid), value.filter(valid)
        best = kernels.best_pairs(number, as_numbers(at), as_numbers(value), groups.count, rule == "latest")
        return {names[0]: _take(at, best), names[1]: _take(value, best)}
    out: dict[str, pa.Array | np.ndarray] = {}
    for column in kept.scalars:
        values = plain(held[column.name])
        number = groups.number[values.is_valid().to_numpy(zero_copy_only=False)]
        reduced = _reduce(column, number, values.drop_null(), groups.count)
        out[column.name] = pc.fill_null(reduced, 0) if column.of == "count" else reduced
    return out


def _table(columns: dict[str, pa.Array | np.ndarray], schema: pa.Schema, count: int) -> pa.Table:
    if not schema.names:
        # A table without columns cannot say how many groups it has; there is one or none.
        return pa.table({}, schema=schema)
    arrays = [_cast(pa.array(columns[field.name]), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema).slice(0, count)


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array if array.type == kind else array.cast(kind)


def _take(values: pa.Array, place: np.ndarray) -> pa.Array:
    """Values at these places; -1 gives null."""
    return values.take(pa.array(place, mask=place < 0))


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return plain(column.cast(pa.timestamp("us", tz="UTC"))).cast(pa.int64()).fill_null(0).to_numpy()
