"""Supervised actors: what died comes back from its committed state, and what dies too often is given up."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mercury.errors import DataError, DeadlineExceededError, NotFoundError, UnavailableError, UsageError
from mercury.runtime.actors import (
    ActorDiedError,
    InProcessEdge,
    RayEdge,
    Restart,
    RestartPolicy,
    Supervisor,
)
from mercury.runtime.session import RaySession


class Counter:
    """Counts, and keeps the count in a file as its last committed state."""

    def __init__(self, store: str, start: int = 0) -> None:
        self.store, self.count = Path(store), start

    def add(self, by: int) -> int:
        self.count += by
        return self.count

    def commit(self) -> None:
        self.store.write_text(str(self.count))

    def process(self) -> int:
        return os.getpid()

    def fail(self) -> None:
        raise DataError("row 7 is bad", where="column x")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def sleep(self) -> None:
        import threading

        threading.Event().wait(60)


class MortalEdge(InProcessEdge):
    """An edge whose actors die at chosen calls."""

    def __init__(self, deaths: set[int]) -> None:
        self.deaths, self.calls = deaths, 0

    def result(self, reference: Any, timeout: float) -> Any:
        self.calls += 1
        if self.calls in self.deaths:
            raise ActorDiedError(f"killed at call {self.calls}")
        return reference()


def restore(store: Path) -> Any:
    def on_restart(restart: Restart) -> Mapping[str, Any]:
        return {"start": int(store.read_text())}

    return on_restart


def test_restart_begins_from_committed_state_and_repeats_the_call(tmp_path: Path) -> None:
    store = tmp_path / "count"
    supervisor = Supervisor(MortalEdge({4}), wait=lambda seconds: None)
    supervisor.spawn("one", Counter, str(store), on_restart=restore(store))
    assert supervisor.call("one", "add", 5) == 5
    supervisor.call("one", "commit")
    assert supervisor.call("one", "add", 2) == 7  # not committed, so lost
    assert supervisor.call("one", "add", 1) == 6
    assert supervisor.restarts == [Restart("one", 1, "killed at call 4")]
    assert supervisor.incarnation("one") == 1


def test_a_call_that_must_not_repeat_raises_after_the_restart(tmp_path: Path) -> None:
    supervisor = Supervisor(MortalEdge({1}), wait=lambda seconds: None)
    supervisor.spawn("one", Counter, str(tmp_path / "count"))
    with pytest.raises(ActorDiedError):
        supervisor.call("one", "add", 1, repeat=False)
    assert supervisor.call("one", "add", 1) == 1


def test_waits_grow_and_the_limit_ends_it(tmp_path: Path) -> None:
    waits: list[float] = []
    policy = RestartPolicy(limit=4, first_delay=0.5, longest_delay=3.0)
    supervisor = Supervisor(MortalEdge(set(range(1, 100))), policy, wait=waits.append)
    supervisor.spawn("one", Counter, str(tmp_path / "count"))
    with pytest.raises(UnavailableError, match=r"'one' died 5 times within 60 s, at last: killed at call 5"):
        supervisor.call("one", "add", 1)
    assert waits == [0.5, 1.0, 2.0, 3.0]


def test_deaths_outside_the_window_are_forgotten(tmp_path: Path) -> None:
    policy = RestartPolicy(limit=1, window=0.0)
    supervisor = Supervisor(MortalEdge({1, 2, 3}), policy, wait=lambda seconds: None)
    supervisor.spawn("one", Counter, str(tmp_path / "count"))
    assert supervisor.call("one", "add", 1) == 1
    assert len(supervisor.restarts) == 3


def test_two_calls_that_see_one_death_restart_once(tmp_path: Path) -> None:
    supervisor = Supervisor(MortalEdge({1, 3}), wait=lambda seconds: None)
    supervisor.spawn("one", Counter, str(tmp_path / "count"))
    first, second = supervisor.start("one", "add", 1), supervisor.start("one", "add", 1)
    assert first.result() == 1  # dies at call 1, is repeated at call 2
    assert second.result() == 2  # began before the restart and dies at call 3
    assert supervisor.incarnation("one") == 1


def test_names(tmp_path: Path) -> None:
    supervisor = Supervisor(InProcessEdge())
    supervisor.spawn("worker_1", Counter, "x")
    with pytest.raises(UsageError, match="worker_1"):
        supervisor.spawn("worker_1", Counter, "x")
    with pytest.raises(NotFoundError, match="Did you mean 'worker_1'"):
        supervisor.call("worker_2", "add", 1)
    supervisor.stop()
    with pytest.raises(NotFoundError):
        supervisor.call("worker_1", "add", 1)


@pytest.mark.ray
def test_sigkill_of_a_ray_actor_is_survived(ray_local: RaySession, tmp_path: Path) -> None:
    store = tmp_path / "count"
    supervisor = Supervisor()
    for name in ("one", "two"):
        supervisor.spawn(name, Counter, str(store), on_restart=restore(store), options={"num_cpus": 0})
    assert supervisor.call("one", "add", 5) == 5
    supervisor.call("one", "commit")
    before = supervisor.call("one", "process")
    assert before == RayEdge().process_id(supervisor.handle("one"))
    os.kill(before, signal.SIGKILL)
    assert supervisor.call("one", "add", 1, deadline=60) == 6
    assert supervisor.call("one", "process") != before
    assert (supervisor.incarnation("one"), supervisor.incarnation("two")) == (1, 0)
    assert supervisor.call("two", "add", 1) == 1
    supervisor.stop()


@pytest.mark.ray
def test_errors_of_a_ray_actor_come_back_as_they_were(ray_local: RaySession, tmp_path: Path) -> None:
    supervisor = Supervisor(policy=RestartPolicy(limit=1, first_delay=0.01))
    supervisor.spawn("one", Counter, "x", options={"num_cpus": 0})
    with pytest.raises(DataError, match=r"row 7 is bad \(column x\)"):
        supervisor.call("one", "fail")
    with pytest.raises(DeadlineExceededError, match=r"one\.sleep did not return within 0\.2 s"):
        supervisor.call("one", "sleep", deadline=0.2)
    supervisor.stop("one")
    supervisor.spawn("one", Counter, "x", options={"num_cpus": 0})
    with pytest.raises(UnavailableError, match="died 2 times"):
        supervisor.call("one", "die", deadline=60)
    supervisor.stop()
