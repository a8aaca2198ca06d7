"""The dynamic optimised theta model, over a whole panel.

Source: Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler, "Models for optimising the theta method and their
relationship to state space models", International Journal of Forecasting 32, 2016: the model DOTM, equations 10 to 15.
Smoothing and theta come from a grid that is refined around its best point; a seasonal series is adjusted before.
"""

from __future__ import annotations

import numba
import numpy as np

from mercury.forecasting.seasonality import has_season, seasonal_shape

ALPHAS = np.array([0.02, 0.06, 0.12, 0.2, 0.3, 0.42, 0.56, 0.72, 0.9])
THETAS = np.array([1.0, 1.5, 2.0, 3.0, 5.0, 9.0])
_ROUNDS = 3


@numba.njit(cache=True)
def forecast_theta(
    values: np.ndarray, edges: np.ndarray, horizon: int, m: int, alphas: np.ndarray, thetas: np.ndarray
) -> np.ndarray:  # pragma: no cover
    """Forecasts of shape (series, horizon)."""
    count = len(edges) - 1
    out = np.empty((count, horizon))
    for number in range(count):
        y = values[edges[number] : edges[number + 1]]
        if len(y) < 4:
            out[number] = y[len(y) - 1] if len(y) else np.nan
            continue
        seasonal = has_season(y, m)
        multiplicative = y.min() > 0.0
        shape = seasonal_shape(y, m, multiplicative) if seasonal else np.empty(0)
        adjusted = y.copy()
        if seasonal:
            for t in range(len(y)):
                adjusted[t] = y[t] / shape[t % m] if multiplicative else y[t] - shape[t % m]
        alpha, theta, level = _fit(adjusted, alphas, thetas)
        path = _forecast(adjusted, alpha, theta, level, horizon)
        for step in range(horizon):
            if seasonal:
                phase = (len(y) + step) % m
                path[step] = path[step] * shape[phase] if multiplicative else path[step] + shape[phase]
            out[number, step] = path[step]
    return out


@numba.njit(cache=True)
def one_step_errors(y: np.ndarray, alpha: float, theta: float, level: float) -> np.ndarray:  # pragma: no cover
    """Errors of the one-step forecasts of all values but the first."""
    errors = np.empty(len(y) - 1)
    mean, slope, intercept = y[0], 0.0, y[0]
    level = alpha * y[0] + (1.0 - alpha) * level
    decay = 1.0 - alpha
    weight = 1.0 - 1.0 / theta
    for t in range(1, len(y)):
        forecast = level + weight * (decay * intercept + (1.0 - decay * (1.0 - alpha)) / alpha * slope)
        errors[t - 1] = y[t] - forecast
        level = alpha * y[t] + (1.0 - alpha) * level
        slope = ((t - 1) * slope + 6.0 * (y[t] - mean) / (t + 1)) / (t + 2)
        mean = (t * mean + y[t]) / (t + 1)
        intercept = mean - (t + 2) / 2.0 * slope
        decay *= 1.0 - alpha
    return errors


@numba.njit(cache=True)
def _cost(y: np.ndarray, alpha: float, theta: float, level: float) -> float:  # pragma: no cover
    errors = one_step_errors(y, alpha, theta, level)
    # The first few forecasts rest on a line through one or two points.
    skip = min(2, len(errors) - 1)
    return (errors[skip:] * errors[skip:]).sum()


@numba.njit(cache=True)
def _fit(y: np.ndarray, alphas: np.ndarray, thetas: np.ndarray) -> tuple[float, float, float]:  # pragma: no cover
    levels = np.array([y[0], y[0] / 2.0, y[: min(len(y), 6)].mean()])
    best, alpha, theta, level = np.inf, alphas[0], thetas[0], levels[0]
    for a in alphas:
        for q in thetas:
            for start in levels:
                cost = _cost(y, a, q, start)
                if cost < best:
                    best, alpha, theta, level = cost, a, q, start
    width_a, width_q = 0.08, 1.35
    for _ in range(_ROUNDS):
        middle_a, middle_q = alpha, theta
        for shift in (-1.0, -0.5, 0.5, 1.0):
            a = min(0.99, max(0.005, middle_a + shift * width_a))
            cost = _cost(y, a, middle_q, level)
            if cost < best:
                best, alpha, theta = cost, a, middle_q
        middle_a = alpha
        for shift in (-1.0, -0.5, 0.5, 1.0):
            q = max(1.0, middle_q * width_q**shift)
            cost = _cost(y, middle_a, q, level)
            if cost < best:
                best, alpha, theta = cost, middle_a, q
        width_a, width_q = width_a / 2.5, 1.0 + (width_q - 1.0) / 2.5
    return alpha, theta, level


@numba.njit(cache=True)
def _forecast(y: np.ndarray, alpha: float, theta: float, level: float, horizon: int) -> np.ndarray:  # pragma: no cover
    """Each forecast becomes the next value, as the dynamic model has it."""
    n = len(y)
    path = np.empty(n + horizon)
    path[:n] = y
    mean, slope, intercept = y[0], 0.0, y[0]
    level = alpha * y[0] + (1.0 - alpha) * level
    decay = 1.0 - alpha
    weight = 1.0 - 1.0 / theta
    for t in range(1, n + horizon):
        if t >= n:
            path[t] = level + weight * (decay * intercept + (1.0 - decay * (1.0 - alpha)) / alpha * slope)
        level = alpha * path[t] + (1.0 - alpha) * level
        slope = ((t - 1) * slope + 6.0 * (path[t] - mean) / (t + 1)) / (t + 2)
        mean = (t * mean + path[t]) / (t + 1)
        intercept = mean - (t + 2) / 2.0 * slope
        decay *= 1.0 - alpha
    return path[n:]
