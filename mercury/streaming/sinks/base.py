"""The interface of a sink: three methods, and writing an epoch twice is the same as once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from mercury.streaming.epochs import EpochPlan
from mercury.summaries import Summary


@dataclass(frozen=True)
class EpochOutput:
    """What an epoch gave, complete and final.

    Parameters
    ----------
    job, epoch : who and which; the key under which a sink writes once.
    plan : what was read.
    watermark : µs, after the epoch (`mercury.streaming.watermarks`): no later row will count before it.
    rows, late, dead_letters : in (partition, offset) order.
    windows : finished answers of the windows that closed, by name; empty tables for those of which none did.
    panes : state of the feature panes that closed, by view, keyed by ``pane_start`` and the entity's keys. What a view
        lacks here closed no pane.
    provenance : goes with every commit: source, offset ranges, epoch, watermark, incarnation.
    """

    job: str
    epoch: int
    plan: EpochPlan
    watermark: int
    rows: pa.Table
    late: pa.Table
    dead_letters: pa.Table
    windows: Mapping[str, pa.Table]
    panes: Mapping[str, Summary]
    provenance: Mapping[str, Any]


class Sink(Protocol):
    """Takes epochs in order. After a crash the last one comes again, with the same content."""

    def open(self, job: str) -> None:
        """Make ready, before the first epoch of a run."""
        ...

    def write(self, output: EpochOutput) -> None:
        """Write an epoch; a second time with the same job and epoch must change nothing."""
        ...

    def close(self) -> None:
        """Release what is held; also called after an error."""
        ...
