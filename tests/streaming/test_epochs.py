"""Epoch plans: written once, fairly cut, and safe with two writers."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercury.errors import CorruptDataError, DiskFullError
from mercury.streaming.epochs import EpochPlan, Limits, PlanLog, newest_incarnation, plan_ranges, take_over

PLAN = EpochPlan("stream/flights", 3, {0: (5, 9), 1: (0, 0)}, 17, 1_000, (1,), False)


def test_a_plan_has_these_bytes() -> None:
    assert PLAN.to_json() == (
        b'{"clock":1000,"drain":false,"epoch":3,"format":1,"idle":[1],"job":"stream/flights",'
        b'"ranges":{"0":[5,9],"1":[0,0]},"watermark":17}'
    )
    assert EpochPlan.from_json(PLAN.to_json()) == PLAN


def test_the_first_of_two_plans_for_an_epoch_stands(tmp_path: Path) -> None:
    log = PlanLog(tmp_path)

    first = log.write(PLAN)
    second = log.write(EpochPlan("stream/flights", 3, {0: (5, 7)}, 17, 2_000))

    assert first == second == PLAN


def test_of_many_writers_at_once_one_is_read_by_all(tmp_path: Path) -> None:
    log, got = PlanLog(tmp_path, fsync=False), []
    threads = [
        threading.Thread(target=lambda n=n: got.append(log.write(EpochPlan("j", 1, {0: (0, n)}, 0, n))))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == 8
    assert len(set(map(EpochPlan.to_json, got))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["000000000001.json"]


def test_half_a_plan_is_corrupt_and_named(tmp_path: Path) -> None:
    (tmp_path / "000000000001.json").write_bytes(PLAN.to_json()[:-5])

    with pytest.raises(CorruptDataError, match=r"000000000001\.json"):
        PlanLog(tmp_path).read(1)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(DiskFullError):
        PlanLog(tmp_path).write(PLAN)
    assert list(tmp_path.iterdir()) == []


def test_incarnations_grow(tmp_path: Path) -> None:
    assert [take_over(tmp_path), take_over(tmp_path), newest_incarnation(tmp_path)] == [1, 2, 2]


@given(
    st.dictionaries(st.integers(0, 5), st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1),
    st.integers(1, 60),
)
def test_ranges_stay_in_bounds_and_use_the_budget(parts: dict[int, tuple[int, int]], budget: int) -> None:
    positions = {p: low for p, (low, _) in parts.items()}
    ends = {p: low + lag for p, (low, lag) in parts.items()}

    ranges = plan_ranges(positions, ends, Limits(records=budget, first_records=budget))

    assert set(ranges) == set(parts)
    assert all(positions[p] == low <= high <= ends[p] for p, (low, high) in ranges.items())
    assert sum(high - low for low, high in ranges.values()) == min(budget, sum(lag for _, lag in parts.values()))


def test_bytes_bound_an_epoch() -> None:
    limits = Limits(records=1_000, bytes=5_000)

    assert plan_ranges({0: 0}, {0: 900}, limits, bytes_per_record=100.0) == {0: (0, 50)}


def test_a_partition_far_ahead_waits_for_the_slowest() -> None:
    limits = Limits(drift=10)
    positions, ends = {0: 0, 1: 0, 2: 7}, {0: 5, 1: 5, 2: 7}

    assert plan_ranges(positions, ends, limits, None, {0: 100, 1: 50, 2: 1}) == {0: (0, 0), 1: (0, 5), 2: (7, 7)}
