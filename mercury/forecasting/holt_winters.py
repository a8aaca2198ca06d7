"""Damped Holt-Winters exponential smoothing, over a whole panel.

Source: Gardner and McKenzie, "Forecasting trends in time series", Management Science 31, 1985, for the damped trend;
Hyndman, Koehler, Ord and Snyder, "Forecasting with exponential smoothing", 2008, chapter 2, for the recursions: season
additive, or multiplicative where all values are positive. Parameters come from a grid that is refined; its trends are
slow, since short series are soon overfitted by a lively one (chosen on the M1 and tourism competitions' data).
"""

from __future__ import annotations

import numba
import numpy as np

from mercury.forecasting.seasonality import has_season, seasonal_shape

ALPHAS = np.array([0.05, 0.15, 0.3, 0.5, 0.75])
BETAS = np.array([0.01, 0.05, 0.1])
GAMMAS = np.array([0.01, 0.1, 0.3])
PHIS = np.array([0.8, 0.9, 0.98])
_ROUNDS = 2


@numba.njit(cache=True)
def forecast_holt_winters(
    values: np.ndarray,
    edges: np.ndarray,
    horizon: int,
    m: int,
    alphas: np.ndarray,
    betas: np.ndarray,
    gammas: np.ndarray,
    phis: np.ndarray,
) -> np.ndarray:  # pragma: no cover
    """Forecasts of shape (series, horizon)."""
    count = len(edges) - 1
    out = np.empty((count, horizon))
    for number in range(count):
        y = values[edges[number] : edges[number + 1]]
        n = len(y)
        if n < 4:
            out[number] = y[n - 1] if n else np.nan
            continue
        period = m if has_season(y, m) else 1
        multiplicative = period > 1 and y.min() > 0.0
        shape = seasonal_shape(y, period, multiplicative)
        level, trend = _start(y, shape, period, multiplicative)
        best = np.inf
        chosen = np.array([alphas[0], betas[0], gammas[0], phis[0]])
        for a in alphas:
            for b in betas:
                for p in phis:
                    for g in gammas:
                        cost, _, _ = smooth(y, shape, level, trend, period, multiplicative, a, b, g, p, best)
                        if cost < best:
                            best, chosen = cost, np.array([a, b, g, p])
                        if period == 1:
                            break
        width = np.array([0.1, 0.06, 0.08, 0.05])
        for _ in range(_ROUNDS):
            for which in range(4):
                middle = chosen[which]
                for shift in (-1.0, -0.5, 0.5, 1.0):
                    tried = chosen.copy()
                    tried[which] = min(0.99, max(0.001, middle + shift * width[which]))
                    cost, _, _ = smooth(
                        y, shape, level, trend, period, multiplicative, tried[0], tried[1], tried[2], tried[3], best
                    )
                    if cost < best:
                        best, chosen = cost, tried
            width /= 2.0
        _, ends, seasons = smooth(
            y, shape, level, trend, period, multiplicative, chosen[0], chosen[1], chosen[2], chosen[3]
        )
        damped, power = 0.0, 1.0
        for step in range(horizon):
            power *= chosen[3]
            damped += power
            forecast = ends[0] + damped * ends[1]
            if period > 1:
                phase = (n + step) % period
                forecast = forecast * seasons[phase] if multiplicative else forecast + seasons[phase]
            out[number, step] = forecast
    return out


@numba.njit(cache=True)
def smooth(
    y: np.ndarray,
    shape: np.ndarray,
    level: float,
    trend: float,
    period: int,
    multiplicative: bool,
    alpha: float,
    beta: float,
    gamma: float,
    phi: float,
    limit: float = np.inf,
) -> tuple[float, np.ndarray, np.ndarray]:  # pragma: no cover
    """Sum of squared one-step errors, last level and trend, and season.

    The sum is infinite where a season falls to zero, and as soon as it has reached the limit: worse than what is known.
    """
    seasons = shape.copy()
    cost, phase = 0.0, -1
    for t in range(len(y)):
        if cost >= limit:
            return np.inf, np.array([level, trend]), seasons
        ahead = level + phi * trend
        phase = phase + 1 if phase + 1 < period else 0
        forecast, adjusted = ahead, y[t]
        if period > 1:
            season = seasons[phase]
            if multiplicative and season <= 0.0:
                return np.inf, np.array([level, trend]), seasons
            forecast = ahead * season if multiplicative else ahead + season
            adjusted = y[t] / season if multiplicative else y[t] - season
            if not multiplicative or ahead != 0.0:
                fresh = y[t] / ahead if multiplicative else y[t] - ahead
                seasons[phase] = gamma * fresh + (1.0 - gamma) * season
        cost += (y[t] - forecast) ** 2
        new = alpha * adjusted + (1.0 - alpha) * ahead
        trend = beta * (new - level) + (1.0 - beta) * phi * trend
        level = new
    return cost, np.array([level, trend]), seasons


@numba.njit(cache=True)
def _start(
    y: np.ndarray, shape: np.ndarray, period: int, multiplicative: bool
) -> tuple[float, float]:  # pragma: no cover
    """Level and trend before the first value: a line through the first adjusted values."""
    count = min(len(y), max(10, 2 * period))
    adjusted = np.empty(count)
    for t in range(count):
        if period > 1:
            adjusted[t] = y[t] / shape[t % period] if multiplicative else y[t] - shape[t % period]
        else:
            adjusted[t] = y[t]
    middle, mean = (count - 1) / 2.0, adjusted.mean()
    top, bottom = 0.0, 0.0
    for t in range(count):
        top += (t - middle) * (adjusted[t] - mean)
        bottom += (t - middle) * (t - middle)
    slope = top / bottom if bottom > 0.0 else 0.0
    return mean - (middle + 1.0) * slope, slope
