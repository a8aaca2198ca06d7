"""The stream's part of the story: broker, replayer and job run side by side while flights are predicted."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flights import events, verify
from flights.board import Step
from flights.predictions import FlightRequests
from flights.replay import FileReplayer, KafkaReplayer, Replayer
from mercury.definitions import FeatureView, Model, Stream, Window
from mercury.errors import DataError, DeadlineExceededError
from mercury.features import FeatureSink, FeatureStore
from mercury.quality import load_contract, stream_check
from mercury.runtime import ray_session
from mercury.runtime.loopback import free_ports
from mercury.streaming import EpochProgress, FileSource, KafkaSource, Limits, Source, StreamJob
from mercury.tables import Table
from mercury.time import to_iso

if TYPE_CHECKING:
    from flights.story import Story

WORKERS = 2
CPUS = 8
"""Logical CPUs of the story's Ray: stream workers, Spark, training and serving all hold one while they wait."""

DEADLINE_SECONDS = 300.0


class LiveStream:
    """The feed, who delivers it, and the job that reads it in a thread of its own."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._stream = story.project.get(Stream, "flights")
        self._reached = threading.Condition()
        self._events = 0
        self._restarts = 0
        self._watermark = 0
        self._failure: BaseException | None = None
        self._killed: int | None = None
        self._delivered = 0
        self._feed: events.Feed
        self._replayer: Replayer
        self._job: StreamJob
        self._thread: threading.Thread | None = None

    def start(self, story: Story, shown: Step) -> None:
        """Start the cluster and the broker (or lay out a folder for files), and make the feed."""
        shown.say("making the feed")
        self._flights = events.history(story.options.months)
        self._feed = events.feed(self._flights, zeroed_from=story.options.zeroed_from)
        shown.note(
            f"{self._flights.num_rows:,} flights make {len(self._feed):,} events: "
            + ", ".join(f"{count:,} {fault.replace('_', ' ')}" for fault, count in self._feed.counts.items())
        )
        shown.say("starting Ray")
        session = story.services.enter_context(ray_session(story.settings, num_cpus=CPUS, dashboard=True))
        # Ray takes SIGTERM for itself when it starts, and a broker must not outlive the story.
        story.services.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _end))
        story.outcome["addresses"] = {"ray": session.dashboard_url or session.address}
        shown.note(f"Ray at {session.address}, jobs at {session.dashboard_url}")
        source = self._connect(story, shown)
        self._job = StreamJob.from_settings(
            self._stream,
            story.settings,
            source,
            windows=story.project.of(Window),
            panes=self._views(),
            check=stream_check(load_contract(Path(story.settings.project).parent / str(self._stream.contract))),
            sinks=[FeatureSink(FeatureStore.of(story.settings), self._views())],
            workers=WORKERS,
            limits=Limits(records=60_000),
            on_epoch=self._on_epoch,
        )

    def learn(self, story: Story, shown: Step) -> None:
        """Stream what happened before the model is trained; kill a worker halfway."""
        stop = self._feed.until(story.options.learned_until)
        began = time.monotonic()
        self._advance(stop // 2, shown)
        killer = threading.Thread(target=self._kill_a_worker, name="killer", daemon=True)
        killer.start()
        self._advance(stop, shown)
        killer.join()
        if self._killed is None or self._restarts < 1:
            raise DataError(f"no worker was killed and replaced (killed {self._killed}, {self._restarts} restarts)")
        shown.note(
            f"worker process {self._killed} was killed with SIGKILL halfway and replaced; its epoch was done again"
        )
        rate = stop / (time.monotonic() - began)
        shown.note(
            f"{stop:,} events until {to_iso(story.options.learned_until)}, {rate:,.0f} a second with the delivery"
        )

    def predict(self, story: Story, shown: Step) -> None:
        """Go on delivering, and at each round ask for the flights of the hour."""
        from mercury.serving.applications import serving

        model = story.project.get(Model, "delay_risk")
        port = free_ports(1)[0]
        shown.say("starting the services")
        applications = ["features", "models", *(["analytics"] if story.options.keep else [])]
        url = story.services.enter_context(serving(story.settings, applications, port=port))
        story.outcome["addresses"] |= {"models": f"{url}/v2/models/{model.name}", "features": f"{url}/features"}
        if story.options.keep:
            story.outcome["addresses"]["metrics, live"] = f"{url}/analytics/"
        requests = FlightRequests(url, model, self._flights)
        at = story.options.learned_until
        end = int(self._feed.delivered[-1])
        while at < end:
            self._advance(self._feed.until(at, self._delivered), shown)
            asked = requests.ask(at)
            shown.say(f"{to_iso(at)}: {asked} flights of the hour predicted, {requests.count:,} in all")
            at += story.options.between_requests
        self._advance(len(self._feed), shown)
        story.outcome["requests"] = requests.judge(story.settings, model)
        found = story.outcome["requests"]
        shown.note(
            f"{found['count']:,} predictions over HTTP, each with an id, the model's version and its features' epochs"
        )
        shown.note(
            f"{found['differing']} of {found['values']:,} served feature values differ from the point-in-time join; "
            f"AUC {found['auc']:.3f} once the flights had arrived"
        )

    def verify(self, story: Story, shown: Step) -> None:
        """Drain the stream and compare all its tables with a recomputation by other means."""
        self._stop()
        self._job = replace(self._job)
        report = self._job.run("end", drain=True)
        lake, name = story.lake, self._stream.name
        rows = Table.open(lake.stream_rows(name)).read()
        late = Table.open(lake.stream_late(name)).read() if Table.exists(lake.stream_late(name)) else None
        dead = Table.open(lake.stream_dead_letters(name)).read().num_rows
        windows = {window.name: Table.open(lake.window(window.name)).read() for window in story.project.of(Window)}
        story.outcome["verified"] = verify.compare(self._feed.values, rows, late, dead, windows)
        late_rows = 0 if late is None else late.num_rows
        beats = self._feed.counts["heartbeats"]
        duplicates = len(self._feed) - beats - rows.num_rows - late_rows - dead
        story.outcome["stream"] = {
            "events": len(self._feed) - beats,
            "heartbeats": beats,
            "rows": rows.num_rows,
            "late": late_rows,
            "duplicates": duplicates,
            "dead": dead,
            "epochs": report.epoch,
            "restarts": self._restarts,
            "planted": self._feed.counts,
        }
        shown.note("no row differs: " + ", ".join(f"{what} {n:,}" for what, n in story.outcome["verified"].items()))

    def _views(self) -> list[FeatureView]:
        return [view for view in self._story.project.of(FeatureView) if isinstance(view.source, Stream)]

    def _connect(self, story: Story, shown: Step) -> Source:
        if story.options.source == "files":
            folder = story.settings.state / "feed"
            self._replayer = FileReplayer(self._feed, folder)
            shown.note(f"events are replayed from files in {folder}")
            return FileSource.of(folder)
        from mercury.runtime.kafka import KafkaBroker, create_topic, delete_topic, list_topics

        address = story.options.bootstrap_servers
        if address is None:
            shown.say("starting Kafka (the first time its jars are fetched)")
            broker = KafkaBroker(story.settings.state)
            address = broker.start().bootstrap
            story.services.callback(broker.stop)
        assert self._stream.source is not None
        topic = self._stream.source.topic
        if topic in list_topics(address):
            delete_topic(address, topic)
        create_topic(address, topic, events.PARTITIONS, retention_ms=-1)
        self._replayer = KafkaReplayer(self._feed, address, topic)
        story.services.callback(self._replayer.close)
        story.outcome["addresses"]["kafka"] = address
        shown.note(f"Apache Kafka at {address}, topic {topic} with {events.PARTITIONS} partitions")
        return KafkaSource(address, topic)

    def _advance(self, stop: int, shown: Step) -> None:
        """Deliver the feed up to event ``stop`` and wait until the job has committed all of it."""
        if stop <= self._delivered:
            return
        for low in range(self._delivered, stop, 20_000):
            self._replayer.deliver(min(low + 20_000, stop))
            # A folder of files is a source once there is one in it.
            self._stream_on()
            shown.say(f"{min(low + 20_000, stop):,} events delivered, {self._events:,} committed")
        self._delivered = stop
        deadline = time.monotonic() + DEADLINE_SECONDS
        with self._reached:
            while self._events < stop and self._failure is None:
                shown.say(f"{stop:,} events delivered, {self._events:,} committed")
                if not self._reached.wait(0.5) and time.monotonic() > deadline:
                    raise DeadlineExceededError(f"{self._events:,} of {stop:,} events in {DEADLINE_SECONDS:.0f} s")
        if self._failure is not None:
            raise self._failure

    def _stream_on(self) -> None:
        """Start the job's thread, the first time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_for_good, name="stream", daemon=True)
            self._thread.start()
            self._story.services.callback(self._stop)

    def _run_for_good(self) -> None:
        try:
            self._job.run(until=None)
        except BaseException as error:
            with self._reached:
                self._failure = error
                self._reached.notify_all()

    def _stop(self) -> None:
        if self._thread is not None:
            self._job.stop()
            self._thread.join()
            self._thread = None

    def _on_epoch(self, progress: EpochProgress) -> None:
        with self._reached:
            self._events += progress.counts.events
            self._restarts = max(self._restarts, progress.restarts)
            self._watermark = progress.watermark
            self._reached.notify_all()

    def _kill_a_worker(self) -> None:
        """End the first worker process that works on the second half, as a machine that runs out of memory would."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (processes := self._job.worker_pids()) and time.monotonic() < deadline:
            time.sleep(0.05)
        if processes:
            os.kill(processes[0], signal.SIGKILL)
            self._killed = processes[0]


def _end(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)
