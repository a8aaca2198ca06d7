"""Outlooks: the forecast of the buckets that have closed, of every kind of metric, or why there is none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mercury.analytics import Planner
from mercury.analytics.outlook import HORIZONS, Outlooks
from mercury.config import Settings
from mercury.errors import NotFoundError, UsageError
from mercury.forecasting import forecast, read_panel
from tests.analytics.test_http import POLICY, SECRET
from tests.analytics.world import Feed, Project, events, model, project, random_events, settings_in

ROWS = random_events(23, 6000, "2013-07-01", "2013-07-29T12:00:00Z")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path)
    Feed(settings).commit(ROWS)
    return settings


@pytest.mark.parametrize("metric", ["flights", "mean_delay", "late_rate", "score"])
def test_it_is_the_forecast_of_the_days_that_have_closed(settings: Settings, metric: str) -> None:
    planner = Planner(project, settings)

    found = Outlooks(planner).of("air", metric, "day")

    days = planner.answer(f"{metric} by day order by day").table
    closed = pa.table({"ds": days["day"][:-1], "y": days[metric][:-1].cast(pa.float64())})
    wanted = forecast(read_panel(closed), HORIZONS["day"], levels=(80,))
    assert found.note is None
    assert list(found.forecast) == wanted.table["forecast"].to_pylist()
    assert list(found.low) == wanted.table["lo-80"].to_pylist()
    assert found.buckets[0] == str(days["day"][-1]) and len(found.buckets) == 7
    assert found.coverage == wanted.coverage[80] and 0.5 < found.coverage <= 1.0


def test_hours_in_which_nothing_happened_are_zeros_of_a_count_and_the_first_is_the_open_one(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    hours = pa.array(
        [hour * 3_600_000_000 for day in range(10) for hour in range(day * 24, day * 24 + 12)] + [240 * 3_600_000_000]
    )
    rows = random_events(3, len(hours), "2013-07-01", "2013-07-02")
    base = 1_372_636_800_000_000
    times = pa.array([base + at.as_py() for at in hours]).cast(pa.timestamp("us", "UTC"))
    Feed(settings).commit(rows.set_column(rows.column_names.index("ts"), "ts", times))

    found = Outlooks(Planner(project, settings)).of("air", "flights", "hour")

    assert found.note is None
    assert found.buckets[0] == "2013-07-11T00:00:00Z" and len(found.buckets) == 24
    assert list(found.forecast) == pytest.approx([1.0] * 12 + [0.0] * 12, abs=0.1)


def test_it_is_made_once_for_a_bucket(settings: Settings) -> None:
    outlooks = Outlooks(Planner(project, settings))

    assert outlooks.of("air", "flights", "day") is outlooks.of("air", "flights", "day")


def test_why_there_is_none_is_said(tmp_path: Path, settings: Settings) -> None:
    alone = settings_in(tmp_path / "alone")
    Feed(alone).commit(random_events(1, 10, "2013-07-01T05:00:00Z", "2013-07-01T05:30:00Z"))
    outlooks = Outlooks(Planner(Project("sky", [events, model, POLICY, SECRET]), settings))

    assert Outlooks(Planner(project, alone)).of("air", "flights", "hour").note == "no hour has closed yet"
    assert outlooks.of("air", "last_plane", "day").note == "last_plane is string, not a number"
    with pytest.raises(UsageError, match="by='quarter' is not forecast"):
        outlooks.of("air", "flights", "quarter")
    with pytest.raises(UsageError, match="'secret' has a privacy policy: each forecast would be charged"):
        outlooks.of("secret", "flights", "day")
    with pytest.raises(NotFoundError, match="flihgts"):
        outlooks.of("air", "flihgts", "day")
