"""Exactly the records of an offset range from Kafka: the only module that knows private names of kafka-python.

kafka-python spends its time on one Python object per record. Its fetcher builds them in a class that it looks up on
itself, `PartitionRecords`; a subclass there yields whole checked batches instead, and `poll()` hands those out. The CRC
check, the filter of aborted transactions (KIP-98), the skipping of control batches and the position after a batch stay
what they are in kafka-python. Where the private names are not as expected, the public `poll()` gives equal columns.

A partition that has reached the end of its range waits for the others. With the private names known it is paused, and
what was fetched ahead for it is kept. kafka-python 3.0 gives that back only while the place of the batch that it is
reading is None, where it leaves an exhausted one (KAFKA-7548 in its source), and then fetches for nobody again: so
that place is cleared before each poll. Without the private names nothing is ever paused: what comes for a partition
that waits is thrown away and fetched again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import kafka
import pyarrow as pa
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, KafkaError, OffsetOutOfRangeError

from mercury.errors import BrokerUnavailableError, CorruptDataError, DataError, NotFoundError
from mercury.streaming import records

PRIVATE_VERSIONS = ("3.0.",)
"""Releases of kafka-python whose private names were checked (tests/streaming/test_fetch.py)."""

_PARTITION_FETCH_BYTES = 4 << 20
_BATCHES_PER_POLL = 512
_RECORDS_PER_POLL = 10_000
_STALL_SECONDS = 60.0
_RECONNECT_MS = 1_000
"""A broker that was restarted is found again within about this time; kafka-python would wait up to 30 s."""


class BatchRecords(Fetcher.PartitionRecords):
    """Takes the place of kafka-python's `PartitionRecords`: an item is a checked batch, not a record."""

    def _maybe_skip_record(self, batch: Any) -> bool:
        return bool(batch.next_offset <= self.fetch_offset)

    def _unpack_records(self, tp: Any, batches: Any, key_deserializer: Any, value_deserializer: Any) -> Iterator[Any]:
        batch = batches.next_batch()
        while batch is not None:
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"batch of {tp} at offset {batch.base_offset} fails its CRC check")
            if batch.magic != 2:
                raise CorruptRecordError(
                    f"batch of {tp} at offset {batch.base_offset} has the old format {batch.magic}"
                )
            self.leader_epoch = batch.leader_epoch
            # Set before the batch is handed out: the fetcher reads the position right after `take`.
            self.next_fetch_offset = batch.next_offset
            if not self._is_skipped(batch):
                self.records_read += batch.records_count
                self.bytes_read += batch.size_in_bytes
                yield batch
            batch = batches.next_batch()
        self.drain()

    def _is_skipped(self, batch: Any) -> bool:
        if int(self.isolation_level) == 1 and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)


class KafkaReader:
    """Reads offset ranges of one topic with `assign`, never as a member of a group.

    Records that a fetch brought beyond the end of a range are kept for the next range, one poll's worth a partition.

    Parameters
    ----------
    bootstrap : ``host:port`` of a broker, or several with commas.
    isolation_level : ``read_committed`` leaves out records of aborted and open transactions.
    whole_batches : False forces the public `poll()`.
    options : passed to `kafka.KafkaConsumer` (TLS, SASL).
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        isolation_level: str = "read_committed",
        whole_batches: bool = True,
        options: Mapping[str, object] | None = None,
    ) -> None:
        self._topic = topic
        self._bootstrap = bootstrap
        settings: dict[str, object] = {
            "bootstrap_servers": bootstrap.split(","),
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": isolation_level,
            "bootstrap_timeout_ms": 10_000,
            "reconnect_backoff_max_ms": _RECONNECT_MS,
            "check_crcs": True,
            "max_partition_fetch_bytes": _PARTITION_FETCH_BYTES,
        }
        try:
            self._consumer = KafkaConsumer(**{**settings, **(options or {})})
        except KafkaError as error:
            raise self._unavailable(str(error)) from error
        self.whole_batches = whole_batches and install_whole_batches(self._consumer)
        self._at: dict[int, int] = {}  # partition: position of the consumer
        self._rest: dict[int, tuple[int, pa.Table, int]] = {}  # partition: range end, records beyond it, position

    def partitions(self) -> list[int]:
        """Partitions of the topic; `NotFoundError` when there is no such topic."""
        found = self._consumer.partitions_for_topic(self._topic)
        if not found:
            raise NotFoundError(
                f"the topic {self._topic!r} does not exist",
                where=self._bootstrap,
                fix="Create it, or produce to it, and run again; `mercury kafka topics` lists what there is",
            )
        return sorted(found)

    def bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        """First offset and end offset (of what the isolation level lets be read) per partition."""
        where = [TopicPartition(self._topic, partition) for partition in self.partitions()]
        try:
            first, end = self._consumer.beginning_offsets(where), self._consumer.end_offsets(where)
        except KafkaError as error:
            raise self._unavailable(str(error)) from error
        return {tp.partition: at for tp, at in first.items()}, {tp.partition: at for tp, at in end.items()}

    def read(self, ranges: Mapping[int, tuple[int, int]]) -> dict[int, pa.Table]:
        """Records with ``low <= offset < high`` per partition, as `records.RECORDS`.

        A range ends by position, not by count: control batches, aborted records and compacted ones take offsets
        without giving records. Raises `DataError` when retention has removed part of a range, `CorruptDataError` when
        a CRC check fails, `BrokerUnavailableError` when nothing moves for a minute.
        """
        parts: dict[int, list[pa.Table]] = {partition: [] for partition in ranges}
        position = {partition: self._resume(partition, low, parts) for partition, (low, _) in ranges.items()}
        waiting = {partition for partition, (_, high) in ranges.items() if position[partition] < high}
        if waiting:
            self._assign(waiting, position)
        moved = time.monotonic()
        while waiting:
            before = dict(position)
            self._poll(waiting, position, parts, ranges)
            waiting = {partition for partition in waiting if position[partition] < ranges[partition][1]}
            if position != before:
                moved = time.monotonic()
            elif time.monotonic() - moved > _STALL_SECONDS:
                raise self._unavailable(f"no record for {_STALL_SECONDS:.0f} s at {self._place(waiting, position)}")
        return {
            partition: self._cut(partition, low, high, parts[partition], position[partition])
            for partition, (low, high) in ranges.items()
        }

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close(autocommit=False)

    def _resume(self, partition: int, low: int, parts: dict[int, list[pa.Table]]) -> int:
        end, rest, position = self._rest.pop(partition, (-1, records.empty(), -1))
        if end != low:
            return low
        parts[partition].append(rest)
        return position

    def _assign(self, waiting: set[int], position: Mapping[int, int]) -> None:
        assigned = self._consumer.assignment()
        wanted = {TopicPartition(self._topic, partition) for partition in waiting}
        if not self.whole_batches:
            if wanted != assigned:
                self._consumer.assign(sorted(wanted))
                self._at.clear()
        elif not wanted <= assigned:
            # Partitions stay assigned and are paused instead: what was fetched ahead for them is kept.
            self._consumer.assign(sorted(wanted | assigned))
        for tp in sorted(wanted):
            if self._at.get(tp.partition) != position[tp.partition]:
                self._consumer.seek(tp, position[tp.partition])
        if self.whole_batches:
            self._consumer.pause(*(assigned - wanted))
            self._consumer.resume(*(wanted & self._consumer.paused()))

    def _poll(
        self,
        waiting: set[int],
        position: dict[int, int],
        parts: dict[int, list[pa.Table]],
        ranges: Mapping[int, tuple[int, int]],
    ) -> None:
        limit = _BATCHES_PER_POLL if self.whole_batches else _RECORDS_PER_POLL
        try:
            if self.whole_batches:
                clear_exhausted(self._consumer)
            polled = self._consumer.poll(timeout_ms=500, max_records=limit)
            for tp, items in polled.items():
                if tp.partition not in waiting:
                    # Thrown away: the consumer is no longer where its partition was left.
                    self._at.pop(tp.partition, None)
                else:
                    parts[tp.partition].append(_columns(items) if self.whole_batches else records.from_records(items))
            for partition in waiting:
                reached = self._consumer.position(TopicPartition(self._topic, partition))
                self._at[partition] = position[partition] = reached
                if self.whole_batches and reached >= ranges[partition][1]:
                    self._consumer.pause(TopicPartition(self._topic, partition))
        except OffsetOutOfRangeError as error:
            raise DataError(
                f"records that the job still needs are gone from the topic {self._topic!r}: {error}",
                where=self._place(waiting, position),
                fix="Lengthen the topic's retention, or start the job anew under another state folder",
            ) from error
        except CorruptRecordError as error:
            raise CorruptDataError(str(error), where=self._topic, fix="Check the broker's disks") from error
        except KafkaError as error:
            raise self._unavailable(str(error)) from error

    def _cut(self, partition: int, low: int, high: int, parts: list[pa.Table], position: int) -> pa.Table:
        table = records.concat(parts)
        # A copy: a slice would keep the whole poll in memory until the next range is read.
        rest = records.concat([records.between(table, high, 1 << 62)])
        self._rest[partition] = (high, rest, max(position, high))
        return records.between(table, low, high)

    def _place(self, waiting: set[int], position: Mapping[int, int]) -> str:
        return ", ".join(f"{self._topic}-{partition} offset {position[partition]}" for partition in sorted(waiting))

    def _unavailable(self, what: str) -> BrokerUnavailableError:
        return BrokerUnavailableError(
            f"Kafka cannot be read: {what}",
            where=self._bootstrap,
            fix="Start a broker with `mercury kafka start`, or name one with --bootstrap-servers",
        )


def install_whole_batches(consumer: Any) -> bool:
    """Let this consumer's `poll()` hand out batches; False, and nothing changed, when its private names differ."""
    if not kafka.__version__.startswith(PRIVATE_VERSIONS):
        return False
    fetcher = getattr(consumer, "_fetcher", None)
    if not isinstance(fetcher, Fetcher) or not all(hasattr(Fetcher.PartitionRecords, name) for name in PRIVATE_NAMES):
        return False
    if not all(hasattr(fetcher, name) for name in PRIVATE_STATE):
        return False
    fetcher.PartitionRecords = BatchRecords
    return True


def clear_exhausted(consumer: Any) -> None:
    """Let the next `poll()` give back what was kept for partitions that go on, see the module's text."""
    if not consumer._fetcher._next_partition_records:
        consumer._fetcher._next_partition_records = None


PRIVATE_STATE = ("_next_partition_records", "_paused_partition_records", "_paused_completed_fetches")

PRIVATE_NAMES = (
    "_unpack_records",
    "_maybe_skip_record",
    "_consume_aborted_transactions_up_to",
    "_contains_abort_marker",
    "_is_batch_aborted",
    "drain",
    "take",
)


def _columns(batches: list[Any]) -> pa.Table:
    out = []
    for batch in batches:
        batch._maybe_uncompress()
        payload = memoryview(batch._buffer)[batch._pos :]
        out.append(
            records.decode_batch(
                payload,
                batch.records_count,
                batch.base_offset,
                batch.first_timestamp,
                batch.max_timestamp,
                batch.timestamp_type,
            )
        )
    return pa.Table.from_batches(out, schema=records.RECORDS)


__all__ = [
    "PRIVATE_NAMES",
    "PRIVATE_STATE",
    "PRIVATE_VERSIONS",
    "BatchRecords",
    "KafkaReader",
    "clear_exhausted",
    "install_whole_batches",
]
