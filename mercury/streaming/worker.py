"""The partition worker: offset ranges in, rows, refusals and partial panes out. A plain class; an actor when on Ray.

A worker holds no truth. What it keeps between epochs (remembered keys) is a cache that it fills from a snapshot when it
is new, so a worker that died is replaced by one that knows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.definitions import Stream, arrow_schema
from mercury.expressions import evaluate
from mercury.streaming import dedup, state, watermarks
from mercury.streaming.checkpoint import Snapshots
from mercury.streaming.codecs import codec
from mercury.streaming.epochs import EpochPlan
from mercury.streaming.sources import Source
from mercury.streaming.state import Fold
from mercury.streaming.windows import PaneWindow
from mercury.summaries import Summary
from mercury.time import duration

PARTITION, OFFSET, LATE_BY = "_partition", "_offset", "_late_by_us"
"""Columns that say where a row came from (int32, int64), and in the table of late rows by how much it was late."""

_BEAT = "beat"

MISSING, FUTURE, CONTRACT = "missing", "future", "contract"
"""Kinds of dead letters besides those of the codec."""

DEAD_LETTERS = pa.schema(
    [
        pa.field("topic", pa.string()),
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("timestamp", pa.timestamp("us", tz="UTC")),  # of the record
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),  # as it came
        pa.field("kind", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""Columns of an event that could not be decoded or broke the contract."""

Check = Callable[[pa.Table], tuple[pa.Array, pa.Array]]
"""A contract: of a table of n rows a mask of the good ones (bool) and a reason (string) for each of the others."""


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker does; a value that is sent to its process. ``windows`` are those of windows and feature panes."""

    stream: Stream
    source: Source
    windows: tuple[PaneWindow, ...]
    snapshots: Snapshots
    check: Check | None = None

    @property
    def rows_schema(self) -> pa.Schema:
        """Columns of the table of rows."""
        schema = arrow_schema(self.stream.schema)
        return pa.schema([*schema, pa.field(PARTITION, pa.int32()), pa.field(OFFSET, pa.int64())])

    @property
    def late_schema(self) -> pa.Schema:
        """Columns of the table of late rows."""
        return self.rows_schema.append(pa.field(LATE_BY, pa.int64()))


@dataclass(frozen=True)
class PartitionResult:
    """What one partition gave in an epoch. ``latest`` is the greatest event time seen, or None; ``bytes`` of values."""

    partition: int
    events: int
    bytes: int
    rows: pa.Table
    late: pa.Table
    dead_letters: pa.Table
    duplicates: int
    heartbeats: int
    latest: int | None
    panes: Mapping[str, Summary]
    additions: pa.Table


class PartitionWorker:
    """Carries out plans for some partitions; one call at a time."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._codec = codec(spec.stream.source.format if spec.stream.source else "json", spec.stream.schema)
        self._reader = spec.source.open()
        self._fold = Fold.of(spec.stream, spec.windows)
        self._memory: dict[int, tuple[int, pa.Table]] = {}  # partition: after which epoch, keys

    def process(
        self, plan: EpochPlan, partitions: Sequence[int], latest: Mapping[int, int], snapshot: str | None
    ) -> list[PartitionResult]:
        """The epoch's share of these partitions.

        A pure function of its arguments: `latest` is the greatest event time per partition before the epoch,
        `snapshot` names the state after the epoch before, or None for the first. Calling it again gives the same.
        """
        self._remember(plan, partitions, snapshot)
        ranges = {p: plan.ranges[p] for p in partitions if plan.ranges[p][0] < plan.ranges[p][1]}
        fetched = self._reader.read(ranges)
        return [
            self._partition(plan, p, fetched[p], latest.get(p, watermarks.BEGINNING), self._memory[p][1])
            for p in sorted(ranges)
        ]

    def learn(self, epoch: int, additions: Mapping[int, pa.Table], latest: Mapping[int, int]) -> None:
        """Take over the keys of an epoch that is saved, so that the next one needs no snapshot."""
        for partition, (after, memory) in list(self._memory.items()):
            if after == epoch - 1:
                if partition in additions:
                    reached = latest.get(partition, watermarks.BEGINNING)
                    memory = dedup.remember(memory, additions[partition], reached, self._fold.ttl)
                self._memory[partition] = (epoch, memory)

    def close(self) -> None:
        """Release the source."""
        self._reader.close()

    def _remember(self, plan: EpochPlan, partitions: Sequence[int], snapshot: str | None) -> None:
        lost = [p for p in partitions if self._memory.get(p, (-1, None))[0] != plan.epoch - 1]
        if not lost:
            return
        restored = self._spec.snapshots.restore(snapshot, self._fold) if snapshot else state.initial(self._spec.stream)
        for partition in lost:
            self._memory[partition] = (plan.epoch - 1, state.memory_of(restored, self._spec.stream, partition))

    def _partition(
        self, plan: EpochPlan, partition: int, events: pa.Table, latest: int, memory: pa.Table
    ) -> PartitionResult:
        stream = self._spec.stream
        values = events.column("value").combine_chunks()
        decoded = self._codec.decode(values)
        refusals = _Refusals(events, self._spec.source.name, partition)
        refusals.add(decoded.bad, decoded.kinds, decoded.reasons)
        rows, positions, beats = self._sift(plan, decoded.rows, decoded.positions, refusals)

        times = rows.column(stream.event_time).cast(pa.int64()).to_numpy()
        ttl = self._fold.ttl
        duplicate = np.zeros(len(times), dtype=bool)
        additions = memory.slice(0, 0)
        if stream.key:
            duplicate, additions = dedup.deduplicate(rows, stream.key, times, latest, ttl, memory, beats)
        late_by = watermarks.late_by(times, latest, duration(stream.lateness), plan.watermark)
        late = (late_by > 0) & ~duplicate & ~beats
        kept = (late_by == 0) & ~duplicate & ~beats

        offsets = events.column("offset").to_numpy()[positions]
        placed = _placed(rows, partition, offsets)
        late_rows = placed.filter(pa.array(late)).append_column(LATE_BY, pa.array(late_by[late], pa.int64()))
        kept_rows = placed if kept.all() else placed.filter(pa.array(kept))
        return PartitionResult(
            partition=partition,
            events=events.num_rows,
            bytes=values.nbytes,
            rows=kept_rows,
            late=late_rows,
            dead_letters=refusals.table(),
            duplicates=int(duplicate.sum()),
            heartbeats=int(beats.sum()),
            latest=int(times.max()) if len(times) else None,
            panes={window.name: window.summarize(kept_rows) for window in self._spec.windows} if kept.any() else {},
            additions=additions,
        )

    def _sift(
        self, plan: EpochPlan, rows: pa.Table, positions: np.ndarray, refusals: _Refusals
    ) -> tuple[pa.Table, np.ndarray, np.ndarray]:
        """The rows that count with their positions, and which of them are heartbeats."""
        stream = self._spec.stream
        missing = rows.column(stream.event_time).is_null().to_numpy()
        reason = f"the event time {stream.event_time!r} is missing"
        rows, positions = refusals.sift(rows, positions, missing, MISSING, reason)
        limit = plan.clock + duration(stream.future_limit)
        ahead = rows.column(stream.event_time).cast(pa.int64()).to_numpy() > limit
        reason = f"the event time {stream.event_time!r} is more than {stream.future_limit} ahead of the clock"
        rows, positions = refusals.sift(rows, positions, ahead, FUTURE, reason)
        beats = self._heartbeats(rows)
        for column in stream.key:
            missing = rows.column(column).is_null().to_numpy() & ~beats
            rows, positions = refusals.sift(rows, positions, missing, MISSING, f"the key {column!r} is missing")
            beats = beats[~missing]
        if self._spec.check is not None and not beats.all():
            events = np.flatnonzero(~beats)
            good, reasons = self._spec.check(rows.take(pa.array(events)) if beats.any() else rows)
            refused = ~np.asarray(pc.fill_null(pa.array(good), False).to_numpy(zero_copy_only=False), dtype=bool)
            bad = np.zeros(rows.num_rows, dtype=bool)
            bad[events[refused]] = True
            rows, positions = refusals.sift(rows, positions, bad, CONTRACT, reasons.filter(pa.array(refused)))
            beats = beats[~bad]
        return rows, positions, beats

    def _heartbeats(self, rows: pa.Table) -> np.ndarray:
        condition = self._spec.stream.heartbeat
        if condition is None or not rows.num_rows:
            return np.zeros(rows.num_rows, dtype=bool)
        return np.asarray(evaluate({_BEAT: condition}, rows)[_BEAT].fill_null(False).to_numpy(), dtype=bool)


class _Refusals:
    """Collects the dead letters of one partition and epoch."""

    def __init__(self, events: pa.Table, topic: str, partition: int) -> None:
        self._events, self._topic, self._partition = events, topic, partition
        self._found: list[tuple[int, str, str]] = []

    def add(self, positions: np.ndarray, kinds: Sequence[str], reasons: Sequence[str]) -> None:
        """Refuse the events at these positions."""
        self._found += zip(positions.tolist(), kinds, reasons, strict=True)

    def sift(
        self, rows: pa.Table, positions: np.ndarray, bad: np.ndarray, kind: str, reasons: str | pa.Array
    ) -> tuple[pa.Table, np.ndarray]:
        """Refuse the bad rows, with one reason for all or one for each, and return the others with their positions."""
        if not bad.any():
            return rows, positions
        at = np.flatnonzero(bad)
        why = [reasons] * len(at) if isinstance(reasons, str) else reasons.to_pylist()
        self.add(positions[at], [kind] * len(at), [reason or "breaks the contract" for reason in why])
        return rows.filter(pa.array(~bad)), positions[~bad]

    def table(self) -> pa.Table:
        """The dead letters in offset order."""
        self._found.sort(key=lambda found: found[0])
        events = self._events.take(pa.array([position for position, _, _ in self._found], pa.int64()))
        count = events.num_rows
        columns = [
            pa.array([self._topic] * count, pa.string()),
            pa.array([self._partition] * count, pa.int32()),
            *events.columns,
            pa.array([kind for _, kind, _ in self._found], pa.string()),
            pa.array([reason for _, _, reason in self._found], pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=DEAD_LETTERS)


def _placed(rows: pa.Table, partition: int, offsets: np.ndarray) -> pa.Table:
    where = pa.array(np.full(rows.num_rows, partition, dtype=np.int32))
    return rows.append_column(PARTITION, where).append_column(OFFSET, pa.array(offsets))


def snapshots_in(folder: Path) -> Snapshots:
    """The snapshots below a job's state folder."""
    return Snapshots(folder / "snapshots")
