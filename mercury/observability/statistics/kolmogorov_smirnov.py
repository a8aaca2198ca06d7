"""Kolmogorov and Smirnov's distance: the greatest difference between two distribution functions.

Source: Massart, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality", Annals of Probability 18(3), 1990:
``P(D_n > e) <= 2 exp(-2 n e^2)``, for every n; the interval takes it for either side.
"""

from __future__ import annotations

import math

import numpy as np

from mercury.observability.reference import Numbers
from mercury.observability.statistics.base import CONFIDENCE, NOTHING, Pair, Statistic


def kolmogorov_smirnov(pair: Pair) -> Statistic:
    """Between 0 and 1, over the values that are not missing; for numbers only.

    Known at every edge. Between two edges it can be greater by at most the lesser of the two shares there, whose
    maximum is the certificate. The p-value is Kolmogorov's limit law with ``n m / (n + m)``.
    """
    column = pair.reference.column
    n, m = int(pair.reference.present.sum()), int(pair.current.present.sum())
    if not isinstance(column, Numbers) or not n or not m:
        return NOTHING
    from scipy.special import kolmogorov

    mine, theirs = pair.reference.present / n, pair.current.present / m
    value = float(np.abs(np.cumsum(mine - theirs)).max())
    wide = ~column.exact[: column.missing]
    certificate = float(np.minimum(mine, theirs)[wide].max(initial=0.0))
    noise = deviation(n) + deviation(m)
    return Statistic(
        value,
        max(0.0, value - noise),
        min(1.0, value + certificate + noise),
        float(kolmogorov(math.sqrt(n * m / (n + m)) * value)),
        certificate,
    )


def deviation(n: int, sides: int = 2) -> float:
    """How far n rows' distribution function lies from their law at most, but for (1 - CONFIDENCE) / sides."""
    return math.sqrt(math.log(2 * sides / (1 - CONFIDENCE)) / (2 * n))
