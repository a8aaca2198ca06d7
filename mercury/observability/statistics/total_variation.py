"""Total variation: the share of rows that would have to move to another group.

Source of the interval: Weissman, Ordentlich, Seroussi, Verdu and Weinberger, "Inequalities for the L1 deviation of the
empirical distribution", HP Labs 2003: ``P(|p_n - p|_1 >= e) <= (2^k - 2) exp(-n e^2 / 2)`` over k groups.
"""

from __future__ import annotations

import math

import numpy as np

from mercury.observability.statistics.base import CONFIDENCE, NOTHING, Pair, Statistic


def total_variation(pair: Pair) -> Statistic:
    """Between 0 and 1, over groups of the reference's quantiles, or over its categories."""
    if pair.empty:
        return NOTHING
    p, q = pair.shares
    value = float(np.abs(p - q).sum() / 2)
    noise = (_deviation(len(p), pair.reference.rows) + _deviation(len(p), pair.current.rows)) / 2
    return Statistic(value, max(0.0, value - noise), min(1.0, value + noise))


def _deviation(k: int, n: int) -> float:
    if k < 2:
        return 0.0
    # ln(2^k - 2) without the power, which overflows for many groups.
    return math.sqrt(2 / n * (k * math.log(2) + math.log1p(-(2.0 ** (1 - k))) + math.log(2 / (1 - CONFIDENCE))))
