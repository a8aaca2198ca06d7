"""From state to answers: `finish`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mercury.summaries.aggregates import Groups
from mercury.summaries.engines.grouping import group_rows, plain, row_order
from mercury.summaries.spec import SCALARS, Summary, SummarySpec, in_order

_NOTHING = pa.nulls(0, pa.int64())


def finish(summary: Summary) -> pa.Table:
    """One row per group, in the order of the group columns: these and one column per aggregate.

    Without group columns there is one row also when no row was seen, as in SQL: counts are 0 and the rest null.
    """
    spec = summary.spec
    scalars = in_order(summary, SCALARS)
    if not spec.key_names and scalars.num_rows == 0:
        scalars = _nothing_seen(spec, scalars.schema)
    count = scalars.num_rows if spec.key_names else 1
    answers = {name: scalars[name] for name in spec.key_names}
    for name, kept in spec.rules.items():
        group, cell, value = np.empty(0, np.int64), _NOTHING, np.empty(0, np.int64)
        if kept.sketch is not None:
            group, cell, value = _placed(summary.tables[name], scalars, spec)
        answers[name] = kept.finish(Groups(count, scalars, group, cell, value))
    return pa.table(answers)


def _placed(cells: pa.Table, scalars: pa.Table, spec: SummarySpec) -> tuple[np.ndarray, pa.Array, np.ndarray]:
    """A sketch's cells in order of group and cell, with the place of each cell's group among the sorted groups."""
    keys = spec.key_names
    number = np.zeros(cells.num_rows, np.int64)
    if keys:
        both = [pa.chunked_array([*scalars[key].chunks, *cells[key].chunks], scalars[key].type) for key in keys]
        # Groups are numbered by their first rows, and the sorted groups come first: their numbers are their places.
        number = group_rows(both, scalars.num_rows + cells.num_rows).number[scalars.num_rows :]
    cell, value = (plain(column) for column in cells.columns[len(keys) :])
    order = pa.array(row_order([pa.array(number), cell]))
    return number[order], cell.take(order), value.take(order).to_numpy()


def _nothing_seen(spec: SummarySpec, schema: pa.Schema) -> pa.Table:
    zeros = {
        column.name
        for kept in spec.rules.values()
        for column in kept.scalars
        if column.of == "count" or column.rule == "moments"
    }
    return pa.table(
        {field.name: pa.array([0 if field.name in zeros else None], field.type) for field in schema}, schema=schema
    )
