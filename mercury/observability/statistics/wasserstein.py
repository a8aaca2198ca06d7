"""Wasserstein's distance of order 1: the area between two distribution functions, in the units of the column.

Source: Vallender, "Calculation of the Wasserstein distance between probability distributions on the line", Theory of
Probability and its Applications 18(4), 1974: W1 is the integral of ``|F - G|``.
"""

from __future__ import annotations

import math

import numpy as np

from mercury.observability.reference import Numbers
from mercury.observability.statistics.base import NOTHING, Pair, Statistic


def wasserstein(pair: Pair) -> Statistic:
    """Over the finite values; for numbers only.

    The integral of a distribution function over a bin follows from its value at the lower edge and from count and sum
    of the bin's values: ``F(a) (b - a) + (b count - sum) / n``. So the area is exact in every bin in which the two
    functions do not cross, and too small in the others. Nothing for values whose sums do not fit a double.
    """
    column = pair.reference.column
    if not isinstance(column, Numbers):
        return NOTHING
    n, m = (int(side.counts[1:-2].sum()) for side in (pair.reference, pair.current))
    if not n or not m:
        return NOTHING
    low = min(pair.reference.least, pair.current.least)
    high = max(pair.reference.greatest, pair.current.greatest)
    # An atom's bin is as wide as the last bit of its value: nothing, and sums of many such values round by more.
    bounds = np.r_[min(low, *column.cuts[:1]), column.cuts, max(high, *column.cuts[-1:])]
    areas = []
    with np.errstate(over="ignore", invalid="ignore"):
        for side, size in ((pair.reference, n), (pair.current, m)):
            counts, totals = side.counts[1:-2] / size, side.totals[1:-2] / size
            before = np.r_[0.0, np.cumsum(counts)[:-1]]
            areas.append(before * np.diff(bounds) + np.where(column.exact[1:-2], 0.0, bounds[1:] * counts - totals))
        value = float(np.abs(areas[0] - areas[1]).sum())
    return Statistic(value) if math.isfinite(value) else NOTHING
