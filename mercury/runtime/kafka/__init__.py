"""Kafka: the project's own broker, which broker a project uses, and topics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mercury.errors import BrokerUnavailableError
from mercury.runtime.kafka.broker import KafkaBroker, RunningBroker
from mercury.runtime.kafka.topics import answers, create_topic, delete_topic, list_topics, offsets

if TYPE_CHECKING:
    from mercury.config import Settings


def discover(state: Path) -> str | None:
    """Address of the broker that runs for this state folder, or None."""
    found = KafkaBroker(state).running()
    return found.bootstrap if found else None


def bootstrap(settings: Settings, override: str | None = None) -> str:
    """The broker to use: the one named, else the settings', else the project's own.

    Raises `BrokerUnavailableError` when none is named and none runs.
    """
    found = override or settings.bootstrap_servers or discover(settings.state)
    if found is None:
        raise BrokerUnavailableError(
            "the project has no running Kafka broker",
            where=str(settings.state),
            fix="Start one with `mercury kafka start`, or name one with --bootstrap-servers; "
            "`mercury demo --source files` needs none",
        )
    return found


__all__ = [
    "KafkaBroker",
    "RunningBroker",
    "answers",
    "bootstrap",
    "create_topic",
    "delete_topic",
    "discover",
    "list_topics",
    "offsets",
]
