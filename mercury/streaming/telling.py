"""What a stream's run tells lineage of its source: which offsets it has read. Sinks tell what they write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mercury.runtime import lineage
from mercury.streaming.coordinator import EpochProgress
from mercury.streaming.sources import FileSource, KafkaSource, Source

TELL_SECONDS = 60.0
"""A run that goes on tells where it is this often, for it may never end, or end by being killed."""


@dataclass
class Telling:
    """Adds committed epochs to a run.

    Offsets are told as one range per partition, from the first that the run read to the end of the last, as the
    version of the source.
    """

    run: lineage.Run
    source: Source
    every: float = TELL_SECONDS
    clock: Callable[[], float] = time.monotonic
    _read: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._told = self.clock()

    def epoch(self, progress: EpochProgress) -> None:
        """Add an epoch, and tell of the run when it is time."""
        for partition, (low, high) in progress.ranges.items():
            if high > low:
                first, _ = self._read.get(partition, (low, high))
                self._read[partition] = first, high
        version = lineage.offset_ranges(self._read) or None
        for number, (name, namespace) in enumerate(_datasets(self.source)):
            rows = None if number else progress.counts.events  # of all files together
            self.run.input(name, version=version, rows=rows, namespace=namespace)
        if self.clock() - self._told >= self.every:
            self._told = self.clock()
            self.run.progress()


def _datasets(source: Source) -> list[tuple[str, str | None]]:
    """Address of each part of a source, or its name and a namespace."""
    if isinstance(source, KafkaSource):
        return [(f"kafka://{source.bootstrap.partition(',')[0].strip()}/{source.topic}", None)]
    if isinstance(source, FileSource):
        return [(path, None) for path in source.paths]
    return [(source.name, type(source).__name__)]
