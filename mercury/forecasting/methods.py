"""The methods that forecast a whole panel at once, by name, and their combination."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mercury.forecasting import holt_winters, theta
from mercury.forecasting.naive import forecast_naive
from mercury.forecasting.panel import Panel

NAIVE = "SeasonalNaive"
COMBINED = "Combined"

Method = Callable[[Panel, int, int], np.ndarray]
"""Panel, horizon and season to forecasts of shape (series, horizon)."""


def _naive(panel: Panel, horizon: int, m: int) -> np.ndarray:
    return forecast_naive(panel.values, panel.edges, horizon, m)


def _theta(panel: Panel, horizon: int, m: int) -> np.ndarray:
    return theta.forecast_theta(panel.values, panel.edges, horizon, m, theta.ALPHAS, theta.THETAS)


def _holt_winters(panel: Panel, horizon: int, m: int) -> np.ndarray:
    hw = holt_winters
    grids = (hw.ALPHAS, hw.BETAS, hw.GAMMAS, hw.PHIS)
    return hw.forecast_holt_winters(panel.values, panel.edges, horizon, m, *grids)


METHODS: dict[str, Method] = {NAIVE: _naive, "DOTM": _theta, "DampedHoltWinters": _holt_winters}
"""Seasonal naive is the benchmark; the median of all is the forecast, since simple combinations win competitions
(Petropoulos and Svetunkov, "A simple combination of univariate models", International Journal of Forecasting 36,
2020)."""


def forecast_all(panel: Panel, horizon: int, m: int) -> dict[str, np.ndarray]:
    """Forecasts by every method, and their median, never below zero for series that never were.

    A method that fails on a series, with a forecast that is not finite, leaves the others to speak for it.
    """
    found = {name: method(panel, horizon, m) for name, method in METHODS.items()}
    floored = (panel.least() >= 0)[:, None]
    for name, forecasts in found.items():
        forecasts = np.where(np.isfinite(forecasts), forecasts, np.nan)
        found[name] = np.where(floored, np.maximum(forecasts, 0.0), forecasts)
    stacked = np.stack(list(found.values()))
    empty = np.isnan(stacked).all(axis=0)
    stacked[:, empty] = 0.0
    combined = np.nanmedian(stacked, axis=0)
    combined[empty] = np.nan
    return {**found, COMBINED: combined}
