"""Durations, floors and instants: algebra on random values, and the standard library as an oracle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercury import time
from mercury.errors import UsageError

INSTANTS = st.integers(min_value=-(2**60), max_value=2**60)
HOPS = st.integers(min_value=1, max_value=400 * time.DAY)
MOMENTS = st.datetimes(timezones=st.just(UTC))


@given(st.integers(min_value=0, max_value=2**53))
def test_duration_reads_back_what_was_formatted(microseconds: int) -> None:
    assert time.duration(time.format_duration(microseconds)) == microseconds


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("0s", 0),
        ("500ms", 500_000),
        ("5m", 300_000_000),
        ("1d", 86_400_000_000),
        ("1h30m", 5_400_000_000),
        ("1w", 7 * 86_400_000_000),
        (" 2 h ", 7_200_000_000),
        ("1d1us", 86_400_000_001),
    ],
)
def test_durations_are_what_people_mean(text: str, microseconds: int) -> None:
    assert time.duration(text) == microseconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "1.5h", "5 minutes", "1M", "5m3", "١h"])
def test_anything_else_is_not_a_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        time.duration(text)


def test_negative_duration_is_refused() -> None:
    with pytest.raises(UsageError):
        time.format_duration(-1)


@given(INSTANTS, HOPS, INSTANTS)
def test_floor_is_the_last_boundary_not_after(instant: int, hop: int, origin: int) -> None:
    start = time.floor(instant, hop, origin)
    assert start <= instant < start + hop
    assert (start - origin) % hop == 0


@given(INSTANTS, HOPS, INSTANTS)
def test_ceil_is_the_first_boundary_not_before(instant: int, hop: int, origin: int) -> None:
    end = time.ceil(instant, hop, origin)
    assert end - hop < instant <= end
    assert (end - origin) % hop == 0
    assert time.floor(end, hop, origin) == end


@given(MOMENTS)
def test_instants_go_to_text_and_back(moment: datetime) -> None:
    instant = time.from_datetime(moment)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant) == moment
    assert time.to_iso(instant) == moment.replace(tzinfo=None).isoformat() + "Z"
    assert time.parse_instant(time.to_iso(instant)) == instant


@given(MOMENTS, st.integers(min_value=-23 * 60, max_value=23 * 60))
def test_zone_does_not_change_the_instant(moment: datetime, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    try:
        local = moment.astimezone(zone)
    except OverflowError:
        return
    assert time.from_datetime(local) == time.from_datetime(moment)


def test_bare_date_is_its_first_instant_in_utc() -> None:
    assert time.parse_instant("1969-12-31") == -time.DAY


@pytest.mark.parametrize("text", ["2013-01-01T00:00:00", "yesterday", "2013-02-30", ""])
def test_text_without_a_zone_or_sense_is_not_an_instant(text: str) -> None:
    with pytest.raises(UsageError):
        time.parse_instant(text)
