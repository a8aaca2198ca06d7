"""Event-time progress: per-partition watermarks, idleness, and which rows are late. Pure functions over int64 µs UTC.

A partition's watermark is the greatest event time seen in it less the allowed lateness; the job's is the least of its
partitions that are not idle, and never goes back (Akidau et al. 2015, "The Dataflow Model", section 2.3). Lateness is
judged per row, against the rows before it in its own partition and the watermark that the epoch's plan wrote down: so
a replay decides the same, however the input is cut into epochs, and a slow partition is never late because of a fast
one.

Silence says that a partition has nothing to tell only while others speak. When all are silent, the feed may be paused,
its producer restarted or the broker away: the clock on the wall moves, event time does not, and the watermark waits.
Apache Flink's valve moves on to the furthest partition then, and what the others hold back is late when they resume;
Kafka Streams waits. An idle partition is therefore one that was silent while others spoke for the idle timeout
(`Silence`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

BEGINNING = -(1 << 63)
"""Before all events: the watermark of a job that has seen none."""

END = (1 << 63) - 1
"""After all events: the watermark of a drained job, whose windows are all closed."""


@dataclass(frozen=True)
class Watermarks:
    """How far event time has come.

    ``latest`` holds the greatest event time per partition that has seen one; ``current`` the job's watermark, below
    which no row may still arrive and count, or `BEGINNING`.
    """

    lateness: int
    latest: Mapping[int, int] = field(default_factory=dict)
    current: int = BEGINNING

    def advance(
        self, latest: Mapping[int, int], partitions: Collection[int], idle: Collection[int] = (), drain: bool = False
    ) -> Watermarks:
        """The watermarks after an epoch in which these greatest event times were seen.

        A partition that has shown no event holds the job's watermark back, unless it is idle. When all are idle, or
        there are none, it stays.
        """
        merged = dict(self.latest)
        for partition, instant in latest.items():
            merged[partition] = max(instant, merged.get(partition, BEGINNING))
        if drain:
            return Watermarks(self.lateness, merged, END)
        active = [merged.get(partition, BEGINNING) for partition in partitions if partition not in idle]
        reached = min(active, default=BEGINNING)
        reached = reached - self.lateness if reached != BEGINNING else BEGINNING
        return Watermarks(self.lateness, merged, max(self.current, reached))


@dataclass(frozen=True)
class Silence:
    """For how long each partition has been silent while others spoke, by the wall clock (µs).

    Parameters
    ----------
    timeout : how much of such silence makes a partition idle.
    now : when somebody was heard last, or listening began.
    spoken : how long the topic has been speaking by then. A pause of all counts as half the timeout at most: whoever
        speaks first after it makes nobody idle at once, and yet a topic of rare events comes to its end.
    heard : what ``spoken`` was when each partition was heard last.
    """

    timeout: int
    now: int
    spoken: int = 0
    heard: Mapping[int, int] = field(default_factory=dict)

    def hear(self, now: int, speaking: Collection[int]) -> Silence:
        """The silence after records of these partitions were found; what was, when there are none."""
        if not speaking:
            return self
        spoken = self.spoken + max(min(now - self.now, self.timeout // 2), 1)
        return Silence(self.timeout, max(now, self.now), spoken, {**self.heard, **dict.fromkeys(speaking, spoken)})

    def idle(self, lag: Mapping[int, int]) -> tuple[int, ...]:
        """Those of these partitions that are read to their end (``lag`` 0) and were silent for the timeout."""
        silent = {partition: self.spoken - self.heard.get(partition, 0) for partition in lag}
        return tuple(p for p in sorted(lag) if not lag[p] and silent[p] >= max(self.timeout, 1))


def late_by(event_times: np.ndarray, latest: int, lateness: int, watermark: int) -> np.ndarray:
    """Microseconds by which each row of one partition, in offset order, is late; 0 for a row that counts.

    ``latest`` is the greatest event time of the partition before the first row, or `BEGINNING`; ``watermark`` that of
    the epoch's plan. A row exactly on the bound is not late.
    """
    bound = np.maximum(before(event_times, latest, lateness), watermark)
    late = event_times < bound
    return np.where(late, bound - np.where(late, event_times, bound), 0)


def before(event_times: np.ndarray, latest: int, distance: int) -> np.ndarray:
    """Per row, the greatest event time before it in its partition less `distance`; `BEGINNING` while there is none."""
    running = np.maximum.accumulate(np.concatenate([[latest], event_times]).astype(np.int64))[:-1]
    return np.where(running == BEGINNING, BEGINNING, running - np.where(running == BEGINNING, 0, distance))
