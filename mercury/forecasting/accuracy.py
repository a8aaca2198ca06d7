"""How good forecasts are, by the definitions of the M4 competition.

Source: Makridakis, Spiliotis and Assimakopoulos, "The M4 Competition: 100,000 time series and 61 forecasting methods",
International Journal of Forecasting 36, 2020, section 2.
"""

from __future__ import annotations

import numpy as np


def smape(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Symmetric mean absolute percentage error in percent: mean of 200 |y - f| / (|y| + |f|); 0 where both are 0."""
    size = np.abs(actual) + np.abs(forecast)
    apart = np.abs(actual - forecast)
    return float(np.mean(np.divide(200.0 * apart, size, out=np.zeros_like(apart), where=size > 0)))


def mase(actual: np.ndarray, forecast: np.ndarray, scale: np.ndarray) -> float:
    """Mean absolute scaled error over series of shape (series, horizon): mean absolute error by in-sample naive error.

    Series whose scale is 0 or not known are left out; NaN when none is left.
    """
    usable = scale > 0
    if not usable.any():
        return float("nan")
    return float(np.mean(np.abs(actual - forecast)[usable].mean(axis=1) / scale[usable]))


def owa(smape_: float, mase_: float, naive_smape: float, naive_mase: float) -> float:
    """Overall weighted average: mean of both errors, each divided by that of the Naive2 benchmark."""
    return (smape_ / naive_smape + mase_ / naive_mase) / 2
