"""Exact offset ranges from a real broker: whole batches and the public poll give the same."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Iterator
from typing import Any

import kafka
import pyarrow as pa
import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.consumer.fetcher import Fetcher

from mercury.errors import BrokerUnavailableError, CorruptDataError, DataError, NotFoundError
from mercury.streaming import fetch, records
from mercury.streaming.fetch import KafkaReader

kafka_test = pytest.mark.kafka
FORMS = pytest.mark.parametrize("whole", [True, False], ids=["batches", "poll"])


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    """A new topic of two partitions."""
    name = f"fetch-{uuid.uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    try:
        admin.create_topics([NewTopic(name, 2, 1)])
    finally:
        admin.close()
    return name


def produce(bootstrap: str, topic: str, numbers: range, partition: int = 0, **options: Any) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, **options)
    for number in numbers:
        producer.send(topic, value=b"%d" % number, key=b"k", partition=partition, timestamp_ms=1000 + number)
    producer.flush()
    producer.close()


@pytest.fixture
def reader(kafka_bootstrap: str, topic: str, whole: bool) -> Iterator[KafkaReader]:
    opened = KafkaReader(kafka_bootstrap, topic, whole_batches=whole)
    assert opened.whole_batches == whole
    yield opened
    opened.close()


def numbers(table: pa.Table) -> list[int]:
    return [int(value) for value in table.column("value").to_pylist()]


def test_the_private_names_are_as_expected() -> None:
    assert kafka.__version__.startswith(fetch.PRIVATE_VERSIONS)
    assert all(hasattr(Fetcher.PartitionRecords, name) for name in fetch.PRIVATE_NAMES)
    parameters = inspect.signature(Fetcher.PartitionRecords.__init__).parameters
    assert {"fetch_offset", "tp", "records", "check_crcs", "isolation_level", "aborted_transactions"} <= set(parameters)
    assert "self.PartitionRecords(" in inspect.getsource(Fetcher._parse_fetched_data)
    # What `clear_exhausted` relies on: an exhausted batch is falsy, and None lets kept ones come back.
    assert "if self._next_partition_records is None:" in inspect.getsource(Fetcher.fetched_records)
    assert "if not self._next_partition_records:" in inspect.getsource(Fetcher.fetched_records)
    assert all(f"self.{name} = " in inspect.getsource(Fetcher.__init__) for name in fetch.PRIVATE_STATE)


def test_another_release_falls_back_to_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "__version__", "3.1.0")

    assert not fetch.install_whole_batches(object())


def test_no_broker_is_one_clear_error() -> None:
    with pytest.raises(BrokerUnavailableError, match="mercury kafka start"):
        KafkaReader("127.0.0.1:1", "t", options={"bootstrap_timeout_ms": 500})


@kafka_test
@FORMS
def test_a_missing_topic_is_named(kafka_bootstrap: str, whole: bool) -> None:
    reader = KafkaReader(kafka_bootstrap, "no-such-topic", whole_batches=whole)
    with pytest.raises(NotFoundError, match="no-such-topic"):
        reader.partitions()
    reader.close()


@kafka_test
@FORMS
@pytest.mark.parametrize("compression", [None, "gzip", "lz4"])
def test_ranges_are_exact_whatever_the_batches_are(
    kafka_bootstrap: str, topic: str, reader: KafkaReader, compression: str | None
) -> None:
    produce(kafka_bootstrap, topic, range(500), compression_type=compression, batch_size=2000)
    produce(kafka_bootstrap, topic, range(70), partition=1, compression_type=compression)

    assert reader.bounds() == ({0: 0, 1: 0}, {0: 500, 1: 70})
    first = reader.read({0: (3, 130), 1: (0, 70)})
    second = reader.read({0: (130, 131), 1: (70, 70)})
    third = reader.read({0: (131, 500)})
    again = reader.read({0: (3, 130)})

    assert numbers(first[0]) == list(range(3, 130))
    assert numbers(first[1]) == list(range(70))
    assert (numbers(second[0]), second[1].num_rows) == ([130], 0)
    assert numbers(third[0]) == list(range(131, 500))
    assert again[0].equals(first[0])
    assert first[0].schema == records.RECORDS
    assert first[0].column("offset").to_pylist() == list(range(3, 130))
    assert first[0].column("timestamp").cast(pa.int64()).to_pylist() == [1_000_000 + 1000 * n for n in range(3, 130)]


@kafka_test
@FORMS
def test_aborted_transactions_are_left_out_and_take_their_offsets(
    kafka_bootstrap: str, topic: str, reader: KafkaReader
) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=topic)
    producer.init_transactions()
    for base, keep in ((0, True), (100, False), (200, True), (300, False)):
        producer.begin_transaction()
        for number in range(base, base + 5):
            producer.send(topic, value=b"%d" % number, partition=0)
        producer.flush()
        producer.commit_transaction() if keep else producer.abort_transaction()
    producer.close()
    end = reader.bounds()[1][0]

    whole = reader.read({0: (0, end)})[0]
    parts = [reader.read({0: (low, low + 1)})[0] for low in range(end)]

    assert end == 24
    assert numbers(whole) == [*range(5), *range(200, 205)]
    assert [number for part in parts for number in numbers(part)] == numbers(whole)
    uncommitted = KafkaReader(kafka_bootstrap, topic, isolation_level="read_uncommitted")
    assert len(numbers(uncommitted.read({0: (0, end)})[0])) == 20
    uncommitted.close()


@kafka_test
def test_an_open_transaction_is_not_the_end_yet(kafka_bootstrap: str, topic: str) -> None:
    produce(kafka_bootstrap, topic, range(3))
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, value=b"9", partition=0)
    producer.flush()
    reader = KafkaReader(kafka_bootstrap, topic)

    assert reader.bounds()[1][0] == 3
    producer.abort_transaction()
    producer.close()
    reader.close()


@kafka_test
@FORMS
def test_offsets_that_retention_removed_are_an_error(kafka_bootstrap: str, topic: str, reader: KafkaReader) -> None:
    produce(kafka_bootstrap, topic, range(10))
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.delete_records({TopicPartition(topic, 0): 6})
    admin.close()

    with pytest.raises(DataError, match="records that the job still needs are gone"):
        reader.read({0: (2, 10)})


@kafka_test
def test_a_batch_with_a_wrong_crc_is_corrupt(kafka_bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from kafka.record.default_records import DefaultRecordBatch

    produce(kafka_bootstrap, topic, range(10))
    monkeypatch.setattr(DefaultRecordBatch, "validate_crc", lambda batch: False)
    reader = KafkaReader(kafka_bootstrap, topic)

    with pytest.raises(CorruptDataError, match="CRC"):
        reader.read({0: (0, 10)})
    reader.close()
