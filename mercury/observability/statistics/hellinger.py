"""Hellinger's distance: the straight distance of the square roots of two laws.

Source: Hellinger, "Neue Begründung der Theorie quadratischer Formen", Journal für die reine und angewandte Mathematik
136, 1909; Le Cam, "Asymptotic Methods in Statistical Decision Theory", Springer 1986.
"""

from __future__ import annotations

import numpy as np

from mercury.observability.statistics.base import NOTHING, Pair, Statistic


def hellinger(pair: Pair) -> Statistic:
    """Between 0 and 1, over groups of the reference's quantiles."""
    if pair.empty:
        return NOTHING
    p, q = pair.shares
    return Statistic(float(np.sqrt(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2) / 2)))
