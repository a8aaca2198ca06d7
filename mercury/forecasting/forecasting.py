"""From a panel to a forecast with intervals: season, methods, backtest, conformal quantiles, and notes on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mercury.errors import UsageError
from mercury.forecasting.arrays import from_floats, from_times, repeated_names, to_numpy
from mercury.forecasting.backtest import LEAST_POINTS, Backtest, backtest, naive_scale
from mercury.forecasting.conformal import calibrate, measured_coverage, quantiles
from mercury.forecasting.methods import COMBINED, forecast_all
from mercury.forecasting.panel import Panel
from mercury.forecasting.seasonality import detect_season
from mercury.time import to_iso

MOST_STEPS = 100_000
"""Forecasts of one series, at the most."""

LATEST = 253_402_300_799_999_999
"""The last microsecond of the year 9999, beyond which Python has no time."""


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
    coverage : level to the share of earlier values that lay inside intervals learnt from the other folds.
    past_coverage : the same with intervals learnt from earlier folds alone; below `coverage` where errors have grown.
    notes : what was detected, repaired and decided.
    """

    table: pa.Table
    panel: Panel
    horizon: int
    season: int
    levels: tuple[int, ...]
    backtest: Backtest
    coverage: Mapping[int, float]
    past_coverage: Mapping[int, float]
    notes: tuple[str, ...]

    @property
    def leaderboard(self) -> list[dict[str, Any]]:
        """Methods, best first, with their errors over the folds."""
        return [{"method": row.method, "mase": row.mase, "smape": row.smape} for row in self.backtest.leaderboard]

    def rows(self, count: int | None = None) -> list[dict[str, Any]]:
        """The table's rows, or its first ones, with times as ISO 8601 text."""
        part = self.table if count is None else self.table.slice(0, count)
        times = to_numpy(part["ds"].cast(pa.int64())).tolist()
        columns = {name: part[name].to_pylist() for name in part.column_names if name != "ds"}
        columns["ds"] = [to_iso(micro) for micro in times]
        return [{name: columns[name][place] for name in part.column_names} for place in range(part.num_rows)]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: forecasts, leaderboard, coverage, notes."""
        board = [{name: _finite(value) for name, value in row.items()} for row in self.leaderboard]
        return {
            "format": 1,
            "horizon": self.horizon,
            "frequency": self.panel.frequency.name,
            "season": self.season,
            "series": len(self.panel),
            "forecasts": self.rows(),
            "leaderboard": board,
            "coverage": {str(level): _finite(value) for level, value in self.coverage.items()},
            "past_coverage": {str(level): _finite(value) for level, value in self.past_coverage.items()},
            "folds": self.backtest.folds,
            "notes": list(self.notes),
        }


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
    _require_calendar(panel, horizon)
    m = season if season is not None else detect_season(panel.values, panel.edges, panel.frequency.seasons)
    tested = backtest(panel, horizon, m, folds)
    made = forecast_all(panel, horizon, m)[COMBINED]
    table = _with_intervals(panel, made, naive_scale(panel, m), tested, tuple(levels), horizon)
    coverage, past = (
        {level: measured_coverage(tested.scores, level / 100, past_only=past_only) for level in levels}
        for past_only in (False, True)
    )
    notes = [*panel.notes, *_season_notes(panel, m, season), *_series_notes(panel), *_backtest_notes(tested, folds)]
    return Forecast(table, panel, horizon, m, tuple(levels), tested, coverage, past, tuple(notes))


def _require_calendar(panel: Panel, horizon: int) -> None:
    """The last time that is forecast must be one that can be written."""
    last = panel.starts + panel.lengths - 1
    now, after = (int(panel.frequency.time(last + more).max()) for more in (0, 1))
    # Whole numbers of Python first, since 64 bits may not hold the time that is asked for.
    if now + (after - now) * horizon > LATEST or int(panel.frequency.time(last + horizon).max()) > LATEST:
        raise UsageError(
            f"{horizon:,} steps of {panel.frequency.name} reach beyond the year 9999",
            where="--horizon",
            fix="Forecast fewer steps",
        )


def _season_notes(panel: Panel, m: int, given: int | None) -> list[str]:
    if m == 1:
        return ["no season" + (" as given" if given else "")]
    notes = [f"season of {m} steps " + ("as given" if given else "found")]
    short = int((panel.lengths < 2 * m).sum())
    if short:
        notes.append(f"{short:,} of {len(panel):,} series are shorter than two seasons and are forecast without one")
    return notes


def _series_notes(panel: Panel) -> list[str]:
    notes = []
    short = np.flatnonzero(panel.lengths < LEAST_POINTS)
    if len(short):
        notes.append(
            f"fewer than {LEAST_POINTS} points, the last value kept without an interval: {len(short):,} series, "
            f"as {panel.ids[short[0]]!r}"
        )
    constant = np.flatnonzero(panel.constant() & (panel.lengths >= LEAST_POINTS))
    if len(constant):
        notes.append(f"constant: {len(constant):,} series, as {panel.ids[constant[0]]!r}")
    return notes


def _backtest_notes(tested: Backtest, wanted: int | None) -> list[str]:
    if wanted == 0:
        return ["no backtest as told: there are no intervals"]
    if not tested.folds:
        return ["no series is long enough for a backtest: there are no intervals"]
    if wanted is not None and tested.folds < wanted:
        return [f"the series are long enough for {tested.folds} of {wanted} origins"]
    return []


def _with_intervals(
    panel: Panel, made: np.ndarray, scale: np.ndarray, tested: Backtest, levels: tuple[int, ...], horizon: int
) -> pa.Table:
    ends = panel.starts + panel.lengths
    steps = (ends[:, None] + np.arange(horizon)[None, :]).ravel()
    columns: dict[str, Any] = {}
    if panel.has_ids:
        columns["id"] = repeated_names(panel.ids, horizon)
    columns["ds"] = from_times(panel.frequency.time(steps))
    columns["forecast"] = from_floats(made.ravel())
    floored = (panel.least() >= 0)[:, None]
    if tested.folds:
        scores, factor = calibrate(tested.scores)
        scale = scale * factor
    for level in levels:
        reach = quantiles(scores, level / 100) if tested.folds else np.full(horizon, np.inf)
        with np.errstate(invalid="ignore"):
            # A constant series was never off: its interval is its forecast, not 0 times infinity.
            width = np.where(scale[:, None] > 0, reach[None, :] * scale[:, None], 0.0 if tested.folds else np.inf)
        width[panel.lengths < LEAST_POINTS] = np.inf
        low, high = made - width, made + width
        low = np.where(floored, np.maximum(low, 0.0), low)
        for name, bound in ((f"lo-{level}", low), (f"hi-{level}", high)):
            columns[name] = from_floats(np.where(np.isfinite(width), bound, np.nan).ravel())
    return pa.table(columns)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
