"""Jensen and Shannon's distance: how far two laws lie from their mean.

Source: Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory 37(1), 1991;
its square root is a metric (Endres and Schindelin 2003).
"""

from __future__ import annotations

import numpy as np

from mercury.observability.statistics.base import NOTHING, Pair, Statistic


def jensen_shannon(pair: Pair) -> Statistic:
    """Between 0 and ``sqrt(ln 2)`` = 0.83, by natural logarithms, over groups of the reference's quantiles."""
    if pair.empty:
        return NOTHING
    p, q = pair.shares
    middle = (p + q) / 2
    return Statistic(float(np.sqrt(max(0.0, (_relative(p, middle) + _relative(q, middle)) / 2))))


def _relative(p: np.ndarray, q: np.ndarray) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))
