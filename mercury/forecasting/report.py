"""A forecast as a picture and as a page; files appear whole or not at all."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mercury.charts import Series, chart, facts, page, section, table
from mercury.errors import MissingDependencyError
from mercury.files.writing import replacing, write_text

if TYPE_CHECKING:
    from mercury.forecasting.forecasting import Forecast

MOST_CHARTS = 12
LEAST_PAST, MOST_PAST = 60, 400
"""Points of the past that are drawn, between them six times as many as are forecast: with more, nothing of the forecast
can be seen."""


def write_html(made: Forecast, path: Path) -> None:
    """Write one HTML file: what was detected, the leaderboard, coverage, and a chart of each of the first series."""
    board = [[row["method"], _figure(row["mase"]), _figure(row["smape"])] for row in made.leaderboard]
    measured = {f"{level} % intervals held": _percent(value) for level, value in made.coverage.items()}
    past = {f"{level} %, learnt from the past": _percent(value) for level, value in made.past_coverage.items()}
    sections = [
        section(
            "How good it is",
            facts({"series": f"{len(made.panel):,}", "steps ahead": f"{made.horizon:,}", **measured, **past}),
            table(["method", "MASE", "sMAPE %"], board, caption=f"{made.backtest.folds} earlier origins, best first"),
        )
        if made.backtest.folds
        else section("How good it is", text="No series is long enough to try the methods on its past."),
        *(
            section(made.panel.ids[number], series_chart(made, number))
            for number in range(min(len(made.panel), MOST_CHARTS))
        ),
        section("Notes", table(["note"], [[note] for note in made.notes])),
    ]
    write_text(path, page(f"Forecast of {made.horizon} steps", sections))


def series_chart(made: Forecast, number: int, *, title: str = "", height: int = 220) -> str:
    """The last of a series' past, and its forecast with the widest interval."""
    past, ahead = _past(made, number), _ahead(made, number)
    level = max(made.levels, default=None)
    rows = made.table.slice(number * made.horizon, made.horizon)
    low = rows[f"lo-{level}"].to_pylist() if level else []
    high = rows[f"hi-{level}"].to_pylist() if level else []
    values = made.panel.series(number)[-len(past) :]
    return chart(
        [
            Series("past", past, [float(value) for value in values], muted=True),
            Series(f"forecast, {level} %" if level else "forecast", ahead, rows["forecast"].to_pylist(), low, high),
        ],
        title=title or f"{made.panel.ids[number]}: past and forecast",
        height=height,
    )


def write_png(made: Forecast, path: Path) -> None:
    """Write a picture of the first series; matplotlib is loaded here only."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingDependencyError("matplotlib is not installed", fix="pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    count = min(len(made.panel), MOST_CHARTS)
    figure, axes = pyplot.subplots(count, 1, figsize=(10, 2.6 * count), squeeze=False, layout="constrained")
    for number in range(count):
        axis = axes[number][0]
        past, ahead = _past(made, number), _ahead(made, number)
        axis.plot(past, made.panel.series(number)[-len(past) :], color="0.4", linewidth=1, label="past")
        rows = made.table.slice(number * made.horizon, made.horizon)
        axis.plot(ahead, rows["forecast"].to_numpy(), color="C0", label="forecast")
        for level in sorted(made.levels, reverse=True):
            low, high = (rows[f"{end}-{level}"].to_numpy(zero_copy_only=False) for end in ("lo", "hi"))
            axis.fill_between(ahead, low, high, color="C0", alpha=0.18, linewidth=0, label=f"{level} %")
        axis.set_title(made.panel.ids[number], loc="left", fontsize=10, parse_math=False)
    lines, names = axes[0][0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper right", fontsize=8, ncols=len(names))
    with replacing(path) as beside:
        figure.savefig(beside, dpi=110)
    pyplot.close(figure)


def _past(made: Forecast, number: int) -> list[dt.datetime]:
    drawn = min(max(LEAST_PAST, 6 * made.horizon), max(MOST_PAST, 3 * made.horizon))
    return [_instant(at) for at in made.panel.times(number)[-drawn:]]


def _ahead(made: Forecast, number: int) -> list[dt.datetime]:
    first = made.panel.starts[number] + made.panel.lengths[number]
    return [_instant(at) for at in made.panel.frequency.time(first + np.arange(made.horizon))]


def _instant(micro: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(micro) / 1e6, dt.UTC)


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1%}"
