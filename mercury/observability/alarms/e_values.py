"""E-values of one window: how much its rows speak against every law within a tolerance of the reference.

An e-value is a positive number whose expectation is at most 1 when the hypothesis holds, so products and averages of
them stay evidence, for any number of looks. Source: Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and
safe anytime-valid inference", Statistical Science 38(4), 2023. All are returned as natural logarithms.
"""

from __future__ import annotations

import math

import numpy as np

BET = 0.5
"""How boldly a distance is bet on; any number between 0 and 1 is valid."""

ADDED = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
"""Shares of the rows that a fault may take."""


def log_distance_e_value(distance: float, tolerance: float, rows: float) -> float:
    """Of "the rows' distribution function lies within ``tolerance`` of the reference's".

    ``distance`` is Kolmogorov and Smirnov's, of ``rows`` independent rows. By Massart's inequality (1990) the square
    of what it exceeds the tolerance by, ``X = 2 n (D - t)^2``, has ``P(X > x) <= 2 exp(-x)``; integrating gives
    ``E exp(b X) <= 2^b / (1 - b)``, by which the bet ``exp(b X)`` is divided.

    >>> log_distance_e_value(0.05, 0.1, 900) < 0 < log_distance_e_value(0.2, 0.1, 900)
    True
    """
    excess = max(0.0, distance - tolerance)
    return 2 * BET * rows * excess * excess + math.log1p(-BET) - BET * math.log(2)


def log_shares_e_value(
    counts: np.ndarray, rows: int, low: np.ndarray, high: np.ndarray, independent: np.ndarray | None = None
) -> float:
    """Of "every share lies between its ``low`` and ``high``", from counts of the same rows by cell.

    For each cell the likelihood under Jeffreys' mixture over all shares is divided by the greatest that the hypothesis
    allows (universal inference: Wasserman, Ramdas and Balakrishnan, PNAS 117(29), 2020); the e-values of the cells are
    averaged, which needs nothing about how they depend on each other. Where the rows tell only as much as fewer
    ``independent`` ones, by cell, the likelihoods are those of so many.

    >>> import numpy as np
    >>> low, high = np.array([0.02]), np.array([0.08])
    >>> log_shares_e_value(np.array([45]), 900, low, high) < 0 < log_shares_e_value(np.array([130]), 900, low, high)
    True
    """
    from scipy.special import betaln, logsumexp, xlog1py, xlogy

    if not rows or not len(counts):
        return 0.0
    seen = counts / rows
    size = np.full(len(counts), float(rows)) if independent is None else independent
    inside, outside = seen * size, (1 - seen) * size
    mixed = betaln(inside + 0.5, outside + 0.5) - betaln(0.5, 0.5)
    share = np.clip(seen, low, high)
    allowed = xlogy(inside, share) + xlog1py(outside, -share)
    return float(logsumexp(mixed - allowed) - math.log(len(counts)))


def log_added_e_value(counts: np.ndarray, rows: int, high: np.ndarray, independent: np.ndarray | None = None) -> float:
    """Of "no cell's share is above its ``high``", against rows that a fault has moved into it.

    A fault that takes a share d of the rows turns a cell's share p into ``p + d (1 - p)``. The likelihoods of six such
    alternatives, on top of ``high``, are averaged and divided by that of ``high``: a likelihood ratio that rises with
    the count, so its expectation is greatest, and 1, at ``high`` itself. Cells are averaged as in the two-sided form;
    one that may have all rows cannot have more, and is left out.

    >>> import numpy as np
    >>> log_added_e_value(np.array([45]), 900, np.array([0.06])) < 0 < log_added_e_value(
    ...     np.array([130]), 900, np.array([0.06]))
    True
    """
    from scipy.special import logsumexp, xlog1py, xlogy

    below = high < 1.0
    if not rows or not below.any():
        return 0.0
    size = np.full(len(counts), float(rows)) if independent is None else independent
    seen, size, high = counts[below] / rows, size[below], high[below]
    inside, outside = seen * size, (1 - seen) * size
    moved = high + ADDED[:, None] * (1 - high)
    ratio = xlogy(inside, moved) + xlog1py(outside, -moved) - xlogy(inside, high) - xlog1py(outside, -high)
    return float(logsumexp(ratio) - math.log(ratio.size))


def log_mean(logarithms: list[float], weights: list[float]) -> float:
    """The logarithm of the weighted mean of e-values, which is an e-value again."""
    from scipy.special import logsumexp

    return float(logsumexp(logarithms, b=np.array(weights) / sum(weights)))
