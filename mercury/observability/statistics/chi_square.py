"""Pearson's test that both sides were drawn from one law over the groups.

Source: Pearson, "On the probability that two independent distributions of frequency are really samples from the same
population", Biometrika 8(1/2), 1911.
"""

from __future__ import annotations

import numpy as np

from mercury.observability.statistics.base import NOTHING, Pair, Statistic


def chi_square(pair: Pair) -> Statistic:
    """``sum((observed - expected)^2 / expected)`` over both sides; groups that are empty on both are left out."""
    if pair.empty:
        return NOTHING
    from scipy.special import chdtrc

    observed = np.stack(pair.grouped).astype(np.float64)
    observed = observed[:, observed.sum(0) > 0]
    expected = observed.sum(1, keepdims=True) * observed.sum(0) / observed.sum()
    value = float(np.sum((observed - expected) ** 2 / expected))
    freedom = observed.shape[1] - 1
    return Statistic(value, p_value=float(chdtrc(freedom, value)) if freedom else 1.0)
