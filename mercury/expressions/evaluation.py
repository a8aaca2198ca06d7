"""Expressions over an Arrow table, in this process."""

from __future__ import annotations

from collections.abc import Mapping

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
    result = pa.schema(list(types.items()))
    if condition is None and all(parsed[name].text in schema.names for name in parsed):
        picked = [rows.column(expression.text) for expression in parsed.values()]
        if all(column.type == type_ for column, type_ in zip(picked, types.values(), strict=True)):
            return pa.Table.from_arrays(picked, schema=result)

    used = frozenset().union(*(part.columns for part in [*parsed.values(), *([condition] if condition else [])]))
    needed = rows.select([name for name in schema.names if name in used])
    if not used:
        # A table without columns has no rows for DuckDB, and a constant still has one value per row.
        needed = pa.table({"row": pa.nulls(rows.num_rows, pa.bool_())})
    select = ", ".join(
        f'{expression.sql("duckdb", schema)} AS "{place}"' for place, expression in enumerate(parsed.values())
    )
    query = f"SELECT {select or 'TRUE'} FROM mercury_rows"
    if condition is not None:
        query += f" WHERE {condition.sql('duckdb', schema)}"
    # No access to files, and one thread, since actors bring their own.
    cursor = duckdb_process.cursor(threads=1, enable_external_access=False)
    try:
        cursor.register("mercury_rows", needed)
        answer = cursor.sql(query).to_arrow_table()
    finally:
        cursor.close()
    if not parsed:
        return pa.table({}, schema=result)
    return answer.rename_columns(list(parsed)).cast(result)


def _expression(text: str | Expression) -> Expression:
    return text if isinstance(text, Expression) else Expression.parse(text)
