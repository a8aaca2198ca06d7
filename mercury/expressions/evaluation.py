"""Expressions over an Arrow table, in this process."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mercury.expressions import duckdb_process
from mercury.expressions.expression import Expression


def evaluate(
    columns: Mapping[str, str | Expression], table: pa.Table | pa.RecordBatch, where: str | Expression | None = None
) -> pa.Table:
    """One column per expression, one row per row of `table` that meets `where`, in the same order.

    Parameters
    ----------
    columns : output name to expression.
    table : rows to compute over; columns that no expression names may be of any type.
    where : condition; rows where it is false or NULL are left out.

    Raises `ExpressionError` when an expression does not fit the table. Safe to call from several threads at once; a
    call costs about a millisecond beside the work itself.
    """
    rows = pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else table
    parsed = {name: _expression(text) for name, text in columns.items()}
    schema = rows.schema
    types = {name: expression.check(schema) for name, expression in parsed.items()}
    condition = None if where is None else _expression(where)
    if condition is not None:
        condition.check_condition(schema)
    # What is a column already, in the type that it shall have, need not pass through DuckDB.
    held = {
        name: rows.column(str(expression.tree.value))
        for name, expression in parsed.items()
        if expression.tree.op == "column" and schema.field(str(expression.tree.value)).type == types[name]
    }
    computed = {name: expression for name, expression in parsed.items() if name not in held}
    if computed or condition is not None:
        found, chosen = _computed(computed, condition, rows)
        if chosen is not None:
            held = {name: column.combine_chunks().take(chosen) for name, column in held.items()}
        held |= dict(zip(computed, found, strict=True))
    return pa.Table.from_arrays([held[name] for name in parsed], names=list(parsed)).cast(
        pa.schema(list(types.items()))
    )


def _computed(
    columns: Mapping[str, Expression], condition: Expression | None, rows: pa.Table
) -> tuple[list[pa.ChunkedArray], pa.ChunkedArray | None]:
    """Columns by DuckDB, and the places of the rows that meet the condition, if there is one."""
    schema = rows.schema
    used = frozenset().union(*(part.columns for part in [*columns.values(), *([condition] if condition else [])]))
    needed = rows.select([name for name in schema.names if name in used])
    selected = [expression.sql("duckdb", schema) for expression in columns.values()]
    place = "mercury_place"
    while place in (name.lower() for name in needed.column_names):
        place += "_"
    if condition is not None or not used:
        # A table without columns would have no rows for DuckDB, and a constant still has one value per row.
        needed = needed.append_column(place, pa.array(np.arange(rows.num_rows)))
    if condition is not None:
        selected.append(place)
    query = f"SELECT {', '.join(f'{text} AS c{number}' for number, text in enumerate(selected))} FROM mercury_rows"
    if condition is not None:
        query += f" WHERE {condition.sql('duckdb', schema)}"
    # No access to files, and one thread, since actors bring their own.
    cursor = duckdb_process.cursor(threads=1, enable_external_access=False)
    try:
        cursor.register("mercury_rows", needed)
        found = cursor.sql(query).to_arrow_table().columns
    finally:
        cursor.close()
    return (found[:-1], found[-1]) if condition is not None else (found, None)


def _expression(text: str | Expression) -> Expression:
    return text if isinstance(text, Expression) else Expression.parse(text)
