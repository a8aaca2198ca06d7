"""Parquet files that others wrote into the table's folder: footers become the statistics of one commit."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction

from mercury.errors import CorruptDataError, NotFoundError, SchemaError, UsageError
from mercury.tables.reading import arrow_schema
from mercury.tables.schemas import NO_VALUE, delta_type, same_type
from mercury.time import to_iso

INDEXED_COLUMNS = 32
"""How many columns have statistics unless ``delta.dataSkippingNumIndexedCols`` or ``…StatsColumns`` says otherwise."""
STATISTICS_TEXT = 32
"""Longest text in a statistic, in code points; a longer maximum is rounded up."""


def commit_files(delta: DeltaTable, actions: Sequence[AddAction], properties: CommitProperties) -> None:
    """One commit that adds these files; without any it holds only its transaction and provenance."""
    delta.create_write_transaction(
        list(actions), "append", delta.schema(), list(delta.metadata().partition_columns), commit_properties=properties
    )
    # Unlike other writes this one leaves the object at the version before.
    delta.update_incremental()


def read_files(delta: DeltaTable, paths: Sequence[str], uri: str) -> tuple[list[AddAction], int]:
    """One add action per file, with statistics, and the rows in all of them."""
    schema = arrow_schema(delta)
    root = Path(unquote(delta.table_uri.removeprefix("file://"))).resolve()
    if "://" in uri and not uri.startswith("file://"):
        raise UsageError("files can be added to tables in a folder only", where=uri, fix="Use append")
    known = {unquote(path) for path in pa.table(delta.get_add_actions()).column("path").to_pylist()}
    indexed = indexed_columns(delta, schema)
    actions, total = [], 0
    for text in paths:
        path = Path(text) if Path(text).is_absolute() else root / text
        if not path.is_file():
            raise NotFoundError(f"no file {str(path)!r}", where=uri)
        path = path.resolve()
        if root not in path.parents:
            raise UsageError(
                f"{str(path)!r} is not in the table's folder",
                where=uri,
                fix="Write it there first: files are not copied",
            )
        relative = path.relative_to(root).as_posix()
        if relative in known:
            raise UsageError(f"{str(path)!r} is in the table already", where=uri, fix="Add each file once")
        known.add(relative)
        action, rows = _action(path, root, relative, schema, delta.metadata().partition_columns, indexed, uri)
        actions.append(action)
        total += rows
    return actions, total


def indexed_columns(delta: DeltaTable, schema: pa.Schema) -> set[str]:
    """Columns that may have statistics in the log."""
    configuration = delta.metadata().configuration
    listed = configuration.get("delta.dataSkippingStatsColumns")
    if listed is not None:
        return {name.strip().strip("`") for name in listed.split(",") if name.strip()}
    count = int(configuration.get("delta.dataSkippingNumIndexedCols", INDEXED_COLUMNS))
    return set(schema.names if count < 0 else schema.names[:count])


def add_action(
    path: str,
    size: int,
    modified: int,
    values: Mapping[str, str | None],
    footer: pq.FileMetaData,
    schema: pa.Schema,
    indexed: set[str],
) -> AddAction:
    """The log's entry for a file, with statistics from its footer.

    `path` is plain and within the table (delta-rs quotes it); `modified` is in milliseconds.
    """
    return AddAction(
        path=path,
        size=size,
        partition_values=dict(values),
        modification_time=modified,
        data_change=True,
        stats=json.dumps(_statistics(footer, schema, indexed - set(values))),
    )


def _action(
    path: Path,
    root: Path,
    relative: str,
    schema: pa.Schema,
    partition_by: Sequence[str],
    indexed: set[str],
    uri: str,
) -> tuple[AddAction, int]:
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptDataError(f"{str(path)!r} is not a whole Parquet file: {error}", where=uri) from None
    _check(metadata.schema.to_arrow_schema(), schema, partition_by, str(path), uri)
    values = _partition_values(path, root, partition_by, uri)
    stat = path.stat()
    modified = int(stat.st_mtime * 1000) or int(time.time() * 1000)
    action = add_action(relative, stat.st_size, modified, values, metadata, schema, indexed)
    return action, int(metadata.num_rows)


def _check(given: pa.Schema, schema: pa.Schema, partition_by: Sequence[str], path: str, uri: str) -> None:
    for field in given:
        if field.name in partition_by:
            raise SchemaError(
                f"{path!r} holds partition column {field.name!r}", where=uri, fix="Leave it to the folder"
            )
        if field.name not in schema.names:
            raise SchemaError(f"{path!r} has a column {field.name!r} that the table does not have", where=uri)
        expected = schema.field(field.name).type
        # Spark's older INT96 times have no zone in the footer, but mean UTC.
        spark_time = pa.types.is_timestamp(expected) and field.type == pa.timestamp("ns")
        if not same_type(delta_type(field.type), expected) and not spark_time:
            raise SchemaError(
                f"{path!r} has column {field.name!r} of type {field.type}, but the table has {expected}", where=uri
            )
    for field in schema:
        if not field.nullable and field.name not in given.names and field.name not in partition_by:
            raise SchemaError(f"{path!r} lacks column {field.name!r}, which must not be null", where=uri)


def _partition_values(path: Path, root: Path, partition_by: Sequence[str], uri: str) -> dict[str, str | None]:
    if not partition_by:
        return {}
    folders = dict(part.split("=", 1) for part in path.relative_to(root).parts[:-1] if "=" in part)
    values: dict[str, str | None] = {}
    for name in partition_by:
        if name not in folders:
            raise SchemaError(f"{str(path)!r} is in no folder '{name}=…', which says its partition", where=uri)
        value = unquote(folders[name])
        values[name] = None if value in (NO_VALUE, "") else value
    return values


def _statistics(metadata: pq.FileMetaData, schema: pa.Schema, indexed: set[str]) -> dict[str, Any]:
    """Delta's statistics from the footer's. A bound that some row group does not have is left out."""
    lows: dict[str, Any] = {}
    highs: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for place in range(metadata.num_columns):
        name = metadata.schema.column(place).path
        if name not in indexed or name not in schema.names:
            continue
        parts = [metadata.row_group(group).column(place).statistics for group in range(metadata.num_row_groups)]
        if any(part is None or not part.has_null_count for part in parts):
            continue
        nulls[name] = sum(part.null_count for part in parts)
        filled = [part for part in parts if part.num_values]
        if not filled or not all(part.has_min_max for part in filled):
            continue
        try:
            low, high = min(part.min for part in filled), max(part.max for part in filled)
            least, greatest = _bound(low, schema.field(name).type, False), _bound(high, schema.field(name).type, True)
        except (OverflowError, ValueError):
            # Beyond the year 9999, where Python's times end.
            continue
        if least is not None:
            lows[name] = least
        if greatest is not None:
            highs[name] = greatest
    for name in indexed:
        if name in schema.names and name not in metadata.schema.to_arrow_schema().names:
            nulls[name] = metadata.num_rows
    return {"numRecords": metadata.num_rows, "minValues": lows, "maxValues": highs, "nullCount": nulls}


def _bound(value: Any, type_: pa.DataType, upper: bool) -> Any:
    """A statistic as Delta's JSON has it; None when it cannot be told."""
    if pa.types.is_boolean(type_) or pa.types.is_integer(type_):
        return value
    if pa.types.is_floating(type_):
        return value if math.isfinite(value) else None
    if pa.types.is_date(type_):
        return value.isoformat()
    if pa.types.is_timestamp(type_):
        micros = pa.scalar(value).cast(pa.timestamp("us", tz="UTC" if value.tzinfo else None)).value
        whole = -(-micros // 1000) * 1000 if upper else micros // 1000 * 1000
        text = to_iso(whole).removesuffix("Z")
        text = f"{text}.000" if "." not in text else text[: text.index(".") + 4]
        return f"{text}Z" if type_.tz else text.replace("T", " ")
    if pa.types.is_string(type_) and isinstance(value, str):
        if len(value) <= STATISTICS_TEXT:
            return value
        return value[:STATISTICS_TEXT] + "\U0010ffff" if upper else value[:STATISTICS_TEXT]
    return None
