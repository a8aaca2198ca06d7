"""Consistent reads of one version: files pruned by the log, rows by DuckDB, types as the table's schema says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from mercury.errors import CorruptDataError, NotFoundError, SchemaError, UnavailableError, UsageError, did_you_mean
from mercury.expressions import Expression, duckdb_process
from mercury.expressions.duckdb_files import parquet, parquet_column
from mercury.tables.failures import translated
from mercury.tables.pruning import file_ranges, may_hold
from mercury.tables.schemas import delta_type
from mercury.time import from_datetime, parse_instant, to_iso

_PLAIN_READER_FEATURES = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"})
"""Reader features that leave Parquet files to be read as they are; deletion vectors and column mapping do not."""


def arrow_schema(delta: DeltaTable) -> pa.Schema:
    """The table's columns as Arrow's plain types."""
    fields = pa.schema(delta.schema().to_arrow())
    return pa.schema([pa.field(field.name, delta_type(field.type), field.nullable) for field in fields])


def read(
    delta: DeltaTable, columns: Sequence[str] | None, where: str | None, uri: str, *, among: str | None = None
) -> pa.Table:
    """The columns of the rows that meet `where`; with `among`, of the files only that may hold rows that meet that."""
    schema = arrow_schema(delta)
    for name in columns or ():
        if name not in schema.names:
            raise SchemaError(f"no column {name!r}", where=uri, fix=did_you_mean(name, schema.names))
    wanted = pa.schema([schema.field(name) for name in columns]) if columns is not None else schema
    with translated(uri), _relation(delta, schema, where, among) as cursor:
        names = ", ".join(_quoted(name) for name in wanted.names) or "NULL AS nothing"
        answer = cursor.sql(f"SELECT {names} FROM self").to_arrow_table()
        if not wanted.names:
            return answer.select([])
        return pa.table(
            [column.cast(field.type) for column, field in zip(answer.columns, wanted, strict=True)],
            schema=pa.schema([field.with_nullable(True) for field in wanted]),
        )


def query(delta: DeltaTable, sql: str, where: str | None, uri: str) -> pa.Table:
    """The answer to a query over ``self``."""
    with _relation(delta, arrow_schema(delta), where) as cursor:
        try:
            return cursor.sql(sql).to_arrow_table()
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            raise UsageError(f"the query cannot run: {error}", where=uri, fix="The table is called self") from None
        except duckdb.Error:
            with translated(uri):
                raise


def files(delta: DeltaTable, where: str | None, uri: str) -> list[str]:
    """Addresses of the files that may hold such rows."""
    if not is_plain(delta):
        raise CorruptDataError(
            "the table has deletion vectors or mapped columns: its files hold more than its rows",
            where=uri,
            fix="Use read or query, which leave deleted rows out",
        )
    return [path for path, _ in _selected(delta, arrow_schema(delta), where)]


def is_plain(delta: DeltaTable) -> bool:
    """Whether the rows of the files are the rows of the table."""
    protocol = delta.protocol()
    if not set(protocol.reader_features or ()) <= _PLAIN_READER_FEATURES:
        return False
    return protocol.min_reader_version != 2 or delta.metadata().configuration.get("delta.columnMapping.mode") is None


def require_plain(delta: DeltaTable, uri: str) -> None:
    """Raise unless this library can rewrite the table: it might bring back rows that a deletion vector hides."""
    if not is_plain(delta):
        raise UnavailableError(
            "the table has deletion vectors or mapped columns: it can be read and appended to from here, not rewritten",
            where=uri,
            fix="Let Spark do it, or purge it there first: property off, then REORG TABLE … APPLY (PURGE)",
        )


def at_version(uri: str, version: int, options: Mapping[str, str] | None) -> DeltaTable:
    """The table as of a version that exists, or `NotFoundError` when its log entries were dropped."""
    try:
        return DeltaTable(uri, version=version, storage_options=dict(options or {}) or None)
    except Exception as error:
        raise NotFoundError(
            f"version {version} can no longer be read", where=uri, fix="The log keeps delta.logRetentionDuration"
        ) from error


def at_time(uri: str, as_of: datetime | int | str | None, options: Mapping[str, str] | None) -> DeltaTable:
    """The table as of the last commit at or before a time."""
    instant = parse_instant(as_of) if isinstance(as_of, str) else as_of
    instant = from_datetime(instant) if isinstance(instant, datetime) else int(instant or 0)
    delta = DeltaTable(uri, storage_options=dict(options or {}) or None)
    # Writers' clocks may step back; the log counts such a commit as made just after the one before.
    latest: int | None = None
    clock = -(2**63)
    for entry in reversed(delta.history()):
        clock = max(clock, int(entry["timestamp"]) * 1000)
        if clock <= instant:
            latest = int(entry["version"])
    if latest is None:
        raise NotFoundError(f"the table had no version at {to_iso(instant)}", where=uri)
    return at_version(uri, latest, options)


def selected_actions(delta: DeltaTable, where: str | None) -> list[dict[str, Any]]:
    """Path in the log, size and partition values as text of each file that may hold rows that meet `where`."""
    names = delta.metadata().partition_columns
    actions = pa.table(delta.get_add_actions(flatten=True))
    listed = actions.select(["path", "size_bytes"]).to_pylist()
    texts = {name: partition_text(actions.column(f"partition.{name}")).to_pylist() for name in names}
    return [
        {**listed[place], "partition_values": {name: texts[name][place] for name in names}}
        for _, place in _selected(delta, arrow_schema(delta), where)
    ]


def partition_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Partition values as Delta writes them ("Partition Value Serialization")."""
    if pa.types.is_timestamp(values.type):
        form = "%Y-%m-%dT%H:%M:%SZ" if values.type.tz else "%Y-%m-%d %H:%M:%S"
        return pc.strftime(values.cast(pa.timestamp("us")), format=form)
    return values.cast(pa.string())


def _selected(delta: DeltaTable, schema: pa.Schema, where: str | None) -> list[tuple[str, int]]:
    """Address and place in the log of each file that may hold such rows."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    root = _root(delta)
    paths = [_address(root, path) for path in actions.column("path").to_pylist()]
    places = list(range(len(paths)))
    if where is not None:
        condition = Expression.parse(where)
        condition.check_condition(schema)
        ranges = file_ranges(actions, schema, condition.columns, delta.metadata().partition_columns)
        places = [place for place in places if may_hold(condition, ranges[place], schema)]
    return [(paths[place], place) for place in places]


@contextmanager
def _relation(
    delta: DeltaTable, schema: pa.Schema, where: str | None, among: str | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB cursor in which ``self`` is the table's rows that meet `where`."""
    condition = None if where is None else Expression.parse(where)
    if condition is not None:
        condition.check_condition(schema)
    cursor = duckdb_process.cursor()
    try:
        if is_plain(delta) and "://" not in _root(delta):
            source = _files_source(cursor, delta, schema, among or where)
        else:
            cursor.register("mercury_scan", pa.table(delta.scan().read_all()))
            source = "SELECT * FROM mercury_scan"
        text = f"SELECT {', '.join(parquet_column(field) for field in schema)} FROM ({source})"
        if condition is not None:
            text = f"SELECT * FROM ({text}) WHERE {condition.sql('duckdb', schema)}"
        cursor.execute(f"CREATE OR REPLACE TEMP VIEW self AS {text}")
        yield cursor
    finally:
        cursor.close()


def _files_source(cursor: duckdb.DuckDBPyConnection, delta: DeltaTable, schema: pa.Schema, where: str | None) -> str:
    """SQL over the Parquet files. An empty table of the schema brings columns that old files do not have, and types
    that are wider by now; partition values come from the log, since names of folders promise nothing."""
    selected = _selected(delta, schema, where)
    cursor.register("mercury_schema", schema.empty_table())
    if not selected:
        return "SELECT * FROM mercury_schema"
    paths = [path for path, _ in selected]
    partition_by = list(delta.metadata().partition_columns)
    if not partition_by:
        return f"SELECT * FROM {parquet(paths)} UNION ALL BY NAME SELECT * FROM mercury_schema"
    actions = pa.table(delta.get_add_actions(flatten=True)).take(pa.array([place for _, place in selected]))
    values = {"mercury_path": pa.array(paths)}
    for name in partition_by:
        values[name] = actions.column(f"partition.{name}").cast(schema.field(name).type)
    cursor.register("mercury_partitions", pa.table(values))
    held = [name for name in schema.names if name not in partition_by]
    columns = ", ".join(
        [
            *(f"mercury_files.{_quoted(name)}" for name in held),
            *(f"mercury_partitions.{_quoted(p)}" for p in partition_by),
        ]
    )
    bare = ", ".join(_quoted(name) for name in held)
    files = parquet(paths, options="filename = 'mercury_path'")
    return (
        f"SELECT {columns} FROM (SELECT * FROM {files} "
        f"UNION ALL BY NAME SELECT {bare or 'NULL AS mercury_path'} FROM mercury_schema) AS mercury_files "
        "JOIN mercury_partitions USING (mercury_path)"
    )


def _root(delta: DeltaTable) -> str:
    root = delta.table_uri
    return unquote(root.removeprefix("file://")) if root.startswith("file://") else root


def _address(root: str, path: str) -> str:
    decoded = unquote(path)
    return decoded if decoded.startswith("/") or "://" in decoded else f"{root.rstrip('/')}/{decoded}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
