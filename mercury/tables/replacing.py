"""Writes that replace rows: all of them, those that meet a condition, or all of them in wider types."""

from __future__ import annotations

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from mercury.errors import DataError
from mercury.expressions import Expression, evaluate
from mercury.tables.reading import arrow_schema, read
from mercury.tables.schemas import Fit


def overwrite(delta: DeltaTable, rows: pa.Table, where: str | None, properties: CommitProperties, uri: str) -> None:
    """Replace the rows that meet `where` by `rows`, or all when there is no condition.

    The condition is evaluated by our own engine, so that it means what it means everywhere else: the rows that stay
    are read and written again with the new ones, except for whole files that the condition cannot touch.
    """
    if where is not None:
        condition = Expression.parse(where)
        condition.check_condition(arrow_schema(delta))
        met = evaluate({"met": f"coalesce({where}, FALSE)"}, rows).column("met")
        outside = len(met) - sum(bool(value) for value in met.to_pylist())
        if outside:
            raise DataError(
                f"{outside} of {rows.num_rows} rows do not meet {where!r}, which they are to replace",
                where=uri,
                fix="Leave them out, or widen the condition",
            )
        stay = read(delta, None, f"NOT coalesce({where}, FALSE)", uri)
        rows = pa.concat_tables([stay.cast(rows.schema), rows])
    write_deltalake(delta, rows, mode="overwrite", commit_properties=properties)


def rewrite(delta: DeltaTable, ready: Fit, properties: CommitProperties) -> None:
    """Append rows whose columns are wider: everything is written again in the new types, in one commit.

    Files of the narrow type cannot stay: readers that lack Delta's type widening would refuse them.
    """
    held = read(delta, None, None, delta.table_uri)
    filled = [
        held.column(field.name).cast(field.type)
        if field.name in held.column_names
        else pa.nulls(held.num_rows, field.type)
        for field in ready.schema
    ]
    rows = pa.concat_tables([pa.table(filled, schema=ready.schema), ready.rows])
    write_deltalake(delta, rows, mode="overwrite", schema_mode="overwrite", commit_properties=properties)
