"""The story's look ahead: flights per day and carrier, from the stream's own windows, with checked intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from flights.board import Step
from mercury.forecasting import Forecast, forecast, read_panel
from mercury.tables import Table

if TYPE_CHECKING:
    from flights.story import Story

FLIGHTS_PER_DAY = """
    WITH hours AS (
        SELECT carrier, CAST(window_start - INTERVAL 5 HOURS AS DATE) AS day, departures + cancellations AS flights
        FROM windows
    )
    SELECT carrier, day, sum(flights)::BIGINT AS flights FROM hours
    WHERE day < (SELECT max(day) FROM hours) GROUP BY ALL HAVING sum(flights) > 0 ORDER BY ALL
"""
"""Days are those of New York's standard time; the last one has only begun."""


def forecast_flights(story: Story, shown: Step) -> None:
    """Forecast each carrier's flights per day; one of them flies on few days, which means that nothing happened."""
    windows = Table.open(story.lake.window("carrier_hourly")).read(
        ["carrier", "window_start", "departures", "cancellations"]
    )
    shown.say("compiling the kernels, the first time")
    made = forecast(read_panel(flights_per_day(windows), gaps="zero"), story.options.horizon)
    story.forecast = made
    story.outcome["forecast"] = {
        "series": len(made.panel),
        "horizon": made.horizon,
        "season": made.season,
        "folds": made.backtest.folds,
        "coverage": {str(level): round(value, 4) for level, value in made.coverage.items()},
        "past_coverage": {
            str(level): None if math.isnan(value) else round(value, 4) for level, value in made.past_coverage.items()
        },
        "leaderboard": made.leaderboard,
        "notes": list(made.notes),
    }
    board = "; ".join(f"{row['method']} {row['mase']:.2f}" for row in made.leaderboard)
    shown.note(
        f"{len(made.panel)} carriers, {made.horizon} days ahead: "
        + ", ".join(f"{level} % intervals held {value:.1%}" for level, value in made.coverage.items())
    )
    shown.note(f"MASE over {made.backtest.folds} earlier origins: {board}")


def flights_per_day(windows: pa.Table) -> pa.Table:
    """``carrier``, ``day``, ``flights`` from the hourly windows."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("windows", windows)
        return connection.sql(FLIGHTS_PER_DAY).to_arrow_table()


__all__ = ["Forecast", "flights_per_day", "forecast_flights"]
