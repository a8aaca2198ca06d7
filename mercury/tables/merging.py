"""Upsert: rows replace those with the same keys, and the order in which upserts arrive need not matter."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable

from mercury.equality import normalized
from mercury.errors import DataError, SchemaError, did_you_mean
from mercury.tables.reading import require_plain


def prepare(rows: pa.Table, keys: Sequence[str], order_by: str | None, uri: str) -> pa.Table:
    """At most one row per key: the greatest by `order_by`, of equal ones the last (equal by `mercury.equality`).

    A float key is written as `normalized` has it, so that equal keys are the same bytes.
    """
    if not keys:
        raise SchemaError("an upsert needs key columns", where=uri)
    for name in [*keys, *([order_by] if order_by else [])]:
        if name not in rows.column_names:
            raise SchemaError(f"no column {name!r}", where=uri, fix=did_you_mean(name, rows.column_names))
    for name in keys:
        if rows.column(name).null_count:
            raise DataError(
                f"key column {name!r} has {rows.column(name).null_count} nulls, which are equal to nothing",
                where=uri,
                fix="Fill them or leave those rows out",
            )
        if pa.types.is_floating(rows.schema.field(name).type):
            column = normalized(rows.column(name)).cast(rows.schema.field(name).type)
            rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), column)
    place = pa.chunked_array([pa.array(range(rows.num_rows), pa.int64())])
    numbered = rows.select(list(dict.fromkeys([*keys, *([order_by] if order_by else [])])))
    numbered = numbered.append_column("mercury_place", place)
    if order_by:
        order = [(order_by, "ascending", "at_start"), ("mercury_place", "ascending", "at_end")]
        numbered = numbered.sort_by(order)
    last = numbered.group_by(list(keys), use_threads=False).aggregate([("mercury_place", "last")])
    if last.num_rows == rows.num_rows:
        return rows
    if not order_by:
        counted = numbered.group_by(list(keys)).aggregate([("mercury_place", "count")])
        twice = counted.filter(pc.greater(counted.column("mercury_place_count"), 1))
        shown = {name: twice.column(name)[0].as_py() for name in keys}
        raise DataError(
            f"{twice.num_rows} keys occur more than once, for instance {shown}",
            where=uri,
            fix="Pass order_by, the column whose greatest value wins",
        )
    return rows.take(last.column("mercury_place_last").combine_chunks().sort())


def merge(
    delta: DeltaTable, rows: pa.Table, keys: Sequence[str], order_by: str | None, properties: CommitProperties
) -> None:
    """One MERGE commit. It streams the source, since otherwise its least and greatest keys would go into the log."""
    require_plain(delta, str(delta.table_uri))
    matches = " AND ".join(_matches(name, rows.column(name)) for name in keys)
    newer = None
    if order_by:
        old, new = f"target.{_quoted(order_by)}", f"source.{_quoted(order_by)}"
        newer = f"{old} IS NULL OR {new} >= {old}"
    (
        delta.merge(
            rows,
            matches,
            source_alias="source",
            target_alias="target",
            streamed_exec=True,
            commit_properties=properties,
        )
        .when_matched_update_all(predicate=newer)
        .when_not_matched_insert_all()
        .execute()
    )


def _matches(name: str, keys: pa.ChunkedArray) -> str:
    old, new = f"target.{_quoted(name)}", f"source.{_quoted(name)}"
    if pa.types.is_floating(keys.type) and pc.any(pc.is_nan(keys)).as_py():
        # The engine tells one NaN from another. Asked like this it compares all rows, so only where it must.
        return f"({old} = {new} OR (isnan({old}) AND isnan({new})))"
    return f"{old} = {new}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
