"""Deterministic replay of a stream: no broker, events and wall clock advance when the test says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mercury.definitions import Stream
from mercury.lake import Lake
from mercury.streaming.job import StreamJob, StreamReport
from mercury.streaming.sources import MemorySource

_SOME_TIME = 1_700_000_000_000_000


@dataclass
class ManualClock:
    """A clock that stands still until it is moved; µs UTC."""

    now: int = _SOME_TIME

    def __call__(self) -> int:
        """The time."""
        return self.now

    def advance(self, microseconds: int) -> None:
        """Move on."""
        self.now += microseconds


@dataclass
class Replay:
    """A job over values in memory, in one folder: run it, add events, move the clock, run it again.

    Each `run` is a new job that knows only what the former left in the folder: a restart. ``options`` go to
    `StreamJob`.
    """

    stream: Stream
    folder: Path
    partitions: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.values: dict[int, list[bytes | None]] = {partition: [] for partition in range(self.partitions)}

    @property
    def lake(self) -> Lake:
        """Where the tables are."""
        return Lake(str(self.folder / "lake"))

    def send(self, partition: int, values: Sequence[bytes | None]) -> None:
        """Append events to a partition."""
        self.values[partition] += values

    def job(self, **options: Any) -> StreamJob:
        """A new job over what was sent so far."""
        settings: dict[str, Any] = {
            "lake": self.lake,
            "state": self.folder / "state",
            "clock": self.clock,
            **self.options,
            **options,
        }
        return StreamJob(self.stream, MemorySource.of(self.values, self.stream.name), **settings)

    def run(self, *, drain: bool = False, **options: Any) -> StreamReport:
        """Run a new job to the end of what was sent."""
        return self.job(**options).run("end", drain=drain)
