"""Prediction intervals from errors that were made: split conformal, pooled over the panel.

Scores are absolute errors of forecasts from earlier origins, each divided by its series' in-sample seasonal naive
error, so that series of any size share them, and by its factor: how hard the series was to forecast from the other
origins, drawn towards the panel's mean, so that steady series do not get the intervals of wild ones. An interval of
level c takes the score of rank ceil((n + 1) c): exchangeable scores then lie inside with probability c at least,
whatever their law (Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005; Lei et al.,
"Distribution-free predictive inference for regression", JASA 113, 2018, section 5.2 for scores by local scale).

Scores of one series are not quite exchangeable over time, so coverage is measured: each fold's errors are held against
intervals learnt from the other folds alone, and against those learnt from earlier folds alone.

A series that was constant before an origin has no naive error to be scaled by. Its interval is its value, so that all
that is known is whether the value came again: -inf when it did, inf when not. Such scores teach no quantile, but they
count where coverage is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BEYOND = 10
"""Scores beyond its quantile that a step ahead needs for a quantile of its own; with fewer all steps share one, since a
quantile that rests on two or three scores jumps from step to step."""

PRIOR_FOLDS = 4
"""Folds that the panel's mean counts for in a series' factor. 4 and 8 do alike on the M1 and tourism competitions'
series: the mean scaled interval score falls by 1 % at the level of 80, by 2 % at that of 95; on M3 by 3 % and 7 %."""


def calibrate(folds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Scores by their series' factor, and the factor of each series for what comes.

    Parameters
    ----------
    folds : of each origin, errors by naive error, shape (series, horizon); NaN where nothing is known, infinite for a
        series that was constant.

    Returns scores of shape (folds * series, horizon), each by the factor learnt from the other folds, and (series,).
    """
    others = [factors([*folds[:number], *folds[number + 1 :]], len(fold)) for number, fold in enumerate(folds)]
    scores = [fold / factor[:, None] for fold, factor in zip(folds, others, strict=True)]
    return np.concatenate(scores), factors(folds, len(folds[0]))


def factors(folds: Sequence[np.ndarray], count: int) -> np.ndarray:
    """How hard each series is to forecast, 1 being the panel's mean: mean error over folds, shrunk to 1."""
    total, known = np.full(count, float(PRIOR_FOLDS)), np.full(count, float(PRIOR_FOLDS))
    there = [np.isfinite(fold) for fold in folds]
    means = [np.where(mask, fold, 0.0).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
             for fold, mask in zip(folds, there, strict=True)]  # fmt: skip
    usual = sum(mean.sum() for mean in means) / max(1, sum(int(mask.any(axis=1).sum()) for mask in there))
    if usual > 0:
        for mean, mask in zip(means, there, strict=True):
            total += mean / usual
            known += mask.any(axis=1)
    return total / known


def quantiles(scores: np.ndarray, level: float) -> np.ndarray:
    """Score by step ahead that a share ``level`` of new scores stays below.

    Parameters
    ----------
    scores : (forecasts, horizon), NaN where nothing is known.
    level : between 0 and 1.

    Returns shape (horizon,): infinite where there are too few scores for the level.
    """
    known = np.isfinite(scores).sum(axis=0)
    if known.size and round(known.min() * (1 - level), 9) >= BEYOND:
        return np.array([_ranked(scores[:, step], level) for step in range(scores.shape[1])])
    return np.full(scores.shape[1], _ranked(scores.ravel(), level))


def measured_coverage(folds: Sequence[np.ndarray], level: float, *, past_only: bool = False) -> float:
    """Share of errors within intervals learnt from other folds; NaN where those are too few for any.

    Parameters
    ----------
    folds : the latest first.
    past_only : learn from earlier folds alone, as one who lived through them had to. The oldest fold is then not
        measured, and later ones by less: a figure that wavers more, but sees errors that grow.
    """
    inside, count = 0, 0
    for number, mine in enumerate(folds):
        others = [*([] if past_only else folds[:number]), *folds[number + 1 :]]
        if not others:
            continue
        scores, factor = calibrate(others)
        reach = quantiles(scores, level)
        judged = ~np.isnan(mine) & (np.isfinite(reach)[None, :] | np.isinf(mine))
        inside += int((judged & (mine <= reach * factor[:, None]) & (mine < math.inf)).sum())
        count += int(judged.sum())
    return inside / count if count else math.nan


def _ranked(scores: np.ndarray, level: float) -> float:
    known = np.sort(scores[np.isfinite(scores)])
    rank = _rank(len(known), level)
    return float(known[rank - 1]) if 1 <= rank <= len(known) else math.inf


def _rank(count: int, level: float) -> int:
    """ceil((count + 1) level), where 20 times 0.55 is 11 and not a little more."""
    return math.ceil(round((count + 1) * level, 9))
