"""SIGKILL of workers, coordinators and the broker, on a real broker and a real Ray: no row lost, none doubled."""

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

import psutil
import pytest
from kafka import KafkaProducer

from mercury.runtime.kafka import KafkaBroker, create_topic
from mercury.runtime.session import RaySession
from mercury.streaming import EpochProgress, StreamReport, status
from mercury.streaming.testing import CrashPoint, Replay
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
    return produce(kafka_bootstrap, values)


def produce(bootstrap: str, values: Mapping[int, Sequence[bytes]]) -> str:
    """Write the events to a new topic and return its name."""
    name = f"trips-{uuid.uuid4().hex[:8]}"
    create_topic(bootstrap, name, PARTITIONS)
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type="lz4", linger_ms=5)
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


class Driver:
    """A process that runs the job in children; see `tests.streaming.driver`."""

    def __init__(self, folder: Path, bootstrap: str, topic: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.streaming.driver", str(folder), bootstrap, topic],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.wait_for("ready")

    def run(self, last_step: str = "") -> int:
        """Start a child and return its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{last_step}\n")
        self._process.stdin.flush()
        return int(self.wait_for("child")[0])

    def wait_for(self, word: str) -> list[str]:
        """Read to the next line with this first word, and return the others."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            first, *rest = line.split()
            if first == word:
                return rest
        raise AssertionError(f"no {word!r}: {self._process.communicate()[1]}")

    def ended(self) -> int:
        """Wait for the child's exit code."""
        return int(self.wait_for("ended")[0])

    def close(self) -> str:
        """End the process and return what it said on stderr."""
        return self._process.communicate(timeout=60)[1]


STEPS = (
    "recovered",
    "planned",
    "processed",
    "saved",
    "rows",
    "late",
    "dead_letters",
    "windows/hopping",
    "windows/hourly",
    "compacted/rows",
    "written",
    "logged",
    "compacted/log",
    "committed",
    "cleaned",
)
"""Where an epoch can be interrupted; `test_every_step_is_known` compares them with the engine's own."""


def test_every_step_is_known(tmp_path: Path, values: Mapping[int, Sequence[bytes]]) -> None:
    noted = CrashPoint()
    calm = Replay(twin.STREAM, tmp_path, options={"windows": twin.WINDOWS, "compact_every": 1})
    calm.send(0, values[0])
    calm.run(probe=noted, drain=True)

    assert list(dict.fromkeys(step for step in noted.steps if step in STEPS)) == list(STEPS)
    assert {step for step in noted.steps if step not in STEPS} == {
        f"compacted/{table}" for table in ("late", "dead_letters", "windows/hopping", "windows/hourly")
    }


def test_a_driver_killed_at_every_step_of_an_epoch_loses_and_doubles_nothing(
    kafka_bootstrap: str, topic: str, expected: Tables, tmp_path: Path
) -> None:
    driver = Driver(tmp_path, kafka_bootstrap, topic)
    steps = random.Random(SEED).sample(STEPS, len(STEPS))
    for step in steps:
        driver.run(step)
        assert driver.ended() == -signal.SIGKILL, step
    driver.run()
    assert driver.ended() == 0, driver.close()
    driver.close()

    same(tmp_path, expected, topic)


def test_a_driver_killed_at_any_moment_loses_and_doubles_nothing(
    kafka_bootstrap: str, topic: str, expected: Tables, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    driver = Driver(tmp_path, kafka_bootstrap, topic)
    for _ in range(6):
        child = driver.run()
        for _ in range(rng.randrange(1, 4)):
            driver.wait_for("epoch")
        threading.Event().wait(rng.random() * 0.05)
        os.kill(child, signal.SIGKILL)
        assert driver.ended() == -signal.SIGKILL
    driver.run()
    assert driver.ended() == 0, driver.close()
    driver.close()

    same(tmp_path, expected, topic)


@pytest.mark.ray
def test_a_killed_coordinator_leaves_no_workers_and_the_next_goes_on(
    kafka_bootstrap: str, topic: str, expected: Tables, ray_local: RaySession, tmp_path: Path
) -> None:
    driver = Driver(tmp_path, kafka_bootstrap, topic, RAY_ADDRESS=ray_local.address, MERCURY_WORKERS="2")
    child = driver.run()
    driver.wait_for("epoch")
    _, *workers = map(int, driver.wait_for("epoch"))
    assert len(workers) == 2
    os.kill(child, signal.SIGKILL)
    assert driver.ended() == -signal.SIGKILL

    driver.run()
    assert driver.ended() == 0, driver.close()
    driver.close()

    same(tmp_path, expected, topic)
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in workers if psutil.pid_exists(pid)], timeout=30)
    assert not alive


def test_a_killed_broker_that_comes_back_loses_and_doubles_nothing(
    tmp_path: Path, values: Mapping[int, Sequence[bytes]], expected: Tables
) -> None:
    broker = KafkaBroker(tmp_path / "broker")
    first = broker.start()
    try:
        name = produce(first.bootstrap, values)
        killed: list[int] = []

        def start_again() -> None:
            psutil.wait_procs([psutil.Process(first.pid)], timeout=30)
            broker.start(first.port)

        def kill_the_broker(progress: EpochProgress) -> None:
            if progress.epoch == 4:
                killed.append(first.pid)
                os.kill(first.pid, signal.SIGKILL)
                threading.Thread(target=start_again).start()

        running = job(tmp_path, first.bootstrap, name, on_epoch=kill_the_broker)
        report = running.run(until=lambda progress: progress.epoch > 4 and progress.lag == 0)

        assert killed == [first.pid]
        again = broker.running()
        assert again is not None and again.pid != first.pid
        assert report.counts.events == sum(map(len, values.values()))
        running.run("end", drain=True)
        same(tmp_path, expected, name)
    finally:
        broker.stop()


def test_of_two_drivers_one_is_fenced(kafka_bootstrap: str, topic: str, expected: Tables, tmp_path: Path) -> None:
    older, newer = (Driver(tmp_path, kafka_bootstrap, topic) for _ in range(2))
    older.run()
    older.wait_for("epoch")
    newer.run()

    codes = older.ended(), newer.ended()

    fenced, silent = older.close(), newer.close()
    assert codes == (8, 0), fenced + silent
    assert fenced.startswith("FencedError: another coordinator of stream/trips has taken over")
    same(tmp_path, expected, topic)
