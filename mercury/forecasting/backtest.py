"""Rolling-origin backtest: what each method would have said at earlier times, and how far off it was."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mercury.forecasting.accuracy import mase, smape
from mercury.forecasting.methods import COMBINED, NAIVE, forecast_all
from mercury.forecasting.naive import naive_errors
from mercury.forecasting.panel import Panel

LEAST_FOLDS = 3
MOST_FOLDS = 20
ENOUGH = 1000
"""Scores over all series, steps and folds: fifty of them lie beyond a quantile of 95 %, which then does not hang on a
few odd days, and a panel of few series learns from more of its past how hard each is to forecast."""

LEAST_POINTS = 4
"""Points of a series before an origin, for a fold to count; two seasons where the panel is long enough for that."""


@dataclass(frozen=True)
class Score:
    """How a method did over all folds."""

    method: str
    mase: float
    smape: float


@dataclass(frozen=True)
class Backtest:
    """Errors of earlier forecasts.

    Parameters
    ----------
    leaderboard : best first, by MASE; the seasonal naive row is always there.
    scores : for each fold, absolute errors of the combination by naive error, (series, horizon), NaN where unknown; of
        a series that was constant -inf where its value came again, and inf where not.
    """

    leaderboard: tuple[Score, ...]
    scores: tuple[np.ndarray, ...]

    @property
    def folds(self) -> int:
        """How many origins were tried."""
        return len(self.scores)


def backtest(panel: Panel, horizon: int, m: int, folds: int | None = None) -> Backtest:
    """Forecast from earlier origins, one horizon apart, and compare with what came.

    ``folds`` None takes three, or as many more as give few series enough scores for their intervals, from the later
    half of the longest: what was known at much earlier origins is no guide to errors now. Series that are too short
    for a fold are left out of it.
    """
    longest = int(panel.lengths.max(initial=0))
    late = min(MOST_FOLDS, longest // 2 // horizon)
    wanted = max(LEAST_FOLDS, min(late, math.ceil(ENOUGH / (horizon * len(panel))))) if folds is None else folds
    least = 2 * m if m > 1 and longest >= 2 * m + horizon else LEAST_POINTS
    possible = (longest - least) // horizon
    errors: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
    scores = []
    for fold in range(1, min(wanted, possible) + 1):
        cut = panel.lengths - fold * horizon
        usable = np.flatnonzero(cut >= least)
        known = _only(panel.head(cut), usable)
        actual = np.array([panel.series(int(number))[cut[number] : cut[number] + horizon] for number in usable])
        scale = naive_scale(known, m)
        made = forecast_all(known, horizon, m)
        for name, forecasts in made.items():
            errors.setdefault(name, []).append((actual, forecasts, scale))
        mine = np.full((len(panel), horizon), np.nan)
        flat = np.where(np.isclose(actual, made[COMBINED], rtol=1e-9, atol=0.0), -np.inf, np.inf)
        apart = np.abs(actual - made[COMBINED])
        mine[usable] = np.divide(apart, scale[:, None], out=flat, where=scale[:, None] > 0)
        scores.append(mine)
    board = [
        Score(
            name,
            _mean([mase(actual, made, scale) for actual, made, scale in parts]),
            float(np.mean([smape(actual, made) for actual, made, _ in parts])),
        )
        for name, parts in errors.items()
    ]
    board.sort(key=lambda score: (math.isnan(score.mase), score.mase, score.method != NAIVE))
    return Backtest(tuple(board), tuple(scores))


def naive_scale(panel: Panel, m: int) -> np.ndarray:
    """In-sample naive error of each series: seasonal where it is long enough, else of neighbours; 0 for a constant."""
    seasonal, plain = naive_errors(panel.values, panel.edges, m), naive_errors(panel.values, panel.edges, 1)
    return np.nan_to_num(np.where(np.isnan(seasonal) | (seasonal == 0), plain, seasonal))


def _mean(figures: list[float]) -> float:
    known = [figure for figure in figures if not math.isnan(figure)]
    return sum(known) / len(known) if known else math.nan


def _only(panel: Panel, numbers: np.ndarray) -> Panel:
    """Some series of a panel."""
    parts = [panel.series(int(number)) for number in numbers]
    edges = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    values = np.concatenate(parts) if parts else np.empty(0)
    names = tuple(panel.ids[number] for number in numbers)
    return Panel(names, panel.starts[numbers], values, edges, panel.frequency)
