"""Writes that replace rows: all of them, those that meet a condition, or all of them in wider types."""

from __future__ import annotations

import time
import uuid
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction, RemoveAction

from mercury.errors import DataError
from mercury.expressions import Expression, evaluate
from mercury.tables.filing import add_action, indexed_columns
from mercury.tables.layout import DICTIONARY_BYTES, PROPERTIES, ROWS_PER_GROUP
from mercury.tables.reading import arrow_schema, read, require_plain, selected_actions
from mercury.tables.scanning import partition_text
from mercury.tables.schemas import NO_VALUE, Fit

_ROWS_PER_FILE = 4_000_000


def overwrite(delta: DeltaTable, rows: pa.Table, where: str | None, properties: CommitProperties, uri: str) -> None:
    """Replace the rows that meet `where` by `rows`, or all when there is no condition.

    Only files that may hold such rows are written again, without them. The condition is evaluated by our own engine, so
    that it means what it means everywhere else. The change feed shows a rewritten file's rows as deleted and inserted.
    """
    require_plain(delta, uri)
    if where is not None:
        _require(rows, where, arrow_schema(delta), uri)
    touched = selected_actions(delta, where)
    stay = (
        read(delta, None, f"NOT coalesce({where}, FALSE)", uri, among=where) if where is not None else rows.slice(0, 0)
    )
    added = write_files(delta, pa.concat_tables([stay.cast(rows.schema), rows]))
    now = int(time.time() * 1000)
    names = list(delta.metadata().partition_columns)
    removed = [
        RemoveAction(
            path=unquote(action["path"]),
            data_change=True,
            deletion_timestamp=now,
            size=action["size_bytes"],
            partition_values={name: action["partition_values"][name] for name in names},
        )
        for action in touched
    ]
    delta.create_write_transaction([*added, *removed], "append", delta.schema(), names, commit_properties=properties)
    delta.update_incremental()


def rewrite(delta: DeltaTable, ready: Fit, properties: CommitProperties) -> None:
    """Append rows whose columns are wider: everything is written again in the new types, in one commit.

    Files of the narrow type cannot stay: readers that lack Delta's type widening would refuse them.
    """
    require_plain(delta, str(delta.table_uri))
    held = read(delta, None, None, str(delta.table_uri))
    filled = [
        held.column(field.name).cast(field.type)
        if field.name in held.column_names
        else pa.nulls(held.num_rows, field.type)
        for field in ready.schema
    ]
    rows = pa.concat_tables([pa.table(filled, schema=ready.schema), ready.rows])
    write_deltalake(
        delta,
        rows,
        mode="overwrite",
        schema_mode="overwrite",
        writer_properties=PROPERTIES,
        commit_properties=properties,
    )


def write_files(delta: DeltaTable, rows: pa.Table) -> list[AddAction]:
    """Data files of these rows in the table's folder, not yet part of the table: one or more per partition."""
    files = pafs.PyFileSystem(DeltaStorageHandler.from_table(delta._table))
    schema = arrow_schema(delta)
    partition_by = list(delta.metadata().partition_columns)
    indexed = indexed_columns(delta, schema)
    held = [name for name in schema.names if name not in partition_by]
    actions = []
    for values, part in _partitions(rows, partition_by):
        folder = "".join(f"{name}={quote(value or NO_VALUE, safe='-_.~')}/" for name, value in values.items())
        for start in range(0, part.num_rows, _ROWS_PER_FILE):
            path = f"{folder}part-{uuid.uuid4()}-c000.snappy.parquet"
            footers: list[pq.FileMetaData] = []
            with files.open_output_stream(path) as sink:
                piece = part.select(held).slice(start, _ROWS_PER_FILE)
                with pq.ParquetWriter(
                    sink, piece.schema, compression="snappy", dictionary_pagesize_limit=DICTIONARY_BYTES
                ) as writer:
                    writer.write_table(piece, row_group_size=ROWS_PER_GROUP)
                footers.append(writer.writer.metadata)
                size = sink.tell()
            actions.append(add_action(path, size, int(time.time() * 1000), values, footers[0], schema, indexed))
    return actions


def _require(rows: pa.Table, where: str, schema: pa.Schema, uri: str) -> None:
    condition = Expression.parse(where)
    condition.check_condition(schema)
    met = evaluate({"met": f"coalesce({where}, FALSE)"}, rows).column("met")
    outside = rows.num_rows - (pc.sum(met).as_py() or 0)
    if outside:
        raise DataError(
            f"{outside} of {rows.num_rows} rows do not meet {where!r}, which they are to replace",
            where=uri,
            fix="Leave them out, or widen the condition",
        )


def _partitions(rows: pa.Table, partition_by: list[str]) -> list[tuple[dict[str, str | None], pa.Table]]:
    if not rows.num_rows:
        return []
    if not partition_by:
        return [({}, rows)]
    place = pa.array(range(rows.num_rows), pa.int64())
    groups = rows.select(partition_by).append_column("mercury_place", place).group_by(partition_by)
    listed = groups.aggregate([("mercury_place", "list")])
    texts = {name: partition_text(listed.column(name)).to_pylist() for name in partition_by}
    return [
        ({name: texts[name][row] for name in partition_by}, rows.take(listed.column("mercury_place_list")[row].values))
        for row in range(listed.num_rows)
    ]
