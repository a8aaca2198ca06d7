"""Bringing sources into the feature store: tables and panes → offline runs → online rows.

Progress is by the source's own versions (Delta versions of a table, pane ends of a stream), never by event time, so
rows that come late are caught. Every chunk is one transaction of the offline runs; a run that is interrupted goes on
where it stopped, and one that is repeated changes nothing. Online rows are made from offline ones: for each key the
newest that was known at `until`, which is what the point-in-time join would answer at that moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mercury.definitions import BatchTable, FeatureView
from mercury.errors import NotFoundError
from mercury.expressions import evaluate
from mercury.features.instants import NULL_INSTANT, Side, instants, to_timestamps
from mercury.features.layout import CREATED_TIME, EVENT_TIME, FeatureRuns, Manifest
from mercury.features.panes import materialize_panes
from mercury.features.publishing import Offline, publish, tell
from mercury.features.store import FeatureStore
from mercury.runtime import lineage
from mercury.tables import Table

CHUNK_ROWS = 500_000
"""Rows of a source that are held in memory at once."""

TABLE_VERSION, TABLE_URI = "table_version", "table"


@dataclass(frozen=True)
class Materialized:
    """What a materialization did.

    ``offline`` and ``online`` count rows added and online rows changed; ``dropped`` counts source rows that have no
    key or no event time, which no join could find. ``source`` says which version of what is in the store now.
    """

    view: str
    offline: int
    online: int
    dropped: int
    rebuilt: bool
    source: Mapping[str, Any]


def materialize(
    store: FeatureStore,
    view: FeatureView,
    *,
    until: int | None = None,
    rebuild: bool = False,
    online: bool = True,
    chunk_rows: int = CHUNK_ROWS,
) -> Materialized:
    """Bring a view up to date with its source, offline and online.

    Parameters
    ----------
    until : microseconds UTC; online rows are those known by then. None: all that are known.
    rebuild : make all offline rows anew (a backfill); this happens by itself when the definition or the history of
        the source has changed. Readers see the old rows until the new ones are complete.
    online : whether to write online rows.

    Raises `TableNotFoundError` when the source table does not exist, `SchemaError` when it does not fit the view.
    """
    with lineage.run(f"materialize.{view.name}", settings=store.settings) as told:
        done: Offline
        if isinstance(view.source, BatchTable):
            done = _materialize_table(store, view, rebuild, chunk_rows)
        else:
            done = materialize_panes(store, view, rebuild, until)
        changed = publish(store, view, until=until) if online else 0
        tell(told, store, view, done.offline, changed if online else None)
    return Materialized(view.name, done.offline, changed, done.dropped, done.rebuilt, done.source)


def rows_of_table(view: FeatureView, rows: pa.Table) -> tuple[pa.Table, int]:
    """Offline rows of a view from rows of its table, and how many were dropped for want of a key or an event time.

    Features and `where` are evaluated as SQL. The created time is never before the event time and the view's delay.
    """
    source = view.source
    assert isinstance(source, BatchTable) and view.entity is not None
    columns = {key: _column(key) for key in view.entity.keys}
    columns |= {name: text for name, text in view.columns.items() if isinstance(text, str)}
    columns |= {"__event": _column(source.event_time)}
    if source.created_time is not None:
        columns |= {"__created": _column(source.created_time)}
    table = evaluate(columns, rows, where=view.where)
    event = instants(table["__event"], Side.FEATURE, name=source.event_time, assume_tz="UTC")
    available = np.where(event == NULL_INSTANT, event, event + view.availability_delay)
    if source.created_time is not None:
        created = instants(table["__created"], Side.FEATURE, name=source.created_time, assume_tz="UTC")
        available = np.maximum(created, available)
    out = table.select([*view.entity.keys, *view.columns])
    out = out.append_column(EVENT_TIME, to_timestamps(event)).append_column(CREATED_TIME, to_timestamps(available))
    usable = pc.is_valid(out[EVENT_TIME])
    for key in view.entity.keys:
        usable = pc.and_(usable, pc.is_valid(out[key]))
    kept = out.filter(usable)
    return kept, out.num_rows - kept.num_rows


def _materialize_table(store: FeatureStore, view: FeatureView, rebuild: bool, chunk_rows: int) -> Offline:
    source = view.source
    assert isinstance(source, BatchTable) and view.entity is not None
    table = Table.open(store.lake.table(source.name))
    version = table.version
    lineage.current().input(table.uri, version=version)
    runs = store.runs(view.name)
    before = runs.manifest() if runs.exists() else None
    files = sorted(table.files(version=version))
    if before is None or rebuild or before.view_version != view.version or not _only_grew(table, before, files):
        return _rebuild(store, view, table, version, files, chunk_rows)
    since = int(before.sources[TABLE_VERSION])
    if since == version:
        return Offline(0, 0, False, before.sources)
    known = set(table.files(version=since))
    added = [file for file in files if file not in known]
    offline, dropped = _append(runs, view, table, version, added, chunk_rows)
    return Offline(offline, dropped, False, runs.manifest().sources)


def _only_grew(table: Table, before: Manifest, files: list[str]) -> bool:
    """Whether the table has only got files since; else rows were changed or removed, and only a rebuild is right."""
    since = before.sources.get(TABLE_VERSION)
    if since is None or since > table.version or before.sources.get(TABLE_URI) != table.uri:
        return False
    try:
        return set(table.files(version=since)) <= set(files)
    except NotFoundError:
        return False


def _rebuild(
    store: FeatureStore, view: FeatureView, table: Table, version: int, files: list[str], chunk_rows: int
) -> Offline:
    assert view.entity is not None
    runs = store.runs(view.name)
    staging = FeatureRuns(runs.folder.with_name(runs.folder.name + ".rebuild"))
    if staging.exists() and staging.manifest().sources.get("building") != [view.version, version]:
        staging.drop()  # of another attempt
    empty, _ = rows_of_table(view, table.schema.empty_table())
    fields = pa.schema([empty.schema.field(name) for name in (*view.entity.keys, *view.columns)])
    if not staging.exists():
        FeatureRuns.create(
            staging.folder,
            view=view.name,
            view_version=view.version,
            keys=view.entity.keys,
            features=fields,
            sources={"building": [view.version, version]},
        )
    offline, dropped = _append(staging, view, table, version, files, chunk_rows)
    if not runs.exists():
        FeatureRuns.create(
            runs.folder, view=view.name, view_version=view.version, keys=view.entity.keys, features=fields
        )
    after = runs.replace_with(staging)
    return Offline(offline, dropped, True, after.sources)


def _append(
    runs: FeatureRuns, view: FeatureView, table: Table, version: int, files: list[str], chunk_rows: int
) -> tuple[int, int]:
    """Append files of a table in chunks, each a transaction, and then say that the version is complete."""
    application = f"table@{version}"
    done = runs.manifest().transactions.get(application, -1)
    offline = dropped = 0
    for chunk, rows in enumerate(_chunks(table, version, files, chunk_rows)):
        if chunk > done:
            made, lost = rows_of_table(view, rows)
            dropped += lost
            offline += made.num_rows
            runs.append(made, epoch=version, transaction=(application, chunk))
    sources = {TABLE_URI: table.uri, TABLE_VERSION: version, "source": view.source.address if view.source else ""}
    # The cursor of this version is not needed again once the version is complete.
    runs.complete(application, sources)
    return offline, dropped


def _chunks(table: Table, version: int, files: list[str], chunk_rows: int) -> Iterator[pa.Table]:
    if table.partition_by:
        # Partition values are in the paths.
        yield from (part for file in files for part in _sliced(_read_partition(table, file), chunk_rows))
        return
    for file in files:
        with pq.ParquetFile(file.removeprefix("file://")) as parquet:
            for batch in parquet.iter_batches(batch_size=chunk_rows):
                yield _fill(pa.Table.from_batches([batch]), table.schema)


def _read_partition(table: Table, file: str) -> pa.Table:
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.read_parquet(file, hive_partitioning=True).to_arrow_table()
    return _fill(rows, table.schema)


def _sliced(rows: pa.Table, chunk_rows: int) -> Iterator[pa.Table]:
    for start in range(0, rows.num_rows, chunk_rows):
        yield rows.slice(start, chunk_rows)


def _fill(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """A file's rows under the table's schema; columns that were added after the file was written are null."""
    columns = [
        rows[field.name].cast(field.type) if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _column(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
