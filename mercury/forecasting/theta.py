"""The dynamic optimised theta model, over a whole panel.

Source: Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler, "Models for optimising the theta method and their
relationship to state space models", International Journal of Forecasting 32, 2016: the model DOTM, equations 10 to 15.

The line through the values so far depends on neither parameter, so that it is fitted once, and errors are linear in the
first level, so that the best one follows from least squares. Smoothing and theta come from a grid that is refined
around its best point; a seasonal series is adjusted before. A constant added to a series is added to its forecasts, as
the first level is free: so the mean is taken off first, lest small movements around a large value are rounded away.
"""

from __future__ import annotations

import numba
import numpy as np

from mercury.forecasting.seasonality import has_season, seasonal_shape

ALPHAS = np.array([0.02, 0.06, 0.12, 0.2, 0.3, 0.42, 0.56, 0.72, 0.9])
THETAS = np.array([1.0, 1.5, 2.0, 3.0, 5.0, 9.0])
_ROUNDS = 3

_EARLY = 2
"""Forecasts that rest on a line through one or two points: their errors do not count."""


@numba.njit(cache=True)
def forecast_theta(
    values: np.ndarray, edges: np.ndarray, horizon: int, m: int, alphas: np.ndarray, thetas: np.ndarray
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
        seasonal = has_season(y, m)
        multiplicative = y.min() > 0.0
        shape = seasonal_shape(y, m, multiplicative) if seasonal else np.empty(0)
        adjusted = y.copy()
        if seasonal:
            for t in range(n):
                adjusted[t] = y[t] / shape[t % m] if multiplicative else y[t] - shape[t % m]
        base = adjusted.mean()
        adjusted -= base
        alpha, theta, level = _fit(adjusted, alphas, thetas)
        path = continue_path(adjusted, alpha, theta, level, horizon) + base
        for step in range(horizon):
            out[number, step] = path[step]
            if seasonal:
                phase = (n + step) % m
                out[number, step] = path[step] * shape[phase] if multiplicative else path[step] + shape[phase]
    return out


@numba.njit(cache=True)
def lines(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # pragma: no cover
    """Slope and intercept of the least-squares line through the first 1, 2, … values, at times 1, 2, …."""
    slopes, intercepts = np.empty(len(y)), np.empty(len(y))
    mean, slope = y[0], 0.0
    slopes[0], intercepts[0] = 0.0, y[0]
    for t in range(1, len(y)):
        slope = ((t - 1) * slope + 6.0 * (y[t] - mean) / (t + 1)) / (t + 2)
        mean = (t * mean + y[t]) / (t + 1)
        slopes[t], intercepts[t] = slope, mean - (t + 2) / 2.0 * slope
    return slopes, intercepts


@numba.njit(cache=True)
def best_level(
    y: np.ndarray, slopes: np.ndarray, intercepts: np.ndarray, alpha: float, theta: float
) -> tuple[float, float]:  # pragma: no cover
    """Least sum of squared one-step errors, of all but the early ones, over first levels, and that level."""
    decay, weight = 1.0 - alpha, 1.0 - 1.0 / theta
    level, share = alpha * y[0], 1.0 - alpha  # what the first value, and one of the first level, add to the level
    errors, crossed, shares = 0.0, 0.0, 0.0
    for t in range(1, len(y)):
        error = y[t] - _ahead(level, decay, weight, alpha, slopes[t - 1], intercepts[t - 1])
        if t > _EARLY:
            errors += error * error
            crossed += error * share
            shares += share * share
        level = alpha * y[t] + (1.0 - alpha) * level
        share *= 1.0 - alpha
        decay *= 1.0 - alpha
    if shares < 1e-12:  # forgotten before it counts
        return errors, y[0]
    return errors - crossed * crossed / shares, crossed / shares


@numba.njit(cache=True)
def continue_path(
    y: np.ndarray, alpha: float, theta: float, level: float, horizon: int
) -> np.ndarray:  # pragma: no cover
    """Each forecast becomes the next value, as the dynamic model has it."""
    n = len(y)
    path = np.empty(n + horizon)
    path[:n] = y
    mean, slope, intercept = y[0], 0.0, y[0]
    level = alpha * y[0] + (1.0 - alpha) * level
    decay, weight = 1.0 - alpha, 1.0 - 1.0 / theta
    for t in range(1, n + horizon):
        if t >= n:
            path[t] = _ahead(level, decay, weight, alpha, slope, intercept)
        level = alpha * path[t] + (1.0 - alpha) * level
        slope = ((t - 1) * slope + 6.0 * (path[t] - mean) / (t + 1)) / (t + 2)
        mean = (t * mean + path[t]) / (t + 1)
        intercept = mean - (t + 2) / 2.0 * slope
        decay *= 1.0 - alpha
    return path[n:]


@numba.njit(cache=True)
def _ahead(
    level: float, decay: float, weight: float, alpha: float, slope: float, intercept: float
) -> float:  # pragma: no cover
    return level + weight * (decay * intercept + (1.0 - decay * (1.0 - alpha)) / alpha * slope)


@numba.njit(cache=True)
def _fit(y: np.ndarray, alphas: np.ndarray, thetas: np.ndarray) -> tuple[float, float, float]:  # pragma: no cover
    slopes, intercepts = lines(y)
    best, alpha, theta, level = np.inf, alphas[0], thetas[0], y[0]
    for a in alphas:
        for q in thetas:
            cost, start = best_level(y, slopes, intercepts, a, q)
            if cost < best:
                best, alpha, theta, level = cost, a, q, start
    width, factor = 0.08, 1.35
    for _ in range(_ROUNDS):
        middle = alpha
        for shift in (-1.0, -0.5, 0.5, 1.0):
            a = min(0.99, max(0.005, middle + shift * width))
            cost, start = best_level(y, slopes, intercepts, a, theta)
            if cost < best:
                best, alpha, level = cost, a, start
        middle = theta
        for shift in (-1.0, -0.5, 0.5, 1.0):
            q = max(1.0, middle * factor**shift)
            cost, start = best_level(y, slopes, intercepts, alpha, q)
            if cost < best:
                best, theta, level = cost, q, start
        width, factor = width / 2.5, 1.0 + (factor - 1.0) / 2.5
    return alpha, theta, level
