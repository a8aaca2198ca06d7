"""Consistent reads of one version: files pruned by the log, rows by DuckDB, types as the table's schema says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from mercury.errors import NotFoundError, SchemaError, UnavailableError, UsageError, did_you_mean
from mercury.expressions import Expression, duckdb_process
from mercury.expressions.duckdb_files import parquet_column
from mercury.tables.failures import translated
from mercury.tables.pruning import file_ranges, may_hold
from mercury.tables.scanning import DataFile, partition_text, scan
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
    wanted = pa.schema([_nullable(schema.field(name)) for name in (schema.names if columns is None else columns)])
    with translated(uri), _relation(delta, schema, where, among) as cursor:
        names = ", ".join(_quoted(name) for name in wanted.names) or "NULL AS nothing"
        answer = cursor.sql(f"SELECT {names} FROM self").to_arrow_table()
        if not wanted.names:
            return answer.select([])
        return pa.table(
            [column.cast(field.type) for column, field in zip(answer.columns, wanted, strict=True)],
            schema=wanted,
        )


def _nullable(field: pa.Field) -> pa.Field:
    """The field, which may be null at every depth: what must not be null in a struct is null where the struct is."""
    type_ = field.type
    if pa.types.is_struct(type_):
        type_ = pa.struct([_nullable(part) for part in type_])
    elif pa.types.is_list(type_):
        type_ = pa.list_(_nullable(type_.value_field))
    elif pa.types.is_map(type_):
        type_ = pa.map_(_nullable(type_.key_field).type, _nullable(type_.item_field))
    return pa.field(field.name, type_)


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
    return [each.path for each in data_files(delta, where, uri)]


def data_files(delta: DeltaTable, where: str | None, uri: str) -> list[DataFile]:
    """The files that may hold such rows, each with its partition values; errors are those of `files`."""
    _require_files(delta, uri)
    actions = pa.table(delta.get_add_actions(flatten=True))
    texts = _partition_texts(delta, actions)
    return [
        DataFile(path, {name: values[place] for name, values in texts.items()})
        for path, place in _selected(delta, actions, where)
    ]


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
            f"the table uses {_in_the_way(delta)}: it can be read and appended to from here, not rewritten",
            where=uri,
            fix="Let Spark do it, or turn the feature off there first (deletion vectors: REORG TABLE … APPLY (PURGE))",
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
    actions = pa.table(delta.get_add_actions(flatten=True))
    listed = actions.select(["path", "size_bytes"]).to_pylist()
    texts = _partition_texts(delta, actions)
    return [
        {**listed[place], "partition_values": {name: values[place] for name, values in texts.items()}}
        for _, place in _selected(delta, actions, where)
    ]


def _require_files(delta: DeltaTable, uri: str) -> None:
    if not is_plain(delta):
        raise UnavailableError(
            f"the rows of the table are not those of its files: it uses {_in_the_way(delta)}",
            where=uri,
            fix="Use read or query, which give its rows",
        )


def _in_the_way(delta: DeltaTable) -> str:
    """The features for which a table is not plain, in words."""
    names = sorted(set(delta.protocol().reader_features or ()) - _PLAIN_READER_FEATURES) or ["columnMapping"]
    words = {"deletionVectors": "deletion vectors", "columnMapping": "mapped columns"}
    return " and ".join(words.get(name, name) for name in names)


def _partition_texts(delta: DeltaTable, actions: pa.Table) -> dict[str, list[str | None]]:
    names = delta.metadata().partition_columns
    return {name: partition_text(actions.column(f"partition.{name}")).to_pylist() for name in names}


def _selected(delta: DeltaTable, actions: pa.Table, where: str | None) -> list[tuple[str, int]]:
    """Address and place among the actions of each file that may hold such rows."""
    root = _root(delta)
    paths = [_address(root, path) for path in actions.column("path").to_pylist()]
    places = list(range(len(paths)))
    if where is not None:
        schema = arrow_schema(delta)
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
            source = scan(cursor, data_files(delta, among or where, str(delta.table_uri)), schema, "mercury")
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


def _root(delta: DeltaTable) -> str:
    root = delta.table_uri
    return unquote(root.removeprefix("file://")) if root.startswith("file://") else root


def _address(root: str, path: str) -> str:
    decoded = unquote(path)
    return decoded if decoded.startswith("/") or "://" in decoded else f"{root.rstrip('/')}/{decoded}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
