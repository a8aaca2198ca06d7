"""A sink that keeps epochs in memory: for tests and for looking at a stream."""

from __future__ import annotations

import pyarrow as pa

from mercury.streaming.sinks.base import EpochOutput


class MemorySink:
    """Holds each epoch's output once, by epoch."""

    def __init__(self) -> None:
        self.epochs: dict[int, EpochOutput] = {}

    def open(self, job: str) -> None:
        """Nothing to make ready."""

    def write(self, output: EpochOutput) -> None:
        """Keep the epoch; the first writing counts."""
        self.epochs.setdefault(output.epoch, output)

    def close(self) -> None:
        """Nothing to release."""

    def rows(self) -> pa.Table:
        """All rows so far."""
        return pa.concat_tables([output.rows for _, output in sorted(self.epochs.items())])

    def window(self, name: str) -> pa.Table:
        """All closed windows of a name so far."""
        return pa.concat_tables([output.windows[name] for _, output in sorted(self.epochs.items())])
