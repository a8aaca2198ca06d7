"""Event-time progress: per-partition watermarks, idleness, and which rows are late. Pure functions over int64 µs UTC.

A partition's watermark is the greatest event time seen in it less the allowed lateness; the job's is the least of its
partitions that are not idle, and never goes back (Akidau et al. 2015, "The Dataflow Model", section 2.3). Lateness is
judged per row, against the rows before it in its own partition and the watermark that the epoch's plan wrote down: so
a replay decides the same, however the input is cut into epochs, and a slow partition is never late because of a fast
one.
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

        A partition that has shown no event holds the job's watermark back, unless it is idle. When all are idle the
        furthest counts, as in Flink's status watermark valve.
        """
        merged = dict(self.latest)
        for partition, instant in latest.items():
            merged[partition] = max(instant, merged.get(partition, BEGINNING))
        if drain:
            return Watermarks(self.lateness, merged, END)
        active = [merged.get(partition, BEGINNING) for partition in partitions if partition not in idle]
        reached = min(active) if active else max(merged.values(), default=BEGINNING)
        reached = reached - self.lateness if reached != BEGINNING else BEGINNING
        return Watermarks(self.lateness, merged, max(self.current, reached))


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


def is_idle(now: int, last_record: int, lag: int, timeout: int) -> bool:
    """Whether a partition is idle: read to its end, and without a record for `timeout` of wall clock."""
    return lag == 0 and now - last_record >= timeout
