"""Delta tables as a sink: one commit per table and epoch, with the epoch as the transaction's version."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import pyarrow as pa

from mercury.errors import ConflictError, DiskFullError
from mercury.lake import Lake
from mercury.runtime import lineage
from mercury.streaming.sinks.base import EpochOutput
from mercury.tables import Table, Transaction

COMPACT_EVERY = 100
"""Short epochs make many small files; so many of them are joined at once."""

KEEP_VERSIONS = 5_000
"""Versions of a stream's table that can be read again; in a folder, the log of more would slow every commit."""

VACUUM_EVERY = 5_000
"""Epochs between two deletions of files that no version needs for `RETAIN`."""

RETAIN = "7d"

PROPERTIES = {"delta.deletedFileRetentionDuration": "interval 1 days"}
"""Of a stream's tables: a file that compaction replaced is listed in checkpoints for a day. It lies there longer."""


class DeltaSink:
    """Writes rows, late rows, dead letters, windows and feature panes into a lake.

    Tables are created with their first rows. A table that an epoch gave nothing for is not committed to; the job's log
    says how far the stream is. A summary's tables lie below `Lake.panes`, one folder each ("scalars" and one per
    sketch).

    Parameters
    ----------
    lake : addresses of the tables.
    stream : name of the stream.
    compact_every : epochs between two joinings of the small files that epochs leave.
    probe : called with a step's name after each commit; tests crash there.
    """

    def __init__(
        self,
        lake: Lake,
        stream: str,
        *,
        storage_options: Mapping[str, str] | None = None,
        compact_every: int = COMPACT_EVERY,
        probe: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._lake, self._stream, self._options, self._probe = lake, stream, storage_options, probe
        self._compact_every = compact_every
        self._tables: dict[str, Table] = {}

    def open(self, job: str) -> None:
        """Tables are opened when they are written to."""

    def write(self, output: EpochOutput) -> None:
        """Append the epoch to every table that has not got it."""
        self._append("rows", self._lake.stream_rows(self._stream), output.rows, output)
        self._append("late", self._lake.stream_late(self._stream), output.late, output)
        self._append("dead_letters", self._lake.stream_dead_letters(self._stream), output.dead_letters, output)
        for name, rows in sorted(output.windows.items()):
            self._append(f"windows/{name}", self._lake.window(name), rows, output)
        for name, summary in sorted(output.panes.items()):
            for part, state in sorted(summary.tables.items()):
                self._append(f"panes/{name}/{part}", f"{self._lake.panes(name)}/{part}", state, output)
        for name, table in self._tables.items():
            tend(name, table, output.epoch, self._compact_every, self._probe)

    def close(self) -> None:
        """Nothing is held open."""

    def _append(self, step: str, uri: str, rows: pa.Table, output: EpochOutput) -> None:
        if rows.num_rows:
            commit = self._table(step, uri, rows.schema).append(
                rows, transaction=Transaction(output.job, output.epoch), provenance=output.provenance
            )
            lineage.current().output(uri, version=commit.version, rows=commit.rows)
        self._probe(step)

    def _table(self, name: str, uri: str, schema: pa.Schema) -> Table:
        if name not in self._tables:
            self._tables[name] = create(uri, schema, self._options)
        return self._tables[name]


def create(uri: str, schema: pa.Schema, storage_options: Mapping[str, str] | None) -> Table:
    """A stream's table, the one that is there or a new one."""
    return Table.create(uri, schema, exist_ok=True, properties=PROPERTIES, storage_options=storage_options)


def tend(name: str, table: Table, epoch: int, compact_every: int, probe: Callable[[str], None]) -> None:
    """Keep a table quick after an epoch: join its small files, shorten its log, delete what no version needs.

    It is left for another time when somebody else changes the table at this moment, or the disk has no room for larger
    files: an epoch does not fail for it.
    """
    if epoch % compact_every:
        return
    with contextlib.suppress(ConflictError, DiskFullError):
        table.compact()
        probe(f"compacted/{name}")
        table.trim_log(KEEP_VERSIONS)
        if epoch % VACUUM_EVERY == 0:
            table.vacuum(RETAIN)
