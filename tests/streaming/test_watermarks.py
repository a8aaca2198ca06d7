"""Watermarks, lateness and idleness against a row-by-row twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mercury.streaming.watermarks import BEGINNING, END, Watermarks, is_idle, late_by

times = st.lists(st.integers(-50, 50), max_size=30)


def late_one_by_one(event_times: list[int], latest: int, lateness: int, watermark: int) -> list[int]:
    out = []
    for instant in event_times:
        bound = max(watermark, latest - lateness if latest != BEGINNING else BEGINNING)
        out.append(max(bound - instant, 0))
        latest = max(latest, instant)
    return out


@given(times, st.sampled_from([BEGINNING, -10, 10]), st.integers(0, 20), st.sampled_from([BEGINNING, -5, 20]))
def test_lateness_is_judged_row_by_row(event_times: list[int], latest: int, lateness: int, watermark: int) -> None:
    got = late_by(np.array(event_times, dtype=np.int64), latest, lateness, watermark)

    assert got.tolist() == late_one_by_one(event_times, latest, lateness, watermark)


@given(times, st.integers(0, 20), st.data())
def test_lateness_does_not_depend_on_where_epochs_are_cut(
    event_times: list[int], lateness: int, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(event_times)))
    array = np.array(event_times, dtype=np.int64)
    latest = int(array[:cut].max()) if cut else BEGINNING

    parts = [late_by(array[:cut], BEGINNING, lateness, BEGINNING), late_by(array[cut:], latest, lateness, BEGINNING)]

    assert np.concatenate(parts).tolist() == late_by(array, BEGINNING, lateness, BEGINNING).tolist()


def test_a_row_on_the_bound_is_not_late() -> None:
    assert late_by(np.array([100, 90, 89]), BEGINNING, 10, BEGINNING).tolist() == [0, 0, 1]


def test_everything_is_late_after_a_drain() -> None:
    assert late_by(np.array([5]), 5, 0, END).tolist() == [END - 5]


def test_the_slowest_partition_holds_the_watermark() -> None:
    marks = Watermarks(10).advance({0: 100, 1: 50}, [0, 1])

    assert marks.current == 40


def test_a_partition_without_events_holds_the_watermark_until_it_is_idle() -> None:
    marks = Watermarks(10).advance({0: 100}, [0, 1])
    assert marks.current == BEGINNING

    assert marks.advance({}, [0, 1], idle=[1]).current == 90


def test_the_furthest_partition_counts_when_all_are_idle() -> None:
    marks = Watermarks(1).advance({0: 7, 1: 5}, [0, 1])

    assert marks.current == 4
    assert marks.advance({}, [0, 1], idle=[0, 1]).current == 6
    assert Watermarks(1).advance({}, [0], idle=[0]).current == BEGINNING


@given(st.lists(st.tuples(st.dictionaries(st.integers(0, 2), st.integers(0, 99)), st.sets(st.integers(0, 2)))))
def test_the_watermark_never_goes_back(steps: list[tuple[dict[int, int], set[int]]]) -> None:
    marks = Watermarks(5)
    for latest, idle in steps:
        after = marks.advance(latest, [0, 1, 2], idle)
        assert after.current >= marks.current
        marks = after


def test_draining_ends_time() -> None:
    assert Watermarks(10).advance({0: 1}, [0, 1], drain=True).current == END


def test_a_partition_is_idle_only_when_read_to_its_end() -> None:
    assert is_idle(now=100, last_record=0, lag=0, timeout=100)
    assert not is_idle(now=100, last_record=0, lag=1, timeout=100)
    assert not is_idle(now=99, last_record=0, lag=0, timeout=100)
