"""SIGKILL of workers and of the whole driver on a real broker and a real Ray: no row lost, none doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from mercury.streaming import EpochProgress, StreamReport, status
from mercury.streaming.testing import Replay
from tests.streaming import batch_twin as twin
from tests.streaming.driver import job

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
PARTITIONS = 4
SEED = int(os.environ.get("MERCURY_SEED", "7"))
Tables = Mapping[str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def values() -> Mapping[int, Sequence[bytes]]:
    return twin.feed(SEED, PARTITIONS, 6000)


@pytest.fixture(scope="module")
def expected(values: Mapping[int, Sequence[bytes]], tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables of an undisturbed run from memory, themselves compared with the row-by-row twin."""
    folder = tmp_path_factory.mktemp("calm")
    calm = Replay(twin.STREAM, folder, PARTITIONS, {"windows": twin.WINDOWS})
    for partition, items in values.items():
        calm.send(partition, items)
    calm.run(drain=True)
    tables = twin.outcome(folder)
    assert (
        sorted(tables["rows"], key=lambda r: (r["_partition"], r["_offset"]))
        == twin.recompute(twin.STREAM, values).rows
    )
    return tables


@pytest.fixture(scope="module")
def topic(kafka_bootstrap: str, values: Mapping[int, Sequence[bytes]]) -> str:
    name = f"trips-{uuid.uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, compression_type="lz4", linger_ms=5)
    for partition, items in values.items():
        for value in items:
            producer.send(name, value=value, partition=partition)
    producer.flush()
    producer.close()
    return name


def same(folder: Path, expected: Tables, topic: str) -> None:
    """The tables, and nothing but them; dead letters name their topic."""
    got = twin.outcome(folder)
    for row in (*got["dead"], *expected["dead"]):
        row["topic"] = topic
        row["timestamp"] = None
    for name in expected:
        assert got[name] == expected[name], f"{name}, seed {SEED}"


@pytest.mark.ray
def test_killed_workers_lose_and_double_nothing(
    kafka_bootstrap: str, topic: str, expected: Tables, ray_local: object, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    pids: list[int] = []
    timers: list[threading.Timer] = []

    def kill_now_and_then(progress: EpochProgress) -> None:
        if progress.epoch in (2, 5):
            os.kill(rng.choice(running.worker_pids()), signal.SIGKILL)
            pids.append(progress.epoch)
        if progress.epoch == 9:
            # In the middle of an epoch, wherever it is then.
            victim = running.worker_pids()[0]
            timers.append(threading.Timer(rng.random() * 0.05, os.kill, (victim, signal.SIGKILL)))
            timers[0].start()

    running = job(tmp_path, kafka_bootstrap, topic, workers=2, on_epoch=kill_now_and_then)
    report: StreamReport = running.run("end", drain=True)

    timers[0].join()
    same(tmp_path, expected, topic)
    assert pids == [2, 5]
    assert report.restarts == 3
    assert report.counts == status(twin.STREAM, running.lake).counts  # type: ignore[arg-type]


def start(folder: Path, bootstrap: str, topic: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.streaming.driver", str(folder), bootstrap, topic],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_a_killed_driver_loses_and_doubles_nothing(
    kafka_bootstrap: str, topic: str, expected: Tables, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    killed = 0
    for _ in range(4):
        process = start(tmp_path, kafka_bootstrap, topic)
        go(process)
        assert process.stdout is not None
        for _ in range(rng.randrange(1, 5)):
            process.stdout.readline()
        threading.Event().wait(rng.random() * 0.05)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.communicate()

    job(tmp_path, kafka_bootstrap, topic).run("end", drain=True)

    assert killed == 4
    same(tmp_path, expected, topic)


def test_of_two_drivers_one_is_fenced(kafka_bootstrap: str, topic: str, expected: Tables, tmp_path: Path) -> None:
    older, newer = (start(tmp_path, kafka_bootstrap, topic) for _ in range(2))
    go(older)
    assert older.stdout is not None
    older.stdout.readline()
    go(newer)

    _, fenced = older.communicate(timeout=60)
    _, silent = newer.communicate(timeout=60)

    assert (older.returncode, newer.returncode) == (8, 0), fenced + silent
    assert fenced.startswith("FencedError: another coordinator of stream/trips has taken over")
    same(tmp_path, expected, topic)
