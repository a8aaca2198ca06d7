"""Calendars: buckets and borders of zones with daylight saving, half hours, and days that were left out."""

from __future__ import annotations

from datetime import date

import duckdb
import pytest

from mercury.analytics import calendars
from mercury.time import DAY, HOUR, MINUTE, parse_instant, to_iso

ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "America/Sao_Paulo"]


@pytest.mark.parametrize("zone", [*ZONES, "Pacific/Apia", "Africa/Casablanca"])
def test_offsets_are_those_that_icu_knows(zone: str) -> None:
    low, high = parse_instant("2009-01-01"), parse_instant("2014-01-01")
    parts = calendars.segments(zone, low, high)
    moments = [part.start + step for part in parts for step in (-1, 0, 1) if low <= part.start + step <= high]
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{zone}'")
        offsets = connection.execute(
            "SELECT list(date_part('timezone', make_timestamptz(m)) ORDER BY i) "
            "FROM (SELECT unnest(?::BIGINT[]) m, generate_subscripts(?::BIGINT[], 1) i)",
            [moments, moments],
        ).fetchall()[0][0]

    for moment, offset in zip(moments, offsets, strict=True):
        (part,) = [part for part in parts if part.start <= moment < part.end]
        assert part.offset == offset * 1_000_000, to_iso(moment)


def test_days_begin_where_clocks_say_also_when_midnight_does_not_exist() -> None:
    # Clocks in São Paulo went from 00:00 to 01:00, and Samoa left a day out.
    assert to_iso(calendars.day_start(date(2013, 10, 20), "America/Sao_Paulo")) == "2013-10-20T03:00:00Z"
    assert to_iso(calendars.day_start(date(2011, 12, 30), "Pacific/Apia")) == "2011-12-30T10:00:00Z"
    assert to_iso(calendars.day_start(date(2011, 12, 31), "Pacific/Apia")) == "2011-12-30T10:00:00Z"


@pytest.mark.parametrize("zone", ZONES)
def test_borders_are_clean_no_instant_of_an_earlier_day_comes_after_them(zone: str) -> None:
    # In St. John's clocks went back over midnight, at 00:01: the day after began twice.
    for at in range(parse_instant("2010-11-04"), parse_instant("2010-11-12"), 7 * HOUR + 13 * MINUTE):
        border = calendars.next_boundary(at, "day", zone)
        day = calendars.local_date(border, zone)

        assert at <= border <= at + 3 * DAY
        around = range(border - 26 * HOUR, border + 26 * HOUR, 5 * MINUTE)
        assert all((calendars.local_date(instant, zone) < day) == (instant < border) for instant in around)
        assert calendars.last_boundary(border, "day", zone) == border
        assert calendars.last_boundary(border - 1, "day", zone) < border


def test_hours_are_cells_only_where_clocks_kept_to_them() -> None:
    low, high = parse_instant("2013-01-01"), parse_instant("2014-01-01")

    def shift(zone: str, grain: str = "hour") -> int | None:
        return calendars.common_shift(grain, calendars.segments(zone, low, high))

    assert shift("America/New_York") == 0
    assert shift("Asia/Kolkata") == 30 * MINUTE
    assert shift("Australia/Lord_Howe") is None
    assert shift("Australia/Lord_Howe", "minute") == 0


def test_a_local_time_that_comes_twice_is_the_first() -> None:
    assert to_iso(calendars.read_instant("2013-11-03 01:30", "America/New_York")) == "2013-11-03T05:30:00Z"
