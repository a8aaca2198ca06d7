"""A Kafka topic as a source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mercury.streaming.fetch import KafkaReader


@dataclass(frozen=True)
class KafkaSource:
    """A topic on a broker; ``options`` are passed to `kafka.KafkaConsumer` (TLS, SASL)."""

    bootstrap: str
    topic: str
    isolation_level: str = "read_committed"
    whole_batches: bool = True
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The topic."""
        return self.topic

    def open(self) -> KafkaReader:
        """Connect to the broker."""
        from mercury.streaming.fetch import KafkaReader

        return KafkaReader(
            self.bootstrap,
            self.topic,
            isolation_level=self.isolation_level,
            whole_batches=self.whole_batches,
            options=self.options,
        )
