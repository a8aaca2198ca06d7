"""The change feed: which rows each commit inserted, updated or deleted, read from the log.

A commit either lists change files of its own (updates, deletes, merges) or its added files are inserts and its removed
ones deletes (Delta protocol, "Change Data Files"). delta-rs's own reader fails on partition values that a path has to
quote, and on versions with fewer columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler

from mercury.errors import CorruptDataError, NotFoundError, UsageError
from mercury.tables.reading import arrow_schema
from mercury.tables.scanning import partition_values

CHANGE_COLUMNS = (
    pa.field("_change_type", pa.string()),
    pa.field("_commit_version", pa.int64()),
    pa.field("_commit_timestamp", pa.timestamp("us", tz="UTC")),
)


def changes(delta: DeltaTable, since: int, until: int | None, uri: str) -> pa.Table:
    """Changes by the versions in ``(since, until]``, in the columns that the table has now."""
    if delta.metadata().configuration.get("delta.enableChangeDataFeed") != "true":
        raise UsageError(
            "the table keeps no change feed", where=uri, fix="Set its property delta.enableChangeDataFeed to true"
        )
    fields = arrow_schema(delta)
    schema = pa.schema([*fields, *CHANGE_COLUMNS])
    latest = int(delta.version())
    last = latest if until is None else min(until, latest)
    files = pafs.PyFileSystem(DeltaStorageHandler.from_table(delta._table))
    found = [
        part.select(schema.names)
        for version in range(max(since, -1) + 1, last + 1)
        for part in _of_version(files, version, fields, uri)
    ]
    return pa.concat_tables([schema.empty_table(), *found])


def log_actions(files: pafs.FileSystem, version: int, uri: str) -> list[dict[str, Any]]:
    """The actions of one commit; `NotFoundError` when its entry was dropped."""
    path = f"_delta_log/{version:020d}.json"
    try:
        with files.open_input_stream(path) as stream:
            text = stream.read().decode()
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except FileNotFoundError:
        raise NotFoundError(
            f"the changes of version {version} are no longer kept", where=uri, fix="Read the table itself instead"
        ) from None
    except ValueError as error:
        raise CorruptDataError(f"log entry {path} is not JSON: {error}", where=uri) from None


def _of_version(files: pafs.FileSystem, version: int, schema: pa.Schema, uri: str) -> Iterator[pa.Table]:
    actions = log_actions(files, version, uri)
    infos = [action["commitInfo"] for action in actions if "commitInfo" in action]
    moment = int(infos[0].get("timestamp", 0)) * 1000 if infos else 0
    listed = [action["cdc"] for action in actions if "cdc" in action]
    kinds = [("cdc", "")] if listed else [("add", "insert"), ("remove", "delete")]
    for key, change in kinds:
        for action in actions:
            file = action.get(key)
            if file is None or (key != "cdc" and not file.get("dataChange", True)):
                continue
            if file.get("deletionVector"):
                raise CorruptDataError(
                    f"version {version} deletes rows by a vector and lists no changes", where=uri, fix="Read the table"
                )
            rows = _rows(files, file, schema, uri)
            if change:
                rows = rows.append_column("_change_type", pa.repeat(change, rows.num_rows))
            rows = rows.append_column("_commit_version", pa.repeat(version, rows.num_rows))
            stamp = pa.scalar(moment, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
            yield rows.append_column("_commit_timestamp", pa.repeat(stamp, rows.num_rows))


def _rows(files: pafs.FileSystem, action: Mapping[str, Any], schema: pa.Schema, uri: str) -> pa.Table:
    path = unquote(str(action["path"]))
    try:
        with files.open_input_file(path) as source:
            held = pq.ParquetFile(source, coerce_int96_timestamp_unit="us").read()
    except FileNotFoundError:
        raise NotFoundError(
            f"file {path!r} of an earlier version was vacuumed", where=uri, fix="Read the table itself instead"
        ) from None
    partition = action.get("partitionValues") or {}
    columns: dict[str, Any] = {}
    for field in schema:
        if field.name in partition:
            value = partition_values([partition[field.name]], field.type)[0]
            columns[field.name] = pa.repeat(value, held.num_rows)
        elif field.name in held.column_names:
            columns[field.name] = held.column(field.name).cast(field.type)
        else:
            columns[field.name] = pa.nulls(held.num_rows, field.type)
    if "_change_type" in held.column_names:
        columns["_change_type"] = held.column("_change_type").cast(pa.string())
    return pa.table(columns)
