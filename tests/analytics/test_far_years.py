"""Times far from the others, or over more years than one expression has room for, neither break nor slow an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mercury.analytics import Planner, build_rollups, calendars
from mercury.analytics.buckets import LONGEST, buckets_of, row_buckets
from mercury.analytics.formats import to_document
from mercury.analytics.plan import MEASURED, Costs
from mercury.config import Settings
from mercury.expressions import evaluate
from mercury.time import parse_instant
from tests.analytics.test_routes_agree import ROLLUPS_FIRST
from tests.analytics.world import ZONE, Feed, Oracle, at_times, project, random_events, same, settings_in

ROWS = random_events(31, 2000, "2013-03-08", "2013-03-13")
FAR = at_times(ROWS, {5: 0, 400: parse_instant("9998-12-30"), 1500: parse_instant("1890-01-01"), 1700: None})
CENTURY = random_events(32, 3000, "1900-01-01", "2026-01-01")

QUERIES: list[dict[str, Any]] = [
    {"metrics": ["flights", "planes"], "by": ["day"]},
    {"metrics": ["flights", "p90"], "by": ["hour"]},
    {"metrics": ["flights"], "by": ["week", "carrier"]},
    {"metrics": ["flights", "mean_delay"], "by": ["month"], "from": "2013-03-09 03:00"},
    {"metrics": ["flights", "seats"], "by": ["day"], "timezone": "Europe/Berlin"},
    {"metrics": ["flights", "spread"], "by": ["year", "big"]},
]


def filled(folder: Path, rows: pa.Table) -> Settings:
    """Half of the rows in rollups, the others beyond them."""
    settings = settings_in(folder)
    feed = Feed(settings)
    feed.commit(rows.slice(0, rows.num_rows // 2))
    build_rollups(project, settings, "air", "daily")
    build_rollups(project, settings, "air", "fine")
    feed.commit(rows.slice(rows.num_rows // 2))
    return settings


@pytest.mark.parametrize("costs", [ROLLUPS_FIRST, MEASURED], ids=["rollups", "raw"])
@pytest.mark.parametrize("rows", [FAR, CENTURY], ids=["far", "century"])
def test_answers_over_far_years_are_those_of_plain_sql(tmp_path: Path, rows: pa.Table, costs: Costs) -> None:
    planner = Planner(project, filled(tmp_path, rows), costs=costs)

    for asked in QUERIES:
        query = planner.read({**asked, "limit": 1_000_000})
        answer = planner.answer(query)
        assert same(query, answer.table, Oracle(rows).answer(query)) is None, asked


def test_one_row_of_a_far_year_asks_for_the_clocks_of_its_own_years_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = Planner(project, filled(tmp_path, FAR))
    changes, years = calendars._changes, set()

    def noted(zone: str, year: int) -> tuple[tuple[int, int], ...]:
        years.add(year)
        return changes(zone, year)

    monkeypatch.setattr(calendars, "_changes", noted)

    answer = planner.answer("flights by day")

    # The clocks of all years up to 9998 took two minutes.
    assert 2013 in years and len(years) <= 12
    assert sum(answer.table["flights"].to_pylist()) == ROWS.num_rows


def test_a_time_that_python_does_not_reach_is_counted(tmp_path: Path) -> None:
    rows = at_times(ROWS, {5: 2**62})
    planner = Planner(project, filled(tmp_path, rows), costs=ROLLUPS_FIRST)

    assert planner.answer("flights").table["flights"].to_pylist() == [ROWS.num_rows]
    early = planner.read("flights, planes by day where time < '2020-01-01'")
    assert same(early, planner.answer(early).table, Oracle(rows).answer(early)) is None
    document = to_document(planner.answer("flights by day"))
    assert sum(document["data"]["flights"]) == ROWS.num_rows


@pytest.mark.parametrize("zone", [ZONE, "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns"])
@pytest.mark.parametrize("grain", ["minute", "hour", "day", "week", "month", "quarter", "year"])
def test_rows_and_cells_fall_into_the_same_buckets(zone: str, grain: str) -> None:
    table = pa.table({"ts": CENTURY["ts"].combine_chunks()})
    low, high = (parse_instant(text) for text in ("1900-01-01", "2026-01-01"))

    parts = row_buckets("ts", grain, zone, [(low, high)])

    found = [evaluate({"b": part.sql, "ts": "ts"}, table, part.condition) for part in parts]
    assert all(len(part.sql) <= LONGEST for part in parts)
    assert sum(part.num_rows for part in found) == table.num_rows
    assert zone != ZONE or grain in ("minute", "hour") or len(parts) > 1
    for part in found:
        assert part["b"].combine_chunks().equals(buckets_of(part["ts"].combine_chunks(), grain, zone))
