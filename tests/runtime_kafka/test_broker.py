"""A real broker: it keeps its data over stops, crashes and changes of port, and there is one per state folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from mercury.errors import BrokerUnavailableError, ConflictError, NotFoundError, PortInUseError
from mercury.runtime.kafka import KafkaBroker, create_topic, delete_topic, discover, list_topics, offsets
from tests.listening import beyond_loopback, listening

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    broker = KafkaBroker(tmp_path_factory.mktemp("state"))
    yield broker
    broker.stop()


def send(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    for value in values:
        producer.send(topic, value)
    producer.flush()
    producer.close()


def read(bootstrap: str, topic: str, count: int, **options: str) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=10_000, **options)
    part = TopicPartition(topic, 0)
    consumer.assign([part])
    consumer.seek_to_beginning(part)
    values = [record.value for _, record in zip(range(count), consumer, strict=False)]
    consumer.close()
    return values


def test_data_survives_a_stop_and_a_change_of_port(broker: KafkaBroker) -> None:
    first = broker.start()
    create_topic(first.bootstrap, "kept", 2)
    send(first.bootstrap, "kept", b"a", b"b", b"c")
    assert broker.stop() and not broker.stop()

    second = broker.start()

    assert sum(end for _, end in offsets(second.bootstrap, "kept").values()) == 3
    assert not psutil.pid_exists(first.pid) and second.pid != first.pid


def test_it_listens_on_loopback_only(broker: KafkaBroker) -> None:
    running = broker.start()

    places = listening(running.pid)

    assert {running.port, running.controller} <= {port for _, port in places}
    assert beyond_loopback(places) == []


def test_data_survives_a_crash(broker: KafkaBroker) -> None:
    before = broker.start()
    create_topic(before.bootstrap, "crashed")
    send(before.bootstrap, "crashed", b"1", b"2")
    os.kill(before.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before.pid)] if psutil.pid_exists(before.pid) else [], timeout=10)

    assert broker.running() is None
    after = broker.start()

    assert read(after.bootstrap, "crashed", 2) == [b"1", b"2"]


def test_a_second_start_finds_the_broker_that_runs(broker: KafkaBroker) -> None:
    running = broker.start()
    program = "import sys; from pathlib import Path; from mercury.runtime.kafka import KafkaBroker as B; "
    program += "print(B(Path(sys.argv[1])).start().pid)"

    pids = [
        subprocess.Popen([sys.executable, "-c", program, str(broker.folder.parent)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    assert {int(child.communicate(timeout=120)[0]) for child in pids} == {running.pid}
    assert discover(broker.folder.parent) == running.bootstrap
    with pytest.raises(ConflictError, match=f"runs on port {running.port}"):
        broker.start(port=running.port + 1)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(PortInUseError, match=f"port {port} is taken"):
            KafkaBroker(tmp_path).start(port=port)


def test_what_another_process_left_in_the_record_is_no_broker(tmp_path: Path) -> None:
    broker = KafkaBroker(tmp_path)
    broker.folder.mkdir()
    (broker.folder / "broker.json").write_text(
        f'{{"bootstrap": "127.0.0.1:1", "pid": {os.getpid()}, "began": 1.0, "port": 1, "controller": 2}}'
    )

    assert broker.running() is None
    assert broker.stop() is False
    assert psutil.pid_exists(os.getpid())


def test_readers_of_committed_events_do_not_see_an_aborted_transaction(broker: KafkaBroker) -> None:
    bootstrap = broker.start().bootstrap
    create_topic(bootstrap, "transactions")
    producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id="test", acks="all")
    producer.init_transactions()
    for kept, value in ((True, b"kept 1"), (False, b"dropped"), (True, b"kept 2")):
        producer.begin_transaction()
        producer.send("transactions", value)
        producer.flush()
        producer.commit_transaction() if kept else producer.abort_transaction()
    producer.close()

    committed = read(bootstrap, "transactions", 2, isolation_level="read_committed")
    everything = read(bootstrap, "transactions", 3, isolation_level="read_uncommitted")

    assert committed == [b"kept 1", b"kept 2"]
    assert everything == [b"kept 1", b"dropped", b"kept 2"]


def test_topics_are_made_listed_and_deleted(broker: KafkaBroker) -> None:
    bootstrap = broker.start().bootstrap
    create_topic(bootstrap, "made", 3)
    create_topic(bootstrap, "made", 3, exist_ok=True)

    with pytest.raises(ConflictError, match="the topic 'made' exists"):
        create_topic(bootstrap, "made")
    with pytest.raises(NotFoundError, match=r"no topic is named 'mad' \(.*\)\. Did you mean 'made'\?"):
        offsets(bootstrap, "mad")
    assert "made" in list_topics(bootstrap)
    assert offsets(bootstrap, "made") == {0: (0, 0), 1: (0, 0), 2: (0, 0)}
    delete_topic(bootstrap, "made")
    assert "made" not in list_topics(bootstrap)


def test_no_broker_is_one_clear_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"

        with pytest.raises(BrokerUnavailableError, match=f"no Kafka broker answers at {address}"):
            list_topics(address)
