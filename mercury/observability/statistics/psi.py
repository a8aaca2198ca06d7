"""Population stability index: the symmetric form of Kullback and Leibler's divergence, on ten groups.

Source: Siddiqi, "Credit Risk Scorecards", Wiley 2006, chapter 8; it is J of Kullback and Leibler, "On information and
sufficiency", Annals of Mathematical Statistics 22(1), 1951.
"""

from __future__ import annotations

import math

import numpy as np

from mercury.observability.statistics.base import NOTHING, Pair, Statistic

PSEUDO_COUNT = 0.5
"""Added to every group on both sides, so that an empty group counts for much and not for infinitely much."""


FEWEST_A_GROUP = 5

NOISE = 0.1


def psi(pair: Pair) -> Statistic:
    """``sum((p - q) ln(p / q))`` over groups of the reference's quantiles, missing and infinite values apart.

    By its customary limits 0.1 is a small and 0.2 a large change. Groups that are empty on both sides are left out, and
    what rows of one law have on average, ``(k - 1) (1 / n + 1 / m)`` over k groups, is taken off: the index is twice
    the half of a statistic with the law of chi square (Yurdakul and Naranjo, "Statistical properties of the population
    stability index", Journal of Risk Model Validation 14(4), 2020). Nothing where rows are too few for that: fewer than
    five a group on a side, or a standard deviation of 0.1 or more for equal laws.
    """
    if pair.empty:
        return NOTHING
    seen = np.stack(pair.grouped).astype(np.float64)
    seen = seen[:, seen.sum(0) > 0]
    k, rows = seen.shape[1], seen.sum(1)
    freedom, noise = k - 1, float((1 / rows).sum())
    if k > 1 and (rows.min() < FEWEST_A_GROUP * k or math.sqrt(2 * freedom) * noise >= NOISE):
        return NOTHING
    p, q = (seen + PSEUDO_COUNT) / (rows + PSEUDO_COUNT * k)[:, None]
    return Statistic(max(0.0, float(np.sum((p - q) * np.log(p / q))) - freedom * noise))
