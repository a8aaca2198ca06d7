"""How much the share of missing values has changed.

Source of the interval: Newcombe, "Interval estimation for the difference between independent proportions", Statistics
in Medicine 17(8), 1998, method 10, from Wilson's intervals of either share (JASA 22, 1927).
"""

from __future__ import annotations

import math

from mercury.observability.statistics.base import NOTHING, Pair, Statistic

Z = 1.959963984540054
"""The normal law's quantile of `CONFIDENCE`, from both sides."""


def missing(pair: Pair) -> Statistic:
    """The share of nulls and NaN now less that in the reference; from -1 to 1."""
    if pair.empty:
        return NOTHING
    p = pair.reference.missing / pair.reference.rows
    q = pair.current.missing / pair.current.rows
    p_low, p_high = wilson(pair.reference.missing, pair.reference.rows)
    q_low, q_high = wilson(pair.current.missing, pair.current.rows)
    change = q - p
    return Statistic(change, change - math.hypot(q - q_low, p_high - p), change + math.hypot(q_high - q, p - p_low))


def wilson(count: int, rows: int) -> tuple[float, float]:
    """Wilson's interval of a share."""
    share, z2 = count / rows, Z * Z / rows
    middle = (share + z2 / 2) / (1 + z2)
    half = Z * math.sqrt(share * (1 - share) / rows + z2 / rows / 4) / (1 + z2)
    # Exact at the ends, where the formula leaves the last bit.
    return (middle - half if count else 0.0), (middle + half if count < rows else 1.0)
