"""Population stability index: the symmetric form of Kullback and Leibler's divergence, on ten groups.

Source: Siddiqi, "Credit Risk Scorecards", Wiley 2006, chapter 8; it is J of Kullback and Leibler, "On information and
sufficiency", Annals of Mathematical Statistics 22(1), 1951.
"""

from __future__ import annotations

import numpy as np

from mercury.observability.statistics.base import NOTHING, Pair, Statistic

PSEUDO_COUNT = 0.5
"""Added to every group on both sides, so that an empty group counts for much and not for infinitely much."""


def psi(pair: Pair) -> Statistic:
    """``sum((p - q) ln(p / q))`` over groups of the reference's quantiles, missing and infinite values apart.

    By its customary limits 0.1 is a small and 0.2 a large change.
    """
    if pair.empty:
        return NOTHING
    mine, theirs = (counts + PSEUDO_COUNT for counts in pair.grouped)
    p, q = mine / mine.sum(), theirs / theirs.sum()
    return Statistic(float(np.sum((p - q) * np.log(p / q))))
