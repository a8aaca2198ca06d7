"""The one interface that all metrics share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from mercury.quality.block import Block


class Footer(Protocol):
    """What is known of a block before it is read: the statistics of a row group."""

    rows: int

    def nulls(self, column: str) -> int | None:
        """Number of nulls, None when the file does not say."""

    def bounds(self, column: str) -> tuple[pa.DataType, Any, Any] | None:
        """Type, least and greatest non-null value in stored units; None when not known exactly."""


class Metric(ABC):
    """Something measured; frozen and hashable, so that equal metrics are computed once."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that a block must have."""

    @property
    def expressions(self) -> tuple[str, ...]:
        """SQL conditions that are asked of a block."""
        return ()

    @abstractmethod
    def partial(self, block: Block) -> Any:
        """The state of one block."""

    @abstractmethod
    def merge(self, states: Sequence[Any]) -> Any:
        """The state of all the blocks together, whatever their order; of none, the neutral state."""

    def from_footer(self, footer: Footer) -> Any | None:
        """The state of a block from its statistics alone; None when they do not prove it."""
        return None
