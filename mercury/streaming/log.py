"""The job's log: one row per committed epoch, written last. It alone says where a stream goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from mercury.errors import FencedError, TableNotFoundError
from mercury.streaming.sinks.delta import COMPACT_EVERY, create, tend
from mercury.streaming.watermarks import BEGINNING, END
from mercury.tables import Table, Transaction

_SCHEMA = pa.schema(
    [
        pa.field("epoch", pa.int64()),
        pa.field("incarnation", pa.int64()),  # of the coordinator that committed it
        pa.field("plan", pa.string()),  # JSON, mercury.streaming.epochs
        pa.field("watermark", pa.timestamp("us", tz="UTC")),  # null before the first event and once drained
        pa.field("drained", pa.bool_()),
        pa.field("events", pa.int64()),
        pa.field("rows", pa.int64()),
        pa.field("late", pa.int64()),
        pa.field("duplicates", pa.int64()),
        pa.field("heartbeats", pa.int64()),
        pa.field("dead", pa.int64()),
        pa.field("dead_kinds", pa.string()),  # JSON: kind to count
        pa.field("windows", pa.string()),  # JSON: window to closed rows
        pa.field("snapshot", pa.string()),
    ]
)


@dataclass(frozen=True)
class Counts:
    """What became of events: ``events = rows + late + duplicates + heartbeats + dead``, and window rows closed."""

    events: int = 0
    rows: int = 0
    late: int = 0
    duplicates: int = 0
    heartbeats: int = 0
    dead: int = 0
    dead_kinds: Mapping[str, int] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.events + other.events,
            self.rows + other.rows,
            self.late + other.late,
            self.duplicates + other.duplicates,
            self.heartbeats + other.heartbeats,
            self.dead + other.dead,
            _add(self.dead_kinds, other.dead_kinds),
            _add(self.windows, other.windows),
        )


@dataclass(frozen=True)
class LogEntry:
    """A committed epoch. ``plan`` is its JSON text, ``watermark`` µs as in `mercury.streaming.watermarks`."""

    epoch: int
    incarnation: int
    plan: str
    watermark: int
    counts: Counts
    snapshot: str


class JobLog:
    """The log of one job, a Delta table.

    Parameters
    ----------
    uri, storage_options : of the table, which the first epoch makes.
    job : application id of its commits.
    compact_every : epochs between two joinings of its small files.
    probe : called with a step's name as it completes; tests crash there.
    """

    def __init__(
        self,
        uri: str,
        job: str,
        storage_options: Mapping[str, str] | None = None,
        *,
        compact_every: int = COMPACT_EVERY,
        probe: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._uri, self._job, self._options = uri, job, storage_options
        self._compact_every, self._probe = compact_every, probe
        self._table: Table | None = None

    def last(self) -> LogEntry | None:
        """The last committed epoch, or None for a job that has none."""
        entries = self.entries(latest_only=True)
        return entries[-1] if entries else None

    def entries(self, *, latest_only: bool = False) -> list[LogEntry]:
        """Committed epochs in order."""
        try:
            table = Table.open(self._uri, storage_options=self._options)
        except TableNotFoundError:
            return []
        where = None
        if latest_only:
            version = table.transaction_version(self._job)
            if version is None:
                return []
            where = f"epoch = {version}"
        return [_entry(row) for row in table.read(where=where).sort_by("epoch").to_pylist()]

    def append(self, entry: LogEntry, provenance: Mapping[str, Any]) -> None:
        """Commit an epoch; raises `FencedError` when another incarnation has committed it."""
        if self._table is None:
            self._table = create(self._uri, _SCHEMA, self._options)
        row = {
            **asdict(entry.counts),
            "epoch": entry.epoch,
            "incarnation": entry.incarnation,
            "plan": entry.plan,
            "watermark": entry.watermark if entry.watermark not in (BEGINNING, END) else None,
            "drained": entry.watermark == END,
            "dead_kinds": json.dumps(dict(entry.counts.dead_kinds), sort_keys=True),
            "windows": json.dumps(dict(entry.counts.windows), sort_keys=True),
            "snapshot": entry.snapshot,
        }
        columns = [
            pa.array([row[field.name]], pa.int64() if field.name == "watermark" else field.type) for field in _SCHEMA
        ]
        columns = [column.cast(field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
        commit = self._table.append(
            pa.Table.from_arrays(columns, schema=_SCHEMA),
            transaction=Transaction(self._job, entry.epoch),
            provenance=provenance,
        )
        if commit.skipped:
            raise fenced(self._job, entry.epoch)
        self._probe("logged")
        tend("log", self._table, entry.epoch, self._compact_every, self._probe)


def fenced(job: str, epoch: int) -> FencedError:
    """The error of a coordinator that is not the newest."""
    return FencedError(
        f"another coordinator of {job} has taken over at epoch {epoch}",
        where=job,
        fix="Nothing was doubled. Run one coordinator per stream; this one has stopped",
    )


def _entry(row: Mapping[str, Any]) -> LogEntry:
    from mercury.time import from_datetime

    drained, moment = row["drained"], row["watermark"]
    return LogEntry(
        row["epoch"],
        row["incarnation"],
        row["plan"],
        END if drained else BEGINNING if moment is None else from_datetime(moment),
        Counts(
            row["events"],
            row["rows"],
            row["late"],
            row["duplicates"],
            row["heartbeats"],
            row["dead"],
            json.loads(row["dead_kinds"]),
            json.loads(row["windows"]),
        ),
        row["snapshot"],
    )


def _add(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in sorted({*one, *other})}
