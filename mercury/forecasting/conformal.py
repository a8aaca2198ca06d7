"""Prediction intervals from errors that were made: split conformal, pooled over the panel.

Scores are absolute errors of forecasts from earlier origins, each divided by its series' in-sample seasonal naive
error, so that series of any size share them. An interval of level c takes the score of rank ceil((n + 1) c):
exchangeable errors then lie inside with probability c at least, whatever their law (Vovk, Gammerman and Shafer,
"Algorithmic learning in a random world", 2005; Lei et al., "Distribution-free predictive inference for regression",
JASA 113, 2018).

Coverage is measured: each fold's errors are held against the quantiles of the other folds.
"""

from __future__ import annotations

import math

import numpy as np

ENOUGH = 50
"""Scores that a step ahead needs for a quantile of its own; with fewer, all steps share one."""


def quantiles(scores: np.ndarray, level: float) -> np.ndarray:
    """Score by step ahead that a share ``level`` of new scores stays below.

    Parameters
    ----------
    scores : (forecasts, horizon), NaN where nothing is known.
    level : between 0 and 1.

    Returns shape (horizon,): infinite where there are too few scores for the level.
    """
    known = np.isfinite(scores).sum(axis=0)
    if known.size and known.min() >= ENOUGH:
        return np.array([_rank(scores[:, step], level) for step in range(scores.shape[1])])
    return np.full(scores.shape[1], _rank(scores.ravel(), level))


def measured_coverage(folds: list[np.ndarray], level: float) -> float:
    """Share of each fold's scores that lie within the quantiles of the other folds; NaN with a single fold."""
    inside, count = 0, 0
    for number, mine in enumerate(folds):
        others = [fold for place, fold in enumerate(folds) if place != number]
        if not others:
            return math.nan
        reach = quantiles(np.concatenate(others), level)
        known = np.isfinite(mine)
        inside += int(((mine <= reach) & known).sum())
        count += int(known.sum())
    return inside / count if count else math.nan


def _rank(scores: np.ndarray, level: float) -> float:
    known = np.sort(scores[np.isfinite(scores)])
    rank = math.ceil((len(known) + 1) * level)
    return float(known[rank - 1]) if 1 <= rank <= len(known) else math.inf
