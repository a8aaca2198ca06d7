"""Seasons: whether one is there, and what it looks like.

A season of length m is taken when the autocorrelation at lag m is significant at 90 % (the test of the M competitions:
Makridakis, Spiliotis and Assimakopoulos, "The M4 Competition", 2020) in the median series of a panel. Its shape is the
classical decomposition: ratios to, or differences from, a centred moving average, averaged by phase.
"""

from __future__ import annotations

import numba
import numpy as np

LEAST_PERIODS = 3
"""Full seasons that a series must have for one to be looked for in it."""


def detect_season(values: np.ndarray, edges: np.ndarray, candidates: tuple[int, ...]) -> int:
    """The longest season among the candidates that most series long enough for it show; 1 for none."""
    for m in sorted(candidates, reverse=True):
        long = np.flatnonzero(np.diff(edges) >= LEAST_PERIODS * m)
        if m < 2 or 2 * len(long) < len(edges) - 1 or not len(long):
            continue
        votes = seasonal_votes(values, edges[:-1][long], edges[1:][long], m)
        if 2 * votes > len(long):
            return m
    return 1


@numba.njit(cache=True)
def seasonal_votes(values: np.ndarray, starts: np.ndarray, ends: np.ndarray, m: int) -> int:  # pragma: no cover
    """How many series have a significant autocorrelation at lag m."""
    votes = 0
    for number in range(len(starts)):
        if is_seasonal(values[starts[number] : ends[number]], m):
            votes += 1
    return votes


@numba.njit(cache=True)
def has_season(y: np.ndarray, m: int) -> bool:  # pragma: no cover
    """Whether a series takes part in its panel's season: it shows it, or is too short for the test and not for two."""
    if m < 2 or len(y) < 2 * m:
        return False
    return len(y) < LEAST_PERIODS * m or is_seasonal(y, m)


@numba.njit(cache=True)
def is_seasonal(y: np.ndarray, m: int) -> bool:  # pragma: no cover
    """Whether r_m > 1.645 sqrt((1 + 2 (r_1² + … + r_{m-1}²)) / n); a negative r_m is no season of length m."""
    n = len(y)
    if n < LEAST_PERIODS * m:
        return False
    centred = y - y.mean()
    power = (centred * centred).sum()
    if power <= 0.0:
        return False
    total = 0.0
    for lag in range(1, m):
        r = (centred[lag:] * centred[:-lag]).sum() / power
        total += r * r
    r = (centred[m:] * centred[:-m]).sum() / power
    return r > 1.645 * np.sqrt((1.0 + 2.0 * total) / n)


@numba.njit(cache=True)
def seasonal_shape(y: np.ndarray, m: int, multiplicative: bool) -> np.ndarray:  # pragma: no cover
    """Shape of the season by phase, phase 0 being that of the first value: mean 1, or mean 0."""
    n = len(y)
    shape = np.ones(m) if multiplicative else np.zeros(m)
    if m < 2 or n < 2 * m:
        return shape
    sums, counts = np.zeros(m), np.zeros(m)
    half = m // 2
    for t in range(half, n - half):
        if m % 2:
            trend = y[t - half : t + half + 1].sum() / m
        else:
            trend = (y[t - half + 1 : t + half].sum() + (y[t - half] + y[t + half]) / 2.0) / m
        if multiplicative:
            if trend > 0.0:
                sums[t % m] += y[t] / trend
                counts[t % m] += 1.0
        else:
            sums[t % m] += y[t] - trend
            counts[t % m] += 1.0
    for phase in range(m):
        if counts[phase] > 0:
            shape[phase] = sums[phase] / counts[phase]
    mean = shape.mean()
    return shape / mean if multiplicative else shape - mean
