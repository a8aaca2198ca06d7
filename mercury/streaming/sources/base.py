"""The interface between the engine and what it reads: partitions of records with increasing offsets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa


class Reader(Protocol):
    """An open source, used by one thread."""

    def bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        """First and end offset per partition, now."""
        ...

    def read(self, ranges: Mapping[int, tuple[int, int]]) -> dict[int, pa.Table]:
        """Exactly the records with ``low <= offset < high`` per partition, as `mercury.streaming.records.RECORDS`."""
        ...

    def close(self) -> None:
        """Release connections and files."""
        ...


class Source(Protocol):
    """Says what to read; a value that can be sent to a worker, which opens it there."""

    @property
    def name(self) -> str:
        """What provenance calls it: a topic, or a folder."""
        ...

    def open(self) -> Reader:
        """Connect."""
        ...
