"""The state of a job after an epoch, and the fold that makes it from the state before and what the epoch added. Pure.

Live processing and restoring from a snapshot go through the same fold in the same order, so their floats are equal bit
for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from mercury.definitions import Stream, arrow_schema
from mercury.streaming import dedup
from mercury.streaming.epochs import EpochPlan
from mercury.streaming.watermarks import BEGINNING, Watermarks
from mercury.streaming.windows import PaneWindow
from mercury.summaries import Summary, merge
from mercury.time import duration


@dataclass(frozen=True)
class JobState:
    """All that an epoch needs to know of the ones before it.

    ``positions`` is the next offset per partition, ``panes`` the open panes per window, ``memory`` the remembered keys
    per partition (`mercury.streaming.dedup`).
    """

    epoch: int
    watermarks: Watermarks
    positions: Mapping[int, int] = field(default_factory=dict)
    panes: Mapping[str, Summary] = field(default_factory=dict)
    memory: Mapping[int, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochDelta:
    """What an epoch adds: offsets reached, watermarks after it, its own panes, keys to remember."""

    epoch: int
    watermarks: Watermarks
    positions: Mapping[int, int]
    panes: Mapping[str, Summary]
    memory: Mapping[int, pa.Table]


@dataclass(frozen=True)
class Fold:
    """The rules by which a state grows."""

    windows: tuple[PaneWindow, ...]
    ttl: int

    @classmethod
    def of(cls, stream: Stream, windows: Sequence[PaneWindow]) -> Fold:
        """The rules of a stream's definition."""
        return cls(tuple(windows), dedup_ttl(stream))

    def apply(self, state: JobState, delta: EpochDelta) -> tuple[JobState, dict[str, Summary]]:
        """The state after an epoch, and the windows that it closed, by name and keyed by their start."""
        closed: dict[str, Summary] = {}
        panes: dict[str, Summary] = {}
        watermark = delta.watermarks.current
        for window in self.windows:
            parts = [side[window.name] for side in (state.panes, delta.panes) if window.name in side]
            if parts:
                merged = merge(parts) if len(parts) > 1 else parts[0]
                closed[window.name] = window.closed(merged, state.watermarks.current, watermark)
                panes[window.name] = window.open(merged, watermark)
        memory = dict(state.memory)
        for partition, latest in delta.watermarks.latest.items():
            additions = delta.memory.get(partition)
            known = memory.get(partition)
            if known is None and additions is None:
                continue
            known = additions.slice(0, 0) if known is None and additions is not None else known
            additions = known.slice(0, 0) if additions is None and known is not None else additions
            memory[partition] = dedup.remember(known, additions, latest, self.ttl)
        positions = {**state.positions, **delta.positions}
        return JobState(delta.epoch, delta.watermarks, positions, panes, memory), closed


def initial(stream: Stream) -> JobState:
    """The state before the first epoch."""
    return JobState(0, Watermarks(duration(stream.lateness)))


def dedup_ttl(stream: Stream) -> int:
    """How long the stream's keys are remembered, in microseconds of event time."""
    return duration(stream.dedup if stream.dedup is not None else stream.lateness)


def memory_of(state: JobState, stream: Stream, partition: int) -> pa.Table:
    """The keys that a partition remembers."""
    return state.memory.get(partition, dedup.empty_memory(arrow_schema(stream.schema), stream.key))


def latest_of(state: JobState, partition: int) -> int:
    """The greatest event time that a partition has shown, or `BEGINNING`."""
    return state.watermarks.latest.get(partition, BEGINNING)


def positions_after(plan: EpochPlan) -> dict[int, int]:
    """The next offset per partition once the plan is carried out."""
    return {partition: high for partition, (_, high) in plan.ranges.items()}
