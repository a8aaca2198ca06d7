"""The flights story, from broker to served model, as `mercury demo` runs it.

Each step is real and checks itself: the stream's tables equal a recomputation by other means, planted leaks are found,
served features equal those of the point-in-time join. What happened is shown as it happens and written to
``outcome.json`` in the state folder.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from flights import aircraft, events, learning, live, metrics, outlook, page, watching
from flights.board import Board, Step, summary
from mercury.config import Settings, load_settings
from mercury.definitions import Project
from mercury.errors import UsageError
from mercury.forecasting import Forecast
from mercury.lake import Lake
from mercury.projects import load_project
from mercury.registry import Registry
from mercury.time import parse_instant

HERE = Path(__file__).parent

REPORTS = ("quality.html", "monitor.html", "outcome.json")

MARKER = "this-folder-is-emptied-by-mercury-demo"


@dataclass(frozen=True)
class Options:
    """How the story is run."""

    fast: bool = False
    keep: bool = False
    source: str = "kafka"
    bootstrap_servers: str | None = None
    state: Path = Path(".mercury-demo")

    @property
    def months(self) -> int:
        """Months of flights."""
        return 1 if self.fast else 12

    @property
    def learned_until(self) -> int:
        """When the model is trained, microseconds UTC; what comes after is predicted."""
        return parse_instant("2013-01-22T05:05:00Z" if self.fast else "2013-10-01T05:05:00Z")

    @property
    def zeroed_from(self) -> int:
        """When the feed begins to lose delays, microseconds UTC: weeks after the model was trained."""
        return parse_instant("2013-01-28T05:00:00Z" if self.fast else "2013-12-01T05:00:00Z")

    @property
    def quality_window(self) -> str:
        """Over how long the quality of predictions is looked at."""
        return "2d" if self.fast else "7d"

    @property
    def horizon(self) -> int:
        """Days that are forecast."""
        return 7 if self.fast else 14

    @property
    def between_requests(self) -> int:
        """Microseconds from one round of predictions to the next: every week has rounds at all times of the day."""
        return events.HOUR * (9 if self.fast else 29)


@dataclass
class Story:
    """What the steps share, and what they found."""

    options: Options
    settings: Settings
    project: Project
    outcome: dict[str, Any] = field(default_factory=dict)
    forecast: Forecast | None = None
    services: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def lake(self) -> Lake:
        """The story's tables."""
        return Lake(self.settings.lake)


def run(options: Options) -> None:
    """Run the story. The first error of a step ends it, after stopping what was started."""
    console = Console(stderr=True, highlight=False)
    # A worker is killed on purpose; Ray's report of it is no news.
    logging.getLogger("mercury.runtime.session").setLevel(logging.ERROR)
    settings = prepare(options)
    project = load_project(settings.project)
    registry = Registry(settings.registry_url)
    registry.apply(registry.plan(project))
    story = Story(options, settings, project)
    streaming = live.LiveStream(story)
    steps: list[tuple[str, Callable[[Story, Step], None]]] = [
        ("The broker and the cluster start", streaming.start),
        ("Events stream into tables, and a worker is killed", streaming.learn),
        ("The raw history keeps its contract", learning.check_history),
        ("Spark on Ray joins flights, planes and weather", learning.join_raw_tables),
        ("Features as they were known, and the planted leaks", learning.build_features),
        ("A model is trained and registered", learning.train_model),
        ("Rollups of the metrics are built", metrics.build),
        ("Later flights are predicted while events arrive", streaming.predict),
        ("The stream's tables equal a batch recomputation", streaming.verify),
        ("The monitor finds the day on which the feed went wrong", watching.watch),
        ("Metrics are answered from rollups and the live tail", metrics.ask),
        ("Flights per day are forecast", outlook.forecast_flights),
        ("Questions about aircraft are answered within a budget", aircraft.ask_privately),
    ]
    began = time.monotonic()
    span = "one month" if options.fast else "a year"
    console.print(f"Mercury: {span} of flights out of New York, from broker to served model", style="bold")
    with story.services, _MemoryPeak() as memory:
        with Board([title for title, _ in steps], console) as board:
            for title, act in steps:
                with board.step(title) as shown:
                    act(story, shown)
        story.outcome["seconds"] = round(time.monotonic() - began, 1)
        story.outcome["steps"] = {step.title: round(step.seconds, 1) for step in board.steps}
        story.outcome["memory_peak_bytes"] = memory.peak
        written = page.write(story)
        (settings.state / "outcome.json").write_text(json.dumps(story.outcome, indent=2) + "\n")
        _tell(story, console, written)
        if options.keep:
            console.print("The services stay up until Ctrl-C.")
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()


def prepare(options: Options) -> Settings:
    """An empty state folder, and settings that lie in it.

    Raises `UsageError` when the folder holds something that no earlier run of the story left there.
    """
    state = options.state.absolute()
    if state.exists() and any(state.iterdir()) and not (state / MARKER).exists():
        raise UsageError(
            f"{str(options.state)!r} is not empty and was not made by `mercury demo`",
            where="--state",
            fix="Name another folder: this one would be emptied",
        )
    if (state / "kafka").exists():
        from mercury.runtime.kafka import KafkaBroker

        KafkaBroker(state).stop()
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    (state / MARKER).touch()
    own = {"MERCURY_STATE": str(state), "MERCURY_LAKE": str(state / "lake")}
    # A setting of the user's that points elsewhere must not lead the story into their tables.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MERCURY_")}
    return load_settings(HERE / "mercury_project.py", kept | own)


class _MemoryPeak:
    """Samples the resident memory of this process and all that it started."""

    def __init__(self) -> None:
        self.peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _MemoryPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._ended.wait(1.0):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    memory = process.memory_full_info() if hasattr(process, "memory_full_info") else None
                    # Shared pages (the object store above all) are counted once over all processes that map them.
                    total += memory.pss if memory is not None and hasattr(memory, "pss") else process.memory_info().rss
            self.peak = max(self.peak, total)


def _tell(story: Story, console: Console, written: Path) -> None:
    found = story.outcome
    stream, model, served, watched = found["stream"], found["model"], found["requests"], found["monitor"]
    lines = [
        ("Events", f"{stream['events']:,} delivered; {stream['rows']:,} rows, {stream['late']:,} late, "
         f"{stream['duplicates']:,} duplicates, {stream['dead']:,} dead letters; {stream['restarts']} worker replaced"),
        ("Equal", ", ".join(f"{name} {rows:,}" for name, rows in found["verified"].items())),
        ("Contract", f"{found['quality']['passed']} of {found['quality']['checks']} checks passed"),
        ("Batch", f"{found['batch']['rows']:,} rows by {found['batch']['engine']}; the second run did nothing"),
        ("Leaks", f"found {', '.join(found['leakage']['found'])}; none among the honest features"),
        ("Model", f"{model['name']} version {model['version']}: AUC {model['auc']:.3f} on later examples"),
        ("Served", f"{served['count']:,} predictions, median {served['median_ms']:.1f} ms, AUC {served['auc']:.3f}; "
         f"{served['differing']} of {served['values']:,} feature values differ from the point-in-time join"),
        ("Monitor", f"{len(watched['days'])} days; the alarm came {watched['days_to_alarm']:.1f} days after the fault "
         f"in the feed, none before; {watched['captured']:,} predictions captured"),
        ("Metrics", f"none of {found['metrics']['queries']} random queries differs from plain SQL over the rows"),
        ("Forecast", f"{found['forecast']['series']} carriers; " + ", ".join(
            f"{level} % intervals held {share:.1%}" for level, share in found["forecast"]["coverage"].items())),
        ("Private", f"epsilon {found['private']['ledger']:g} of {found['private']['budget']:g} spent in "
         f"{found['private']['charges']} charges; the next question was refused"),
        ("Took", f"{found['seconds']:.0f} s, {found['memory_peak_bytes'] / 2**30:.1f} GiB of memory at the most"),
        ("Page", str(written)),
        ("Tables", str(story.settings.lake)),
        ("Reports", ", ".join(str(story.settings.state / name) for name in REPORTS)),
    ]  # fmt: skip
    if story.options.keep:
        lines += [("Services", ", ".join(f"{name} {url}" for name, url in found["addresses"].items()))]
    summary(console, "The flights story", lines)
