"""`StreamJob`: a stream, what is kept of it, and where it goes, run to the end of its input or for good."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mercury.definitions import FeatureView, Stream, Window
from mercury.errors import DefinitionError, UsageError
from mercury.lake import Lake
from mercury.runtime import lineage
from mercury.runtime.actors import InProcessEdge, RayEdge, RestartPolicy, Supervisor
from mercury.runtime.metrics import Recorder
from mercury.streaming.coordinator import EpochProgress, StreamCoordinator, Workers
from mercury.streaming.epochs import Limits
from mercury.streaming.log import Counts, JobLog
from mercury.streaming.metrics import StreamMetrics
from mercury.streaming.sinks import DeltaSink, Sink
from mercury.streaming.sinks.delta import COMPACT_EVERY
from mercury.streaming.sources import Source
from mercury.streaming.telling import Telling
from mercury.streaming.watermarks import BEGINNING, END
from mercury.streaming.windows import PaneWindow
from mercury.streaming.worker import Check, PartitionWorker, WorkerSpec, snapshots_in
from mercury.time import to_iso

if TYPE_CHECKING:
    from mercury.config import Settings

Until = Literal["end"] | float | Callable[[EpochProgress], bool] | None
"""When a run stops: at the end offsets of its start, after so many seconds, when a condition holds, or never."""

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class StreamReport:
    """What a run did. ``counts`` are this run's; ``epoch``, ``watermark`` and ``lag`` say where the job stands."""

    job: str
    epochs: int
    epoch: int
    counts: Counts
    watermark: int
    lag: int
    restarts: int
    seconds: float

    @property
    def watermark_text(self) -> str:
        """The watermark as ISO 8601, "none" before the first event, "end" once drained."""
        return watermark_text(self.watermark)


@dataclass
class StreamJob:
    """A stream's job.

    Parameters
    ----------
    stream : what is read.
    source : where it is read from; None means the stream's own Kafka topic.
    windows : windows that are written finished.
    panes : feature views whose panes are written as summary state (or `Window`s, for other readers of panes).
    lake : where tables lie; None keeps none but the job's log, which then lies in the state folder.
    state : folder for plans and snapshots; shared by all machines when workers run on several.
    check : the contract; it is sent to the workers, so it must pickle.
    sinks : more places that get each epoch, before the job's log records it.
    workers : 0 works in this process; n starts n Ray actors.
    worker_options : Ray options of a worker.
    settings : where Ray, the broker and lineage are; None leaves the first two to the environment, and tells nobody.
    limits : how much an epoch takes.
    compact_every : epochs between two joinings of the small files that epochs leave in the lake.
    on_epoch : called after every committed epoch.
    metrics : takes `mercury.streaming.STREAM_METRICS` after every committed epoch; None records none.
    """

    stream: Stream
    source: Source
    windows: Sequence[Window] = ()
    panes: Sequence[FeatureView | Window] = ()
    lake: Lake | None = None
    state: Path = Path(".mercury/streams")
    check: Check | None = None
    sinks: Sequence[Sink] = ()
    workers: int = 0
    worker_options: Mapping[str, object] = field(default_factory=lambda: {"num_cpus": 1})
    settings: Settings | None = None
    limits: Limits = field(default_factory=Limits)
    compact_every: int = COMPACT_EVERY
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
    on_epoch: Callable[[EpochProgress], None] = lambda progress: None
    metrics: Recorder | None = None
    clock: Callable[[], int] = lambda: time.time_ns() // 1000
    probe: Callable[[str], None] = lambda step: None
    storage_options: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        kept = [PaneWindow.of(window) for window in self.windows]
        kept += [PaneWindow.of_view(p) if isinstance(p, FeatureView) else PaneWindow.of(p) for p in self.panes]
        names = [window.name for window in kept]
        for part in (*self.windows, *self.panes):
            if part.source != self.stream:
                raise DefinitionError(f"{part.address} is not of {self.stream.address}", fix="Give its own stream")
            if names.count(part.name) > 1:
                raise DefinitionError(f"two windows or views are named {part.name!r}", fix="Rename one of them")
        self._kept = tuple(kept)
        self._folder = Path(self.state) / self.stream.name
        self._stopped = threading.Event()
        self._workers: Workers | None = None

    @classmethod
    def from_settings(
        cls, stream: Stream, settings: Settings, source: Source | None = None, **options: Any
    ) -> StreamJob:
        """A job with its lake, state and broker from the settings."""
        defaults: dict[str, Any] = {
            "lake": Lake(str(settings.lake)),
            "state": Path(settings.state) / "streams",
            "settings": settings,
        }
        return cls(stream, source or kafka_source(stream, settings), **{**defaults, **options})

    @property
    def name(self) -> str:
        """The job's application id in every commit."""
        return f"stream/{self.stream.name}"

    def run(self, until: Until = "end", *, drain: bool = False) -> StreamReport:
        """Process epochs from where the log ends.

        Parameters
        ----------
        until : see `Until`. ``"end"`` reads to the end offsets that hold now.
        drain : with ``"end"``: take the input as finished, and close all windows. Events that come later are late.

        Raises `FencedError` when another coordinator took the job over, `DataError` when offsets that are still needed
        are gone, `BrokerUnavailableError`, `DiskFullError`. Whatever it raises, running again goes on where it was.
        """
        if drain and until != "end":
            raise UsageError("drain=True needs until='end'", fix="A stream without an end cannot be drained")
        started = time.monotonic()
        total, done, progress = Counts(), 0, None
        with (
            lineage.run(f"stream.{self.stream.name}", settings=self.settings, streaming=True) as run,
            self._supervised() as workers,
            contextlib.closing(self._coordinator(workers)) as coordinator,
        ):
            coordinator.recover()
            told = Telling(run, self.source)
            bounded, began = until == "end", float("-inf")
            ends = coordinator.ends()
            metrics = StreamMetrics(self.stream.name, self.metrics) if self.metrics is not None else None
            if metrics is not None:
                metrics.stands(coordinator.state.watermarks.current, coordinator.lags(ends))
            while not self._stopped.is_set():
                if isinstance(until, (int, float)) and time.monotonic() - started >= until:
                    break
                if not bounded:
                    ends = coordinator.ends()
                    early = self.limits.seconds - (time.monotonic() - began)
                    if early > 0 and sum(coordinator.lags(ends).values()) < self.limits.records:
                        self._stopped.wait(min(early, _POLL_SECONDS))
                        continue
                now = time.monotonic()
                step = coordinator.step(ends, bounded=bounded, drain=drain)
                if step is None:
                    if bounded:
                        break
                    self._stopped.wait(_POLL_SECONDS)
                    continue
                began = now
                total, done, progress = total + step.counts, done + 1, step
                if metrics is not None:
                    metrics.committed(step, self.clock())
                told.epoch(step)
                self.on_epoch(step)
                if callable(until) and until(step):
                    break
            state = coordinator.state
            lag = sum(coordinator.lags(ends).values())
            return StreamReport(
                self.name,
                done,
                state.epoch,
                total,
                state.watermarks.current,
                lag,
                progress.restarts if progress else 0,
                time.monotonic() - started,
            )

    def stop(self) -> None:
        """Let `run` end after the epoch that it is at; callable from another thread or a signal handler."""
        self._stopped.set()

    def worker_pids(self) -> list[int]:
        """Process ids of the running worker actors, for tests and demonstrations of recovery; empty in process."""
        if self._workers is None or not self.workers:
            return []
        edge = RayEdge()
        return [edge.process_id(self._workers.supervisor.handle(name)) for name in self._workers.names]

    @contextlib.contextmanager
    def _supervised(self) -> Iterator[Workers]:
        spec = self._spec()
        if not self.workers:
            supervisor = Supervisor(InProcessEdge(), self.restarts)
            supervisor.spawn("worker-0", PartitionWorker, spec)
            yield Workers(supervisor, ["worker-0"])
            return
        from mercury.runtime.session import ray_session

        with ray_session(self.settings):
            supervisor = Supervisor(RayEdge(), self.restarts)
            names = [f"worker-{number}" for number in range(self.workers)]
            try:
                for name in names:
                    supervisor.spawn(name, PartitionWorker, spec, options=self.worker_options)
                self._workers = Workers(supervisor, names)
                yield self._workers
            finally:
                self._workers = None
                supervisor.stop()

    def _spec(self) -> WorkerSpec:
        return WorkerSpec(self.stream, self.source, self._kept, snapshots_in(self._folder), self.check)

    def _coordinator(self, workers: Workers) -> StreamCoordinator:
        sinks = list(self.sinks)
        if self.lake is not None:
            delta = DeltaSink(
                self.lake,
                self.stream.name,
                storage_options=self.storage_options,
                compact_every=self.compact_every,
                probe=self.probe,
            )
            sinks.insert(0, delta)
        uri = self.lake.stream_log(self.stream.name) if self.lake is not None else str(self._folder / "log")
        return StreamCoordinator(
            job=self.name,
            spec=self._spec(),
            windows=[window.name for window in self.windows],
            panes=[view.name for view in self.panes],
            workers=workers,
            sinks=sinks,
            log=JobLog(uri, self.name, self.storage_options, compact_every=self.compact_every, probe=self.probe),
            folder=self._folder,
            limits=self.limits,
            clock=self.clock,
            probe=self.probe,
        )


@dataclass(frozen=True)
class StreamStatus:
    """Where a job stands, from its log: epochs committed, counts over all of them, next offset per partition."""

    job: str
    epochs: int
    counts: Counts
    watermark: int
    positions: Mapping[int, int]


def status(stream: Stream, lake: Lake, storage_options: Mapping[str, str] | None = None) -> StreamStatus:
    """What the log of a stream's job says; zeros when it has not run."""
    from mercury.streaming.epochs import EpochPlan

    job = f"stream/{stream.name}"
    entries = JobLog(lake.stream_log(stream.name), job, storage_options).entries()
    counts, positions = Counts(), {}
    for entry in entries:
        counts += entry.counts
        positions.update({p: high for p, (_, high) in EpochPlan.from_json(entry.plan).ranges.items()})
    return StreamStatus(job, len(entries), counts, entries[-1].watermark if entries else BEGINNING, positions)


def kafka_source(stream: Stream, settings: Settings) -> Source:
    """The stream's topic on the broker that its definition, or else the settings, name."""
    from mercury.runtime.kafka import bootstrap
    from mercury.streaming.sources import KafkaSource

    assert stream.source is not None
    return KafkaSource(stream.source.bootstrap_servers or bootstrap(settings), stream.source.topic)


def watermark_text(watermark: int) -> str:
    """ISO 8601, "none" before the first event, "end" once drained."""
    return {BEGINNING: "none", END: "end"}.get(watermark) or to_iso(watermark)
