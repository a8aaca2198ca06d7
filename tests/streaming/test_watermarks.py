"""Watermarks, lateness and idleness against a row-by-row twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mercury.streaming.watermarks import BEGINNING, END, Silence, Watermarks, late_by

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


def test_the_watermark_waits_when_all_are_idle() -> None:
    marks = Watermarks(1).advance({0: 7, 1: 5}, [0, 1])

    assert marks.current == 4
    assert marks.advance({}, [0, 1], idle=[0, 1]).current == 4
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


def heard(*moments: tuple[int, int], timeout: int = 100) -> Silence:
    """Silence from 0 on, after a partition was heard at each of these (moment, partition)."""
    silence = Silence(timeout, 0)
    for now, partition in moments:
        silence = silence.hear(now, [partition])
    return silence


READ = {0: 0, 1: 0, 2: 0}


def test_a_partition_is_idle_when_another_spoke_for_the_timeout() -> None:
    assert heard((40, 0), (80, 0)).idle(READ) == ()
    assert heard((40, 0), (80, 0), (100, 0)).idle(READ) == (1, 2)
    assert heard((40, 1), (80, 0), (100, 0)).idle(READ) == (2,)


def test_a_partition_that_is_not_read_to_its_end_is_not_idle() -> None:
    assert heard((40, 0), (80, 0), (120, 0)).idle({0: 0, 1: 7, 2: 0}) == (2,)


def test_a_partition_that_speaks_again_is_not_idle() -> None:
    assert heard((40, 0), (80, 0), (120, 0), (121, 1)).idle(READ) == (2,)


def test_silence_of_all_makes_nobody_idle() -> None:
    silence = heard((10, 0), (11, 1), (12, 2))

    assert silence.hear(1_000_000, []) == silence
    assert silence.hear(1_000_000, [0]).idle(READ) == ()


def test_who_speaks_within_half_the_timeout_after_a_pause_was_never_idle() -> None:
    assert heard((10, 0), (11, 1), (12, 2), (5_000, 0), (5_030, 0), (5_031, 1)).idle(READ) == ()
    assert heard((10, 0), (11, 1), (12, 2), (5_000, 0), (5_030, 0), (5_060, 0)).idle(READ) == (1, 2)


def test_a_topic_of_rare_events_waits_for_two_of_them() -> None:
    assert heard((1_000, 0)).idle(READ) == ()
    assert heard((1_000, 0), (2_000, 0)).idle(READ) == (1, 2)


def test_without_a_timeout_nobody_waits_for_another() -> None:
    assert heard((0, 0), timeout=0).idle(READ) == (1, 2)


def test_a_clock_that_goes_back_is_not_silence() -> None:
    assert heard((50, 0), (20, 0), (60, 0)).now == 60
    assert heard((50, 0), (20, 0), (60, 0)).idle(READ) == ()
