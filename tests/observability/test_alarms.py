"""Alarms: as rare as promised while nothing changes, soon after something has, on real flights only for the fault."""

from __future__ import annotations

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.observability.alarms.e_bh import e_bh
from mercury.observability.alarms.e_detector import EDetector
from mercury.observability.alarms.e_values import log_added_e_value, log_distance_e_value, log_shares_e_value
from mercury.observability.alarms.evidence import log_e_value
from mercury.observability.alarms.seasonality import Season
from mercury.observability.alarms.windows import Windows
from mercury.observability.profiles import learn, profile, slot_numbers
from mercury.observability.reference import reference_profile
from mercury.time import DAY, HOUR, parse_instant, to_iso
from tests.observability.tables import tables

SEED = 20131201
DAYS, ROWS = 200, 900
TWENTY_YEARS = 7305.0


def season_of(values: np.ndarray | pa.Array, day: np.ndarray, hour: np.ndarray | None = None) -> Season:
    """A reference of these values, by day."""
    column = reference_profile(pa.table({"x": values})).columns[0]
    hour = np.zeros(len(day), np.int64) if hour is None else hour
    return Season(column, pa.chunked_array([values]), day, hour, 0.01)


def evidence_of(season: Season, values: np.ndarray | pa.Array, hour: np.ndarray | None = None) -> float:
    """The e-value of a window of these values."""
    slots = slot_numbers(season.column, pa.chunked_array([values]))
    hours = np.zeros(len(slots), np.int64) if hour is None else hour
    return log_e_value(season, np.bincount(slots, minlength=season.column.slots), hours)


def delays(random: np.random.Generator, size: int) -> np.ndarray:
    """Whole minutes, many of them early, a twentieth of them 0, as flights leave."""
    late = np.round(random.gamma(0.7, 25.0, size) - 8.0)
    return np.where(random.random(size) < 0.02, 0.0, late)


DAY_OF = np.repeat(np.arange(DAYS), ROWS)


def test_e_values_have_a_mean_of_at_most_one_under_the_hypothesis() -> None:
    """Means over 4,000 draws at the edge of each hypothesis, below 1 by more than three standard errors allow."""
    random = np.random.default_rng(SEED)
    found: dict[str, list[float]] = {"distance": [], "shares": [], "added": []}
    for _ in range(4_000):
        seen = random.random(50)
        distance = np.abs(np.sort(seen) - np.arange(1, 51) / 50 + 0.01).max()
        found["distance"].append(math.exp(log_distance_e_value(distance, 0.02, 50)))
        count = np.array([random.binomial(200, 0.08)])
        found["shares"].append(math.exp(log_shares_e_value(count, 200, np.array([0.02]), np.array([0.08]))))
        found["added"].append(math.exp(log_added_e_value(count, 200, np.array([0.08]))))

    for name, values in found.items():
        assert np.mean(values) <= 1 + 3 * np.std(values) / math.sqrt(len(values)), name


def test_no_alarm_in_simulated_years_while_nothing_changes() -> None:
    """20 years of daily windows of 900 rows over two values; the promise allows one year in twenty."""
    random = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    letters = np.array(["a", "b", "c", "d", "e"])
    share = np.array([0.5, 0.3, 0.15, 0.045, 0.005])
    seasons = {
        "delay": season_of(delays(random, DAYS * ROWS), DAY_OF),
        "letter": season_of(pa.array(letters[random.choice(5, DAYS * ROWS, p=share)]), DAY_OF),
    }
    laws = {name: season.counts / season.counts.sum() for name, season in seasons.items()}
    hours = np.zeros(ROWS, np.int64)
    quiet = 0
    for _ in range(20):
        detector, alarmed = EDetector(TWENTY_YEARS, 2), False
        for _ in range(365):
            counts = {name: random.multinomial(ROWS, law) for name, law in laws.items()}
            detector = detector.after({name: log_e_value(seasons[name], counts[name], hours) for name in seasons})
            alarmed |= detector.alarm
        quiet += not alarmed

    assert quiet >= 19


def test_days_that_differ_as_those_of_the_reference_did_raise_no_alarm() -> None:
    random = np.random.default_rng(SEED)
    level = np.repeat(random.normal(0, 1.0, DAYS), ROWS)
    own = season_of(np.round(delays(random, DAYS * ROWS) + 3 * level), DAY_OF)
    weather = season_of(level, DAY_OF)
    detector = EDetector(TWENTY_YEARS, 2)
    for today in random.normal(0, 1.0, 365):
        rows = np.round(delays(random, ROWS) + 3 * today)
        e_values = {"own": evidence_of(own, rows), "weather": evidence_of(weather, np.full(ROWS, today))}
        detector = detector.after(e_values)
        assert not detector.alarm

    assert weather.shared


@pytest.mark.parametrize("seed", [12, 0])
def test_windows_of_ten_times_the_rows_of_the_references_raise_no_alarm(seed: int) -> None:
    """Twelve values with a factor and a level of the day in common: 20 days of 100 rows are learnt, then 60 of 1,000.

    How much days differ is known for windows of 100 rows only. Held for known of 1,000 too, it raised an alarm in the
    first of these runs.
    """
    random = np.random.default_rng([SEED, seed])
    print(f"seed {SEED}, {seed}")

    def served(rows: int, days: int) -> pa.Table:
        level = np.repeat(random.normal(0, 0.1, days), rows)
        drawn = math.sqrt(0.5) * (random.normal(size=(1, 1, rows * days)) + random.normal(size=(4, 3, rows * days)))
        found = {}
        for place, (whole, lost, tailed) in enumerate(drawn + level):
            found[f"whole{place}"] = np.round(2 * whole)
            found[f"lost{place}"] = np.where(lost < -1.6, np.nan, lost)
            found[f"tailed{place}"] = np.exp(1.5 * tailed)
        return pa.table(found)

    reference, _ = learn(learnt := served(100, 20))
    day, hours = np.repeat(np.arange(20), 100), np.zeros(2_000, np.int64)
    seasons = {name: Season(reference[name], learnt[name], day, hours, 0.01) for name in reference.names}
    detector = EDetector(TWENTY_YEARS, len(seasons))
    for _ in range(60):
        window = profile(served(1_000, 1), reference)
        detector = detector.after({name: log_e_value(seasons[name], window[name].counts, hours[:1_000])
                                   for name in seasons})  # fmt: skip
        assert not detector.alarm


@pytest.mark.parametrize("seed", range(5))
def test_zeros_for_a_tenth_of_a_column_are_found_within_three_days(seed: int) -> None:
    """Among 20 watched values, of which the other 19 say nothing."""
    random = np.random.default_rng(seed)
    season = season_of(delays(random, DAYS * ROWS), DAY_OF)
    detector = EDetector(TWENTY_YEARS, 20)
    quiet = {f"other {number}": -1.0 for number in range(19)}
    for _ in range(30):
        detector = detector.after({"delay": evidence_of(season, delays(random, ROWS)), **quiet})
        assert not detector.alarm
    days = 0
    while not detector.alarm:
        rows = np.where(random.random(ROWS) < 0.1, 0.0, delays(random, ROWS))
        found = evidence_of(season, rows)
        detector = detector.after({"delay": found, **quiet})
        days += 1

    assert days <= 3
    assert e_bh({"delay": found, **quiet}) in (["delay"], [])


@pytest.mark.parametrize(
    ("change", "rows", "windows"),
    [
        (lambda values, _: values + 0.5, 900, 1),
        (lambda values, _: values + 0.3, 900, 4),
        (lambda values, _: values + 0.3, 2_000, 3),
        (lambda values, _: values + 0.2, 2_000, 10),
        (lambda values, some: np.where(some < 0.1, 0.0, values), 900, 3),
        (lambda values, some: np.where(some < 0.05, np.nan, values), 900, 1),
        (lambda values, _: values + 0.1, 2_000, None),
        (lambda values, some: np.where(some < 0.02, 0.0, values), 2_000, None),
    ],
    ids=["half", "third", "third of more", "fifth", "zeros", "missing", "within tolerance", "few zeros"],
)
def test_how_soon_one_changed_value_of_fifty_is_found(change, rows, windows) -> None:  # type: ignore[no-untyped-def]
    """Of a normal value in units of its standard deviation; None is not within 20 windows. The table of the docs."""
    random = np.random.default_rng(SEED)
    season = season_of(random.normal(size=60 * rows), np.repeat(np.arange(60), rows))
    detector, seen = EDetector(TWENTY_YEARS, 50), 0
    while not detector.alarm and seen < 20:
        values = change(random.normal(size=rows), random.random(rows))
        detector = detector.after({"x": evidence_of(season, values)})
        seen += 1

    assert not detector.alarm if windows is None else detector.alarm and seen <= windows


@pytest.mark.parametrize(
    "fault", [np.nan, np.inf, -999.0], ids=["missing", "infinite", "a sentinel that the reference never had"]
)
def test_other_faults_of_a_tenth_are_found_within_three_days(fault: float) -> None:
    random = np.random.default_rng(SEED)
    season = season_of(delays(random, DAYS * ROWS), DAY_OF)
    detector = EDetector(TWENTY_YEARS, 20)
    for _ in range(3):
        rows = np.where(random.random(ROWS) < 0.1, fault, delays(random, ROWS))
        detector = detector.after({"delay": evidence_of(season, rows)})

    assert detector.alarm


def test_unseen_categories_and_a_constant_column_are_found() -> None:
    random = np.random.default_rng(SEED)
    letters = np.array(["a", "b", "c"])
    season = season_of(pa.array(letters[random.choice(3, DAYS * ROWS)]), DAY_OF)
    seen = letters[random.choice(3, ROWS)].astype(object)

    unseen = np.where(random.random(ROWS) < 0.1, "new", seen)
    assert evidence_of(season, pa.array(seen)) < 0
    assert evidence_of(season, pa.array(unseen)) > 40
    assert evidence_of(season, pa.array(["a"] * ROWS)) > 100
    constant = season_of(np.full(DAYS * ROWS, 7.0), DAY_OF)
    assert evidence_of(constant, np.full(ROWS, 7.0)) < 0
    assert evidence_of(constant, np.full(ROWS, 8.0)) > 40


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pa.array([0.0] * (DAYS * ROWS)), 1.0),
        (pa.nulls(DAYS * ROWS, pa.float64()), 1.0),
        (pa.array(np.arange(DAYS * ROWS) % 300 == 0, pa.bool_()).cast(pa.int8()).cast(pa.float64()), 1.0),
        (pa.nulls(DAYS * ROWS, pa.string()), "a"),
    ],
    ids=["always zero", "always missing", "zero but for a few", "text that is always missing"],
)
def test_a_value_that_may_have_all_rows_hides_no_change(before: pa.Array, after: float | str) -> None:
    """Nothing can be added to what has all rows; that it has fewer is seen, and other values are watched on."""
    season = season_of(before, DAY_OF)
    same, broken = before.slice(0, ROWS), pa.array([after] * (ROWS // 10) + [before[0].as_py()] * (ROWS * 9 // 10))

    assert evidence_of(season, same) < 0
    assert evidence_of(season, broken.cast(before.type)) > 20


@given(tables(), tables())
@settings(max_examples=200, deadline=None)
def test_any_reference_and_any_window_have_a_finite_e_value(reference: pa.Table, window: pa.Table) -> None:
    """One value that is not a number would end all alarms of a monitor, for evidence is added up."""
    days = np.arange(reference.num_rows) % 7
    for name in ("x", "s"):
        found = evidence_of(season_of(reference[name].combine_chunks(), days), window[name].combine_chunks())
        assert -100.0 < found < 1e6


def test_a_reference_that_knows_nothing_says_nothing() -> None:
    empty = season_of(np.empty(0), np.empty(0, np.int64))
    short = season_of(np.arange(200.0), np.repeat([0, 1], 100))

    assert evidence_of(empty, np.ones(50)) == 0.0
    assert evidence_of(short, np.full(100, 9.0)) < 0
    assert evidence_of(short, np.full(100, np.nan)) > 10
    assert evidence_of(short, np.empty(0)) == 0.0


def test_real_flights_raise_an_alarm_for_the_fault_and_none_in_the_clean_weeks_before(flights: pa.Table) -> None:
    """Learnt from January to September of 2013; from December on one delay in ten is 0."""
    departed = flights.filter(flights["dep_delay"].is_valid())
    instants = departed["time_hour"].cast(pa.int64()).to_numpy()
    values = departed["dep_delay"].cast(pa.float64()).to_numpy().copy()
    learned, broken = parse_instant("2013-10-01T04:00:00Z"), parse_instant("2013-12-01T05:00:00Z")
    windows = Windows(DAY, "America/New_York")
    day, hour = windows.number(instants)
    early = instants < learned
    season = season_of(values[early], day[early], hour[early])
    values[(instants >= broken) & (np.random.default_rng(SEED).random(len(values)) < 0.1)] = 0.0
    detector, alarms = EDetector(TWENTY_YEARS, 20), []
    for window in np.unique(day[~early]).tolist():
        mine = day == window
        detector = detector.after({"dep_delay": evidence_of(season, values[mine], hour[mine])})
        if detector.alarm:
            alarms.append(windows.start(window))

    assert alarms and min(alarms) >= broken
    assert min(alarms) < broken + 3 * DAY, to_iso(min(alarms))
    assert len(alarms) >= 25


def test_a_window_is_held_against_the_same_hours_of_the_reference() -> None:
    """By night all is low, by day high; a night alone is as it should be, and a night's values by day are not."""
    random = np.random.default_rng(SEED)
    hour = np.tile(np.repeat([2, 14], ROWS // 2), DAYS)
    values = random.normal(np.where(hour == 2, 0.0, 5.0), 1.0)
    season = season_of(values, DAY_OF, hour)
    night = random.normal(0.0, 1.0, ROWS)

    assert evidence_of(season, night, np.full(ROWS, 2)) < 0
    assert evidence_of(season, night, np.full(ROWS, 14)) > 50


@given(st.lists(st.floats(-3, 6), min_size=1, max_size=40), st.integers(1, 9))
def test_the_detector_is_shiryaevs_and_roberts_recursion(e_values: list[float], streams: int) -> None:
    detector, sums = EDetector(1e300, streams), 0.0
    for value in e_values:
        detector = detector.after({"x": value})
        sums = math.exp(value) * (sums + 1)
        if detector.evidence:
            assert math.exp(detector.evidence["x"]) == pytest.approx(sums, rel=1e-6)
            assert math.exp(detector.log_mean) == pytest.approx(sums / streams, rel=1e-6)


def test_an_alarm_lasts_as_long_as_its_cause_and_then_all_begins_anew() -> None:
    detector = EDetector(100.0, 2)
    states = []
    for value in (0.0, 900.0, 900.0, -2.0, 0.0):
        detector = detector.after({"x": value, "y": -1.0})
        states.append(detector.alarm)

    assert states == [False, True, True, False, False]
    assert math.exp(detector.evidence["x"]) == pytest.approx(1.0)


def test_a_value_that_is_not_seen_keeps_its_evidence() -> None:
    detector = EDetector(100.0, 1).after({"x": 2.0})

    assert detector.after({}) == detector
    assert EDetector(100.0, 1).log_mean == -math.inf


def test_windows_begin_at_midnight_also_when_the_clocks_change() -> None:
    windows = Windows(DAY, "America/New_York")
    zone = ZoneInfo("America/New_York")
    random = np.random.default_rng(SEED)
    instants = parse_instant("2013-03-01") + random.integers(0, 300 * DAY, 2_000)

    day, hour = windows.number(instants)

    for instant, number, clock in zip(instants.tolist(), day.tolist(), hour.tolist(), strict=True):
        local = datetime.fromtimestamp(instant / 1e6, zone)
        assert clock == local.hour
        assert windows.start(number) == datetime(local.year, local.month, local.day, tzinfo=zone).timestamp() * 1e6
    spring = int(windows.number(np.array([parse_instant("2013-03-10T12:00:00Z")]))[0][0])
    assert windows.start(spring + 1) - windows.start(spring) == 23 * HOUR


def test_changed_values_are_named_with_few_false_ones() -> None:
    e_values = {f"v{number}": -1.0 for number in range(18)} | {"a": 6.1, "b": 5.4}

    assert e_bh(e_values) == ["a", "b"]
    assert e_bh({"a": 2.0, "b": -1.0}) == []
