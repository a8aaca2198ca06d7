"""Ranges cut anywhere are read whole from topics of every shape, while a producer goes on."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from mercury.streaming.fetch import KafkaReader

pytestmark = pytest.mark.kafka
FORMS = pytest.mark.parametrize("whole", [True, False], ids=["batches", "poll"])


def new_topic(bootstrap: str, partitions: int) -> str:
    name = f"shapes-{uuid.uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        admin.close()
    return name


def produce(bootstrap: str, topic: str, counts: list[int], batch: int) -> None:
    """Records 0, 1, … of each partition, as many as its count, with a flush after each `batch` of them."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=1000, batch_size=1 << 20)
    for start in range(0, max(counts), batch):
        for partition, count in enumerate(counts):
            for number in range(start, min(start + batch, count)):
                producer.send(topic, value=b"%d" % number, partition=partition)
        producer.flush()
    producer.close()


@contextmanager
def going_on(bootstrap: str, topic: str, partitions: int) -> Iterator[None]:
    """A producer of small batches until the block ends."""
    ended = threading.Event()

    def work() -> None:
        producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
        while not ended.wait(0.01):
            for partition in range(partitions):
                for _ in range(10):
                    producer.send(topic, value=b"-1", partition=partition)
            producer.flush()
        producer.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def read_in_ranges(reader: KafkaReader, ends: dict[int, int], cut: random.Random | int) -> dict[int, list[int]]:
    """All offsets of a topic, epoch by epoch, as a job reads it: each partition as far as its share goes."""
    at = dict.fromkeys(ends, 0)
    found: dict[int, list[int]] = {partition: [] for partition in ends}
    while at != ends:
        ranges = {}
        for partition, low in at.items():
            size = cut if isinstance(cut, int) else cut.choice([0, 1, 7, 500, 5_000, 50_000])
            high = min(low + size, ends[partition])
            if high > low:
                ranges[partition] = (low, high)
        for partition, table in reader.read(ranges).items():
            found[partition] += table.column("offset").to_pylist()
            at[partition] = ranges[partition][1]
    return found


@FORMS
@pytest.mark.parametrize("live", [False, True], ids=["at rest", "live"])
def test_a_topic_of_small_batches_is_read_to_its_end(kafka_bootstrap: str, whole: bool, live: bool) -> None:
    topic = new_topic(kafka_bootstrap, 4)
    counts = [25_000] * 4
    produce(kafka_bootstrap, topic, counts, batch=10)
    reader = KafkaReader(kafka_bootstrap, topic, whole_batches=whole)
    ends = dict(enumerate(counts))

    if live:
        with going_on(kafka_bootstrap, topic, 4):
            found = read_in_ranges(reader, ends, 4_253)
    else:
        found = read_in_ranges(reader, ends, 4_253)
    reader.close()

    assert found == {partition: list(range(count)) for partition, count in ends.items()}


@FORMS
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_random_topics_are_read_whole(kafka_bootstrap: str, whole: bool, seed: int) -> None:
    rng = random.Random(seed)
    partitions = rng.randint(1, 6)
    counts = [rng.choice([0, 1, 40, 3_000, 20_000]) for _ in range(partitions)]
    counts[0] = max(counts[0], 3_000)
    batch = rng.choice([3, 10, 250, 10_000])
    topic = new_topic(kafka_bootstrap, partitions)
    produce(kafka_bootstrap, topic, counts, batch)
    aborted = transaction(kafka_bootstrap, topic, rng.randrange(partitions), 20)
    reader = KafkaReader(kafka_bootstrap, topic, whole_batches=whole)
    ends = reader.bounds()[1]

    with going_on(kafka_bootstrap, topic, partitions):
        found = read_in_ranges(reader, ends, rng)
    reader.close()

    told = f"seed {seed}: partitions of {counts} in batches of {batch}, aborted in {aborted}"
    assert found == {partition: list(range(count)) for partition, count in enumerate(counts)}, told


def transaction(bootstrap: str, topic: str, partition: int, count: int) -> int:
    """An aborted transaction, whose records and marker take offsets; gives the partition."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()
    for _ in range(count):
        producer.send(topic, value=b"aborted", partition=partition)
    producer.flush()
    producer.abort_transaction()
    producer.close()
    return partition
