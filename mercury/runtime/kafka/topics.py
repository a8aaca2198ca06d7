"""Topics of a broker: make, list, measure, delete."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mercury.errors import BrokerUnavailableError, ConflictError, NotFoundError, did_you_mean

TIMEOUT_MS = 10_000


def answers(bootstrap: str, timeout_ms: int = 2_000) -> bool:
    """Whether a broker answers at this address within the time."""
    try:
        with _admin(bootstrap, timeout_ms=timeout_ms) as admin:
            admin.list_topics()
    except BrokerUnavailableError:
        return False
    return True


def create_topic(
    bootstrap: str,
    name: str,
    partitions: int = 1,
    *,
    retention_ms: int | None = None,
    exist_ok: bool = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Make a topic with one replica; it can be written to when this returns.

    ``retention_ms`` is how long events are kept by their own time stamps, -1 for ever; None leaves it to the broker.
    Events that are older than it when they are written, as in a replay, are deleted within minutes.

    Raises `ConflictError` when there is one of this name (unless ``exist_ok``), `BrokerUnavailableError`.
    """
    from kafka.errors import TopicAlreadyExistsError

    with _admin(bootstrap, options) as admin:
        try:
            topic: dict[str, Any] = {"num_partitions": partitions, "replication_factor": 1}
            if retention_ms is not None:
                topic["configs"] = {"retention.ms": str(retention_ms)}
            admin.create_topics({name: topic}, wait_for_metadata=True)
        except TopicAlreadyExistsError as error:
            if not exist_ok:
                raise ConflictError(f"the topic {name!r} exists", where=bootstrap, fix="Choose another name") from error


def delete_topic(bootstrap: str, name: str, options: Mapping[str, Any] | None = None) -> None:
    """Remove a topic and all its events; `NotFoundError` when there is none of this name."""
    _known(bootstrap, name, options)
    with _admin(bootstrap, options) as admin:
        admin.delete_topics([name])


def list_topics(bootstrap: str, options: Mapping[str, Any] | None = None) -> list[str]:
    """Names of all topics but the broker's own, in order."""
    with _admin(bootstrap, options) as admin:
        return sorted(name for name in admin.list_topics() if not name.startswith("__"))


def offsets(bootstrap: str, topic: str, options: Mapping[str, Any] | None = None) -> dict[int, tuple[int, int]]:
    """First offset and end offset (one past the last event) per partition; `NotFoundError` for no such topic."""
    from kafka import KafkaConsumer, TopicPartition

    _known(bootstrap, topic, options)
    with _errors(bootstrap):
        consumer = KafkaConsumer(bootstrap_servers=bootstrap, **(options or {}))
        try:
            parts = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
            first, end = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
            return {part.partition: (first[part], end[part]) for part in parts}
        finally:
            consumer.close()


def _known(bootstrap: str, topic: str, options: Mapping[str, Any] | None) -> None:
    names = list_topics(bootstrap, options)
    if topic not in names:
        raise NotFoundError(
            f"no topic is named {topic!r}",
            where=bootstrap,
            fix=did_you_mean(topic, names) or "Make it first: mercury kafka topics create NAME",
        )


@contextmanager
def _admin(bootstrap: str, options: Mapping[str, Any] | None = None, timeout_ms: int = TIMEOUT_MS) -> Iterator[Any]:
    from kafka import KafkaAdminClient

    with _errors(bootstrap):
        admin = KafkaAdminClient(
            **{
                "bootstrap_servers": bootstrap,
                "bootstrap_timeout_ms": timeout_ms,
                "request_timeout_ms": max(timeout_ms, 5_000),
                **(options or {}),
            }
        )
        try:
            yield admin
        finally:
            admin.close()


@contextmanager
def _errors(bootstrap: str) -> Iterator[None]:
    """One clear error instead of the client's own, and none of its log lines about retries."""
    from kafka.errors import KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError

    logger = logging.getLogger("kafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError) as error:
        raise BrokerUnavailableError(
            f"no Kafka broker answers at {bootstrap}",
            fix="Start one with `mercury kafka start`, or check --bootstrap-servers",
        ) from error
    finally:
        logger.setLevel(level)
