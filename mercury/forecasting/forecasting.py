"""From a panel to a forecast with intervals: season, methods, backtest, conformal quantiles, and notes on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mercury.errors import UsageError
from mercury.forecasting.backtest import Backtest, backtest, naive_scale
from mercury.forecasting.conformal import calibrate, measured_coverage, quantiles
from mercury.forecasting.methods import COMBINED, forecast_all
from mercury.forecasting.panel import Panel
from mercury.forecasting.seasonality import detect_season
from mercury.time import to_iso

MOST_STEPS = 100_000
"""Forecasts of one series, at the most."""


@dataclass(frozen=True)
class Forecast:
    """Forecasts of all series of a panel.

    Parameters
    ----------
    table : ``id`` (where the panel has names), ``ds`` (timestamp, UTC), ``forecast``, and for each level ``lo-80``,
        ``hi-80``; sorted by series and time. A bound is null where there were too few errors to learn it from.
    panel : what was forecast.
    season : steps of a season, 1 for none.
    levels : in percent.
    backtest : earlier forecasts, for the leaderboard.
    coverage : level to the share of earlier values that lay inside intervals learnt from other folds.
    notes : what was detected, repaired and decided.
    """

    table: pa.Table
    panel: Panel
    horizon: int
    season: int
    levels: tuple[int, ...]
    backtest: Backtest
    coverage: Mapping[int, float]
    notes: tuple[str, ...]

    @property
    def leaderboard(self) -> list[dict[str, Any]]:
        """Methods, best first, with their errors over the folds."""
        return [{"method": row.method, "mase": row.mase, "smape": row.smape} for row in self.backtest.leaderboard]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: forecasts, leaderboard, coverage, notes."""
        rows = self.table.to_pylist()
        for row in rows:
            row["ds"] = to_iso(int(row["ds"].timestamp() * 1e6))
        board = [{name: _finite(value) for name, value in row.items()} for row in self.leaderboard]
        return {
            "format": 1,
            "horizon": self.horizon,
            "frequency": self.panel.frequency.name,
            "season": self.season,
            "series": len(self.panel),
            "forecasts": rows,
            "leaderboard": board,
            "coverage": {str(level): _finite(value) for level, value in self.coverage.items()},
            "folds": self.backtest.folds,
            "notes": list(self.notes),
        }

    def plot(self, path: str | Path) -> None:
        """Write a PNG of the first series with their forecasts."""
        from mercury.forecasting.report import write_png

        write_png(self, Path(path))

    def report(self, path: str | Path) -> None:
        """Write one HTML file that needs nothing else."""
        from mercury.forecasting.report import write_html

        write_html(self, Path(path))


def forecast(
    panel: Panel,
    horizon: int,
    *,
    levels: Sequence[int] = (80, 95),
    season: int | None = None,
    folds: int | None = None,
) -> Forecast:
    """Forecast every series of a panel.

    Parameters
    ----------
    horizon : steps ahead, from each series' own end.
    levels : of the prediction intervals, in percent.
    season : steps of a season; None finds it, 1 means none.
    folds : origins of the backtest; None takes what the intervals need, 0 leaves the backtest and the intervals out.
    """
    if not 1 <= horizon <= MOST_STEPS:
        raise UsageError(f"horizon={horizon}", where="--horizon", fix=f"Use 1 to {MOST_STEPS:,}")
    for level in levels:
        if not 1 <= level <= 99:
            raise UsageError(f"level {level} is no percentage", where="--level", fix="Use 1 to 99, as 80,95")
    if season is not None and season < 1:
        raise UsageError(f"season={season}", where="--season", fix="Use the steps of a season, or 1 for none")
    notes = list(panel.notes)
    m = season if season is not None else detect_season(panel.values, panel.edges, panel.frequency.seasons)
    notes.append(f"season of {m} steps" + (" as given" if season is not None else " found") if m > 1 else "no season")
    tested = backtest(panel, horizon, m, folds)
    notes += _judged(panel, m, tested)
    made = forecast_all(panel, horizon, m)[COMBINED]
    scale = naive_scale(panel, m)
    table, coverage = _with_intervals(panel, made, scale, tested, tuple(levels), horizon)
    return Forecast(table, panel, horizon, m, tuple(levels), tested, coverage, tuple(notes))


def _judged(panel: Panel, m: int, tested: Backtest) -> list[str]:
    notes = []
    short = [name for name, length in zip(panel.ids, panel.lengths, strict=True) if length < 4]
    if short:
        notes.append(f"{len(short)} series have fewer than 4 points and keep their last value, as {short[0]!r}")
    constant = [
        name
        for number, name in enumerate(panel.ids)
        if len(panel.series(number)) > 3 and np.ptp(panel.series(number)) == 0
    ]
    if constant:
        notes.append(f"{len(constant)} series are constant, as {constant[0]!r}")
    if not tested.folds:
        notes.append("no series is long enough for a backtest: there are no intervals")
    return notes


def _with_intervals(
    panel: Panel, made: np.ndarray, scale: np.ndarray, tested: Backtest, levels: tuple[int, ...], horizon: int
) -> tuple[pa.Table, dict[int, float]]:
    ends = panel.starts + panel.lengths
    steps = (ends[:, None] + np.arange(horizon)[None, :]).ravel()
    columns: dict[str, Any] = {}
    if panel.has_ids:
        columns["id"] = pa.array(np.repeat(np.array(panel.ids, dtype=object), horizon), pa.string())
    columns["ds"] = pa.array(panel.frequency.time(steps), pa.timestamp("us", tz="UTC"))
    columns["forecast"] = _nullable(made.ravel())
    coverage: dict[int, float] = {}
    least = np.array([panel.series(number).min() for number in range(len(panel))])
    if tested.folds:
        scores, factor = calibrate(tested.scores)
        scale = scale * factor
    for level in levels:
        share = level / 100
        if tested.folds:
            reach = quantiles(scores, share)
            coverage[level] = measured_coverage(tested.scores, share)
        else:
            reach, coverage[level] = np.full(horizon, np.inf), math.nan
        with np.errstate(invalid="ignore"):
            # A constant series was never off: its interval is its forecast, not 0 times infinity.
            width = np.where(scale[:, None] > 0, reach[None, :] * scale[:, None], 0.0 if tested.folds else np.inf)
        low, high = made - width, made + width
        low = np.where((least >= 0)[:, None], np.maximum(low, 0.0), low)
        for name, bound in ((f"lo-{level}", low), (f"hi-{level}", high)):
            columns[name] = _nullable(np.where(np.isfinite(width), bound, np.nan).ravel())
    return pa.table(columns), coverage


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
