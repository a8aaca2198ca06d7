"""A Delta Lake table: the verbs, each one commit or one consistent read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.exceptions import TableNotFoundError as DeltaTableNotFoundError

from mercury.errors import CommitConflictError, CorruptDataError, FencedError, MercuryError, NotFoundError
from mercury.tables import changefeed, erasure, filing, maintenance, merging, reading, replacing, sameness
from mercury.tables.commits import Commit, TableVersion, Transaction, commit_properties, read_commit
from mercury.tables.erasure import ErasureCertificate
from mercury.tables.failures import feature_error, not_found, translated, unsupported
from mercury.tables.layout import PROPERTIES
from mercury.tables.scanning import DataFile
from mercury.tables.schemas import Fit, fit, require_partition_columns, table_schema

Rows: TypeAlias = pa.Table | pa.RecordBatch | pa.RecordBatchReader
"""What can be written. A reader is read to its end first: write files and `add_files` for more than memory holds."""

DEFAULT_PROPERTIES: Mapping[str, str] = {
    "delta.enableChangeDataFeed": "true",
    "delta.logRetentionDuration": "interval 30 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
    "delta.checkpointInterval": "100",
}
"""Table properties unless `Table.create` is told otherwise: Delta's own, and a change feed."""

_ATTEMPTS = 20
"""How often a write that reads the table (upsert, overwrite) starts again after another writer was first."""


class Table:
    """A table at an address, as of the version that this object last saw.

    Writes start from that version and rebase on what others committed since; reads look for the newest version first,
    unless one is asked for. An object is cheap to keep and costs some 10 ms to open. One thread uses it at a time, and
    it must not cross a `fork`; pickled, it opens again.
    """

    def __init__(self, delta: DeltaTable, uri: str, storage_options: Mapping[str, str] | None) -> None:
        self._delta = delta
        self._options = dict(storage_options or {}) or None
        self._seen = sameness.stamp(delta)
        self.uri = uri

    def __repr__(self) -> str:
        return f"Table({self.uri!r}, version={self.version})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.uri, self._options)

    @classmethod
    def open(cls, uri: str | Path, *, storage_options: Mapping[str, str] | None = None) -> Table:
        """The table at `uri`, a folder or an object-store address with the options that its store takes.

        Raises `TableNotFoundError`, or `CorruptDataError` for a folder with data files and no log.
        """
        address = str(uri)
        return cls(_open(address, storage_options), address, storage_options)

    @classmethod
    def create(
        cls,
        uri: str | Path,
        schema: pa.Schema,
        *,
        partition_by: Sequence[str] = (),
        properties: Mapping[str, str] | None = None,
        exist_ok: bool = False,
        storage_options: Mapping[str, str] | None = None,
    ) -> Table:
        """A new empty table. With `exist_ok`, the one that is there, which may have more columns by now.

        Raises `SchemaError` for types that Delta does not hold, `CommitConflictError` when a table is there already.
        """
        address = str(uri)
        fields = table_schema(schema, address)
        require_partition_columns(fields, partition_by, address)
        if cls.exists(address, storage_options=storage_options):
            return cls._existing(address, exist_ok, storage_options)
        with translated(address):
            try:
                delta = DeltaTable.create(
                    address,
                    fields,
                    partition_by=list(partition_by),
                    configuration={**DEFAULT_PROPERTIES, **(properties or {})},
                    storage_options=dict(storage_options or {}) or None,
                )
            except Exception as error:
                # Two creators at once: one of them made it, and that is as good as having made it ourselves.
                if not cls.exists(address, storage_options=storage_options):
                    raise
                del error
                return cls._existing(address, exist_ok, storage_options)
        return cls(delta, address, storage_options)

    @classmethod
    def _existing(cls, address: str, exist_ok: bool, storage_options: Mapping[str, str] | None) -> Table:
        if not exist_ok:
            raise CommitConflictError(f"a table is at {address!r} already", fix="Open it, or pass exist_ok=True")
        return cls.open(address, storage_options=storage_options)

    @staticmethod
    def exists(uri: str | Path, *, storage_options: Mapping[str, str] | None = None) -> bool:
        """Whether a table with at least one commit is at this address."""
        with translated(str(uri)):
            return DeltaTable.is_deltatable(str(uri), storage_options=dict(storage_options or {}) or None)

    @property
    def version(self) -> int:
        """The version that this object last saw."""
        return int(self._delta.version())

    @property
    def snapshot(self) -> TableVersion:
        """Id of the table and the version that this object last saw: what to remember of rows that were read."""
        return TableVersion(str(self._delta.metadata().id), self.version)

    @property
    def schema(self) -> pa.Schema:
        """The columns at that version."""
        return reading.arrow_schema(self._delta)

    @property
    def partition_by(self) -> tuple[str, ...]:
        """Columns whose values the files are split by."""
        return tuple(self._delta.metadata().partition_columns)

    def refresh(self) -> Table:
        """See the newest version; returns the table itself.

        A table that was dropped and made anew at this address is seen as what it is now, with another `snapshot`.
        Raises `TableNotFoundError` when it was dropped.
        """
        with translated(self.uri):
            if not self._follow():
                self._delta = _open(self.uri, self._options)
                self._seen = sameness.stamp(self._delta)
        return self

    def _follow(self) -> bool:
        """Read the log from where this object is; False when it is not, or may not be, the same table's."""
        before = self._delta.version()
        try:
            self._delta.update_incremental()
        except Exception:
            if sameness.is_same(self._delta, self._seen):
                raise
            return False
        # The new stamp is taken before the old one is checked, so that it is of the same table.
        now = self._seen if self._seen and self._delta.version() == before == self._seen[0] else None
        now = now or sameness.stamp(self._delta)
        if not sameness.is_same(self._delta, self._seen):
            return False
        self._seen = now
        return True

    def transaction_version(self, app_id: str) -> int | None:
        """The last transaction version of an application that the table holds, of the newest table version."""
        self.refresh()
        return self._delta.transaction_version(app_id)

    # Writing

    def append(
        self,
        data: Rows,
        *,
        transaction: Transaction | None = None,
        provenance: Mapping[str, object] | None = None,
        evolve: bool = False,
    ) -> Commit:
        """Add rows. A transaction without rows is committed as well, so that it counts as done.

        A small append costs some 5 ms, and about 6 ms more for each hundred files that the table has: a writer of many
        small commits compacts every few hundred of them.

        With `evolve`, new columns (nullable) and wider integers and floats change the table's schema; a wider column
        rewrites the table. Without, they raise `SchemaError`. Raises `FencedError` when a newer transaction of the
        same application was committed meanwhile.
        """
        rows = _table(data)

        def write(properties: CommitProperties) -> int:
            ready = self._fit(rows, evolve)
            if ready.widened:
                replacing.rewrite(self._delta, ready, properties)
            elif not ready.rows.num_rows and not ready.added:
                filing.commit_files(self._delta, [], properties)
            else:
                mode = "merge" if ready.added else None
                write_deltalake(
                    self._delta,
                    ready.rows,
                    mode="append",
                    schema_mode=mode,
                    writer_properties=PROPERTIES,
                    commit_properties=properties,
                )
            return rows.num_rows

        return self._commit(write, transaction, provenance)

    def upsert(
        self,
        data: Rows,
        keys: Sequence[str],
        *,
        order_by: str | None = None,
        transaction: Transaction | None = None,
        provenance: Mapping[str, object] | None = None,
    ) -> Commit:
        """Replace the rows that have the same keys, and add those that are new.

        With `order_by`, of several rows with one key the greatest wins, and a row never replaces one that is greater;
        so upserts may come in any order. Without it a key must occur once. Keys must not be null (`DataError`).
        """
        rows = _table(data)

        def write(properties: CommitProperties) -> int:
            ready = merging.prepare(self._fit(rows, False).rows, keys, order_by, self.uri)
            if ready.num_rows:
                merging.merge(self._delta, ready, keys, order_by, properties)
            else:
                filing.commit_files(self._delta, [], properties)
            return int(ready.num_rows)

        return self._commit(write, transaction, provenance)

    def overwrite(
        self,
        data: Rows,
        *,
        where: str | None = None,
        transaction: Transaction | None = None,
        provenance: Mapping[str, object] | None = None,
    ) -> Commit:
        """Replace all rows, or those that meet `where`, by `data`, whose rows must meet it too (`DataError`)."""
        rows = _table(data)

        def write(properties: CommitProperties) -> int:
            ready = self._fit(rows, False).rows
            replacing.overwrite(self._delta, ready, where, properties, self.uri)
            return int(ready.num_rows)

        return self._commit(write, transaction, provenance)

    def add_files(
        self,
        paths: Iterable[str | Path],
        *,
        transaction: Transaction | None = None,
        provenance: Mapping[str, object] | None = None,
    ) -> Commit:
        """Make Parquet files part of the table that lie in its folder already, in one commit, without copying them.

        Their footers are read for row counts and statistics. Values of partition columns come from folders named
        ``column=value``. Raises `SchemaError` when a file's columns do not fit, `CorruptDataError` when a file is not
        whole. Nothing is added unless all are.
        """
        files = [str(path) for path in paths]

        def write(properties: CommitProperties) -> int:
            actions, rows = filing.read_files(self._delta, files, self.uri)
            filing.commit_files(self._delta, actions, properties)
            return rows

        return self._commit(write, transaction, provenance)

    # Reading

    def read(
        self,
        columns: Sequence[str] | None = None,
        *,
        where: str | None = None,
        version: int | None = None,
        as_of: datetime | int | str | None = None,
    ) -> pa.Table:
        """Rows of the newest version, or of one by number or by time; in no order.

        Parameters
        ----------
        columns : names to return, all by default.
        where : SQL expression (`mercury.expressions`); files that cannot hold such rows are not read.
        as_of : the last version committed at or before this time: datetime with zone, microseconds UTC, or ISO text.
        """
        return reading.read(self._at(version, as_of), columns, where, self.uri)

    def query(
        self,
        sql: str,
        *,
        where: str | None = None,
        version: int | None = None,
        as_of: datetime | int | str | None = None,
    ) -> pa.Table:
        """The answer of DuckDB to a query over the table, which it calls ``self``; `where` prunes and filters first.

        The query runs with the rights of this process: do not pass on what a stranger wrote.
        """
        return reading.query(self._at(version, as_of), sql, where, self.uri)

    def files(self, where: str | None = None, *, version: int | None = None) -> list[str]:
        """Addresses of the data files that may hold rows that meet `where`.

        Not for tables with deletion vectors, whose files hold deleted rows too: those raise `CorruptDataError`.
        """
        return reading.files(self._at(version, None), where, self.uri)

    def data_files(self, where: str | None = None, *, version: int | None = None) -> list[DataFile]:
        """As `files`, each with its partition values: what `mercury.tables.scanning.scan` reads rows from."""
        return reading.data_files(self._at(version, None), where, self.uri)

    def changes(self, since: int, until: int | None = None) -> pa.Table:
        """Rows that commits after version `since` (-1: from the first), up to `until`, inserted, updated or deleted.

        Beside the table's columns: ``_change_type`` (insert, update_preimage, update_postimage, delete),
        ``_commit_version`` and ``_commit_timestamp``.
        """
        return changefeed.changes(self.refresh()._delta, since, until, self.uri)

    def history(self, limit: int | None = None) -> list[Commit]:
        """The commits that the log still holds, newest first, with their provenance."""
        with translated(self.uri):
            return [read_commit(entry) for entry in self.refresh()._delta.history(limit)]

    # Maintenance

    def compact(self, *, target_bytes: int | None = None, provenance: Mapping[str, object] | None = None) -> Commit:
        """Join small files into larger ones and write a checkpoint; rows stay as they are."""

        def write(properties: CommitProperties) -> int:
            maintenance.compact(self._delta, target_bytes, properties)
            return 0

        return self._commit(write, None, provenance)

    def vacuum(self, retain: str = "7d", *, dry_run: bool = False) -> list[str]:
        """Delete data files that no version within `retain` needs, and leftovers of writers that died.

        Time travel beyond `retain` ends. Shorter than the longest running read or write breaks it. Returns the files.
        """
        return maintenance.vacuum(self.refresh()._delta, retain, dry_run, self.uri)

    def expire_log(self) -> None:
        """Write a checkpoint and drop log entries that are older than ``delta.logRetentionDuration``."""
        with translated(self.uri):
            maintenance.expire_log(self.refresh()._delta)

    def trim_log(self, keep: int) -> int:
        """Drop log entries more than `keep` versions old, up to a checkpoint; returns how many.

        In a folder every commit looks at all entries of the log (about 1.3 ms more per hundred), so a writer of very
        many commits needs a shorter log than the time that `expire_log` counts. Elsewhere nothing is done. What is
        dropped can no longer be read by version or as a change; who holds an older version finds the newest by reading.
        """
        with translated(self.uri):
            return maintenance.trim_log(self.refresh()._delta, keep)

    def erase(self, column: str, ids: Iterable[object]) -> ErasureCertificate:
        """Delete all rows with these ids for ever, and prove it by decoding everything that is left.

        History ends here: earlier versions, the change feed and their log entries are deleted. Nobody else may write
        meanwhile. Raises `PartialError` when the proof finds an id that is left.
        """
        return erasure.erase(self.refresh()._delta, self.uri, column, ids)

    def prove_erased(self, column: str, ids: Iterable[object]) -> ErasureCertificate:
        """Decode everything in the table's folder and look for the ids; nothing is changed."""
        return erasure.prove(self.refresh()._delta, self.uri, column, ids)

    # How a write becomes one commit

    def _commit(
        self,
        write: Callable[[CommitProperties], int],
        transaction: Transaction | None,
        provenance: Mapping[str, object] | None,
    ) -> Commit:
        """Run `write` so that its transaction is applied once, trying again when another writer came first.

        The transaction is looked up in the version that this object has, which may be old: delta-rs refuses the
        commit if any newer one carries the same application id. So the common case needs no look at the log.
        """
        properties = commit_properties(transaction, provenance)
        self._require_same()
        for attempt in range(_ATTEMPTS):
            applied = self._delta.transaction_version(transaction.app_id) if transaction else None
            if transaction and applied is not None and applied >= transaction.version:
                if attempt and applied > transaction.version:
                    raise FencedError(
                        f"application {transaction.app_id!r} is at transaction {applied}, past {transaction.version}",
                        where=self.uri,
                        fix="Another incarnation has taken over; stop this one",
                    )
                return Commit(self.version, skipped=True, raced=attempt > 0)
            with translated(self.uri):
                try:
                    rows = write(properties)
                except CommitFailedError as error:
                    if (feature := unsupported(error)) is not None:
                        raise feature_error(feature, self.uri) from error
                    self._delta.update_incremental()
                    continue
                return Commit(self.version, rows=rows, provenance=dict(provenance or {}))
        raise CommitConflictError(
            f"{_ATTEMPTS} attempts to commit were overtaken by other writers",
            where=self.uri,
            fix="Let one writer at a time rewrite this table, or run it again later",
        )

    def _require_same(self) -> None:
        """Raise when the table was dropped or made anew: a commit would continue a log that is another's."""
        if sameness.is_same(self._delta, self._seen):
            return
        before = self.snapshot.id
        if self.refresh().snapshot.id != before:
            raise CommitConflictError(
                "the table was dropped and made anew since it was opened",
                where=self.uri,
                fix="Open it again if the rows are meant for the new one",
            )

    def _fit(self, rows: pa.Table, evolve: bool) -> Fit:
        return fit(rows, self.schema, evolve=evolve, where=self.uri, partition_by=self.partition_by)

    def _at(self, version: int | None, as_of: datetime | int | str | None) -> DeltaTable:
        if version is None and as_of is None:
            return self.refresh()._delta
        if version is not None and as_of is not None:
            raise NotFoundError("a version and a time were given", where=self.uri, fix="Give one of them")
        if version is not None and version == self.version:
            return self._delta
        with translated(self.uri):
            if version is not None:
                latest = self.refresh().version
                if not 0 <= version <= latest:
                    raise NotFoundError(
                        f"version {version} does not exist", where=self.uri, fix=f"The newest is {latest}"
                    )
                if version == latest:
                    return self._delta
                return reading.at_version(self.uri, version, self._options)
            return reading.at_time(self.uri, as_of, self._options)


def _open(address: str, storage_options: Mapping[str, str] | None) -> DeltaTable:
    with translated(address):
        try:
            delta = DeltaTable(address, storage_options=dict(storage_options or {}) or None)
        except DeltaError as error:
            raise _cannot_open(address, error) from error
    _check_log(address)
    return delta


def _reopen(uri: str, options: Mapping[str, str] | None) -> Table:
    return Table.open(uri, storage_options=options)


def _table(data: Rows) -> pa.Table:
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    return data


def _cannot_open(address: str, error: DeltaError) -> MercuryError | DeltaError:
    folder = Path(address.removeprefix("file://"))
    if not isinstance(error, DeltaTableNotFoundError) or not folder.is_dir():
        return error
    if next(folder.rglob("*.parquet"), None) is None:
        return not_found(address)
    return CorruptDataError(
        "the folder holds data files but no table log: a writer died before its first commit, or the log was deleted",
        where=address,
        fix="Create the table again (it starts empty; vacuum removes the files), or restore its _delta_log",
    )


def _check_log(address: str) -> None:
    """Raise when a log entry is empty, as after a power cut: readers would take it for a commit of nothing."""
    log = Path(address.removeprefix("file://")) / "_delta_log"
    if not log.is_dir():
        return
    with os.scandir(log) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.stat().st_size:
                raise CorruptDataError(
                    f"log entry {entry.name} is empty",
                    where=address,
                    fix="Delete it if it is the newest: its commit was lost with the power; then run the writer again",
                )
