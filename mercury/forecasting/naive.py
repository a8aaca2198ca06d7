"""The last season again: the forecast that every other must beat."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def forecast_naive(values: np.ndarray, edges: np.ndarray, horizon: int, m: int) -> np.ndarray:  # pragma: no cover
    """Forecasts of shape (series, horizon): the value one season before, or the last value of a shorter series."""
    count = len(edges) - 1
    out = np.empty((count, horizon))
    for number in range(count):
        y = values[edges[number] : edges[number + 1]]
        n = len(y)
        for step in range(horizon):
            if n == 0:
                out[number, step] = np.nan
            elif n < m:
                out[number, step] = y[n - 1]
            else:
                out[number, step] = y[n - m + step % m]
    return out


@numba.njit(cache=True)
def naive_errors(values: np.ndarray, edges: np.ndarray, m: int) -> np.ndarray:  # pragma: no cover
    """In-sample mean absolute error of each series' seasonal naive forecast; NaN for one shorter than a season."""
    count = len(edges) - 1
    out = np.full(count, np.nan)
    for number in range(count):
        y = values[edges[number] : edges[number + 1]]
        if len(y) > m:
            out[number] = np.abs(y[m:] - y[:-m]).mean()
    return out
