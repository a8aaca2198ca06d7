"""The stream coordinator: plans epochs, has workers carry them out, commits each once, and goes on where the log ends.

An epoch takes these steps; a crash between any two leaves what the next incarnation completes:

1. the plan is written, exclusively;
2. workers carry it out;
3. the state after it is saved as a snapshot;
4. every sink writes it, each table in one commit with the epoch as its transaction;
5. the job's log records it, last;
6. workers take over the state, old plans and snapshots are removed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from mercury.errors import CorruptDataError, DataError
from mercury.runtime.actors import Supervisor
from mercury.streaming import epochs, state
from mercury.streaming.epochs import EpochPlan, Limits, PlanLog
from mercury.streaming.log import Counts, JobLog, LogEntry, fenced
from mercury.streaming.sinks import EpochOutput, Sink
from mercury.streaming.state import EpochDelta, Fold, JobState
from mercury.streaming.watermarks import BEGINNING, Silence, Watermarks
from mercury.streaming.worker import DEAD_LETTERS, PartitionResult, WorkerSpec
from mercury.summaries import Summary, empty, merge
from mercury.time import duration

SNAPSHOT_EVERY = 10
"""Epochs between two base snapshots; each epoch in between adds a delta."""


@dataclass(frozen=True)
class EpochProgress:
    """What one committed epoch did.

    ``watermark`` is as in `mercury.streaming.watermarks`, ``lags`` what is left to read per partition, ``seconds`` the
    time by phase, ``restarts`` how many workers this run has replaced so far.
    """

    epoch: int
    counts: Counts
    watermark: int
    lags: Mapping[int, int]
    seconds: Mapping[str, float]
    restarts: int
    ranges: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Offsets ``[low, high)`` that it read, per partition."""

    @property
    def lag(self) -> int:
        """Records that are left to read."""
        return sum(self.lags.values())


@dataclass
class Workers:
    """Supervised workers and the partitions of each: a partition's worker is its number modulo their count."""

    supervisor: Supervisor
    names: Sequence[str]

    def process(self, plan: EpochPlan, latest: Mapping[int, int], snapshot: str | None) -> list[PartitionResult]:
        """All partitions' results by partition; a worker that dies is replaced and its share done again."""
        calls = [
            self.supervisor.start(name, "process", plan, partitions, latest, snapshot)
            for name, partitions in self._shares(plan).items()
        ]
        results = [result for call in calls for result in call.result()]
        return sorted(results, key=lambda result: result.partition)

    def learn(self, plan: EpochPlan, delta: EpochDelta) -> None:
        """Tell the workers what the epoch adds to the keys that they remember."""
        calls = []
        for name, partitions in self._shares(plan).items():
            additions = {p: table for p, table in delta.memory.items() if p in partitions}
            calls.append(self.supervisor.start(name, "learn", plan.epoch, additions, dict(delta.watermarks.latest)))
        for call in calls:
            call.result()

    def _shares(self, plan: EpochPlan) -> dict[str, list[int]]:
        shares: dict[str, list[int]] = {}
        for partition in sorted(plan.ranges):
            shares.setdefault(self.names[partition % len(self.names)], []).append(partition)
        return shares


@dataclass
class StreamCoordinator:
    """Runs the epochs of one job; a plain class at the edge of which workers, sinks and clock are given.

    Parameters
    ----------
    job : application id of all commits.
    spec : what the workers do.
    windows, panes : names of those of ``spec.windows`` that are emitted finished, and as state.
    folder : where plans, snapshots and incarnations lie.
    clock : µs UTC.
    probe : called with a step's name as it completes; tests crash there.
    """

    job: str
    spec: WorkerSpec
    windows: Sequence[str]
    panes: Sequence[str]
    workers: Workers
    sinks: Sequence[Sink]
    log: JobLog
    folder: Path
    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], int] = lambda: time.time_ns() // 1000
    probe: Callable[[str], None] = lambda step: None

    def __post_init__(self) -> None:
        self._plans = PlanLog(self.folder / "epochs")
        self._fold = Fold.of(self.spec.stream, self.spec.windows)
        self._reader = self.spec.source.open()
        self._state = state.initial(self.spec.stream)
        self._snapshot: str | None = None
        self._incarnation = 0
        self._bytes_per_record: float | None = None
        self._silence = Silence(duration(self.spec.stream.idle_timeout), 0)

    @property
    def state(self) -> JobState:
        """After the last committed epoch."""
        return self._state

    def recover(self) -> JobState:
        """Take over the job: the state after the last epoch in its log, and this as its newest incarnation."""
        self._incarnation = epochs.take_over(self.folder / "incarnations")
        entry = self.log.last()
        if entry is not None:
            restored = self.spec.snapshots.restore(entry.snapshot, self._fold)
            lateness = duration(self.spec.stream.lateness)
            self._state = replace(restored, watermarks=replace(restored.watermarks, lateness=lateness))
            self._snapshot = entry.snapshot
        self._silence = replace(self._silence, now=self.clock())
        for sink in self.sinks:
            sink.open(self.job)
        self.probe("recovered")
        return self._state

    def ends(self) -> dict[int, int]:
        """End offset per partition, now."""
        return self._reader.bounds()[1]

    def lags(self, ends: Mapping[int, int]) -> dict[int, int]:
        """Records up to these end offsets that no epoch has taken, per partition; all of a partition never read."""
        first = self._reader.bounds()[0] if not ends.keys() <= self._state.positions.keys() else {}
        positions = {**first, **self._state.positions}
        return {partition: max(end - positions.get(partition, 0), 0) for partition, end in sorted(ends.items())}

    def step(self, ends: Mapping[int, int], *, bounded: bool, drain: bool) -> EpochProgress | None:
        """Carry out one epoch up to these end offsets; None when there was nothing to do.

        In a bounded run the input ends there. With `drain`, a partition at its end holds back no watermark, and the
        epoch that reaches all ends closes every window.
        """
        plan = self._plan(ends, bounded=bounded, drain=drain)
        return self._run(plan, ends) if plan is not None else None

    def close(self) -> None:
        """Release sinks and source."""
        for sink in self.sinks:
            sink.close()
        self._reader.close()

    def _plan(self, ends: Mapping[int, int], *, bounded: bool, drain: bool) -> EpochPlan | None:
        epoch = self._state.epoch + 1
        found = self._plans.read(epoch)
        if found is None:
            found = self._new_plan(epoch, ends, bounded=bounded, drain=drain)
            if found is None:
                return None
            found = self._plans.write(found)
        self._check(found, ends)
        self.probe("planned")
        return found

    def _new_plan(self, epoch: int, ends: Mapping[int, int], *, bounded: bool, drain: bool) -> EpochPlan | None:
        first = {p: low for p, low in self._reader.bounds()[0].items() if p not in self._state.positions}
        positions = {**first, **self._state.positions}
        latest = self._state.watermarks.latest
        ranges = epochs.plan_ranges(positions, ends, self.limits, self._bytes_per_record, latest)
        now = self.clock()
        self._silence = self._silence.hear(now, [p for p, (low, high) in ranges.items() if high > low])
        left = {partition: max(ends.get(partition, high) - high, 0) for partition, (_, high) in ranges.items()}
        ending = bounded and drain
        finished = [partition for partition, lag in left.items() if ending and not lag]
        idle = tuple(sorted({*finished, *self._silence.idle(left)}))
        current = self._state.watermarks.current
        plan = EpochPlan(self.job, epoch, ranges, current, now, idle, ending and not any(left.values()))
        after = self._state.watermarks.advance({}, list(ranges), idle, plan.drain)
        return plan if plan.records or after.current != current else None

    def _check(self, plan: EpochPlan, ends: Mapping[int, int]) -> None:
        where = f"{self.job} epoch {plan.epoch}"
        for partition, (low, high) in plan.ranges.items():
            position = self._state.positions.get(partition, low)
            if position != low:
                raise CorruptDataError(
                    f"the plan reads partition {partition} from {low}, but the job stands at {position}",
                    where=where,
                    fix=f"Tables and state folder do not belong together; restore {self.folder}, or start both anew",
                )
            if high > low and high > ends.get(partition, 0) and high > self.ends().get(partition, 0):
                raise DataError(
                    f"partition {partition} of {self.spec.source.name} ends at {ends.get(partition, 0)}, "
                    f"before the plan's {high}",
                    where=where,
                    fix=f"The topic was made anew under an old job; remove its tables and {self.folder}, or rename it",
                )

    def _run(self, plan: EpochPlan, ends: Mapping[int, int]) -> EpochProgress:
        seconds: dict[str, float] = {}
        mark = time.perf_counter()

        def took(phase: str) -> None:
            nonlocal mark
            now = time.perf_counter()
            seconds[phase], mark = now - mark, now
            self.probe(phase)

        before = self._state
        results = self.workers.process(plan, dict(before.watermarks.latest), self._snapshot)
        took("processed")
        delta = self._delta(plan, results)
        after, closed = self._fold.apply(before, delta)
        based = self._snapshot is None or plan.epoch % SNAPSHOT_EVERY == 0
        snapshot = self.spec.snapshots.write(after, None if based else delta, self._snapshot, self._incarnation)
        took("saved")
        output = self._output(plan, results, after.watermarks, closed)
        self._stand_ground(plan.epoch)
        for sink in self.sinks:
            sink.write(output)
        took("written")
        counts = _counts(results, output, closed)
        self._stand_ground(plan.epoch)
        entry = LogEntry(
            plan.epoch, self._incarnation, plan.to_json().decode(), after.watermarks.current, counts, snapshot
        )
        self.log.append(entry, output.provenance)
        took("committed")
        self._state, self._snapshot = after, snapshot
        self.workers.learn(plan, delta)
        self._plans.forget(plan.epoch)
        if based:
            self.spec.snapshots.forget(snapshot)
        took("cleaned")
        if counts.events:
            total = sum(result.bytes for result in results)
            self._bytes_per_record = total / counts.events
        restarts = len(self.workers.supervisor.restarts)
        return EpochProgress(
            plan.epoch, counts, after.watermarks.current, self.lags(ends), seconds, restarts, plan.ranges
        )

    def _stand_ground(self, epoch: int) -> None:
        # Advice only: what keeps two coordinators apart is that transactions of one job conflict.
        if epochs.newest_incarnation(self.folder / "incarnations") > self._incarnation:
            raise fenced(self.job, epoch)

    def _delta(self, plan: EpochPlan, results: Sequence[PartitionResult]) -> EpochDelta:
        latest = {result.partition: result.latest for result in results if result.latest is not None}
        marks = self._state.watermarks.advance(latest, list(plan.ranges), plan.idle, plan.drain)
        panes: dict[str, Summary] = {}
        for window in self.spec.windows:
            parts = [result.panes[window.name] for result in results if window.name in result.panes]
            if parts:
                panes[window.name] = merge(parts)
        memory = {result.partition: result.additions for result in results if result.additions.num_rows}
        return EpochDelta(plan.epoch, marks, state.positions_after(plan), panes, memory)

    def _output(
        self, plan: EpochPlan, results: Sequence[PartitionResult], marks: Watermarks, closed: Mapping[str, Summary]
    ) -> EpochOutput:
        finished = {}
        for window in self.spec.windows:
            if window.name in self.windows:
                none = empty(window.spec, self._pane_schema())
                finished[window.name] = window.finish(closed.get(window.name, none))
        return EpochOutput(
            job=self.job,
            epoch=plan.epoch,
            plan=plan,
            watermark=marks.current,
            rows=_concat([result.rows for result in results], self.spec.rows_schema),
            late=_concat([result.late for result in results], self.spec.late_schema),
            dead_letters=_concat([result.dead_letters for result in results], DEAD_LETTERS),
            windows=finished,
            panes={name: closed[name] for name in self.panes if name in closed},
            provenance=self._provenance(plan, marks),
        )

    def _pane_schema(self) -> pa.Schema:
        from mercury.streaming.windows import PANE

        return self.spec.rows_schema.append(pa.field(PANE, pa.timestamp("us", tz="UTC")))

    def _provenance(self, plan: EpochPlan, marks: Watermarks) -> dict[str, Any]:
        return {
            "job": self.job,
            "epoch": plan.epoch,
            "incarnation": self._incarnation,
            "source": self.spec.source.name,
            "offsets": {str(p): [low, high] for p, (low, high) in plan.ranges.items() if high > low},
            "watermark": None if marks.current == BEGINNING else marks.current,
            "stream": self.spec.stream.version,
        }


def _counts(results: Sequence[PartitionResult], output: EpochOutput, closed: Mapping[str, Summary]) -> Counts:
    windows = {name: table.num_rows for name, table in output.windows.items()}
    windows |= {name: summary.tables["scalars"].num_rows for name, summary in output.panes.items()}
    return Counts(
        events=sum(result.events for result in results),
        rows=output.rows.num_rows,
        late=output.late.num_rows,
        duplicates=sum(result.duplicates for result in results),
        heartbeats=sum(result.heartbeats for result in results),
        dead=output.dead_letters.num_rows,
        dead_kinds=dict(sorted(Counter(output.dead_letters.column("kind").to_pylist()).items())),
        windows=windows,
    )


def _concat(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *tables])
