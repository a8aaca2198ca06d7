"""Kernels are what their papers say: each equals a naive twin, and a panel is no more than its series."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sktime.forecasting.naive import NaiveForecaster
from sktime.performance_metrics.forecasting import mean_absolute_scaled_error

from mercury.forecasting import holt_winters, theta
from mercury.forecasting.accuracy import mase, owa, smape
from mercury.forecasting.frequency import Frequency
from mercury.forecasting.methods import METHODS
from mercury.forecasting.naive import forecast_naive, naive_errors
from mercury.forecasting.panel import Panel
from mercury.forecasting.seasonality import detect_season, is_seasonal, seasonal_shape
from mercury.time import DAY


def panel_of(*series: np.ndarray) -> Panel:
    edges = np.concatenate([[0], np.cumsum([len(part) for part in series])])
    names = tuple(f"s{number}" for number in range(len(series)))
    starts = np.zeros(len(series), np.int64)
    return Panel(names, starts, np.concatenate(series).astype(float), edges, Frequency("fixed", DAY))


def wave(length: int, m: int, seed: int, trend: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(length)
    return 50 + trend * t + 10 * np.sin(2 * np.pi * t / m) + rng.normal(0, 1, length)


@pytest.mark.parametrize("method", METHODS)
def test_a_panel_is_no_more_than_its_series(method: str) -> None:
    series = [wave(60, 7, 1), wave(33, 7, 2), np.full(20, 4.0), wave(9, 7, 3), np.array([5.0]), -wave(48, 12, 4)]

    together = METHODS[method](panel_of(*series), 10, 7)

    for number, part in enumerate(series):
        assert np.array_equal(METHODS[method](panel_of(part), 10, 7)[0], together[number])


def test_seasonal_naive_is_that_of_sktime() -> None:
    y = wave(50, 7, 5)
    oracle = NaiveForecaster(strategy="last", sp=7).fit(pd.Series(y)).predict(fh=list(range(1, 17)))

    panel = panel_of(y)
    assert forecast_naive(panel.values, panel.edges, 16, 7)[0] == pytest.approx(oracle.to_numpy())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=5, max_size=30), st.floats(0.05, 0.9), st.floats(1.0, 8.0))
def test_theta_is_that_of_lines_fitted_anew_and_its_first_level_the_best(
    values: list[float], alpha: float, q: float
) -> None:
    """The model's equations with numpy's line through all values so far, and numpy's least squares for the level."""
    y = np.array(values)

    def errors(level: float) -> np.ndarray:
        found = []
        for t in range(len(y)):
            if t:
                slope, intercept = np.polyfit(np.arange(1, t + 1), y[:t], 1) if t > 1 else (0.0, y[0])
                left = (1 - alpha) ** t
                found.append(y[t] - level - (1 - 1 / q) * (left * intercept + (1 - left * (1 - alpha)) / alpha * slope))
            level = alpha * y[t] + (1 - alpha) * level
        return np.array(found[2:])

    still, moved = errors(0.0), errors(1.0)
    level = np.linalg.lstsq((still - moved)[:, None], still)[0][0]
    cost, start = theta.best_level(y, *theta.lines(y), alpha, q)

    assert start == pytest.approx(level, rel=1e-6, abs=1e-5)
    assert cost == pytest.approx((errors(level) ** 2).sum(), rel=1e-6, abs=1e-5)


def test_theta_of_one_is_simple_smoothing_and_a_line_is_followed() -> None:
    flat = theta.forecast_theta(wave(40, 7, 6, 0.0), np.array([0, 40]), 5, 1, theta.ALPHAS, np.array([1.0]))
    line = panel_of(np.arange(30.0))

    assert np.ptp(flat) < 1e-9
    made = METHODS["DOTM"](line, 5, 1)[0]
    assert np.all(np.diff(made) > 0.4)
    assert made[0] == pytest.approx(30.0, abs=1.5)


@pytest.mark.parametrize(("multiplicative", "period"), [(True, 4), (False, 4), (False, 1)])
def test_holt_winters_is_that_of_the_textbook(multiplicative: bool, period: int) -> None:
    rng = np.random.default_rng(8)
    y = 20 + rng.normal(0, 2, 24) + np.tile([0, 5, -3, 1], 6)
    shape = seasonal_shape(y, period, multiplicative)
    level, trend, alpha, beta, gamma, phi = 18.0, 0.3, 0.4, 0.2, 0.1, 0.9

    seasons, total = list(shape), 0.0
    for t, value in enumerate(y):
        s = seasons[t % period] if period > 1 else 0.0
        base = level + phi * trend
        made = base * s if multiplicative else base + s
        total += (value - made) ** 2
        new = alpha * (value / s if multiplicative else value - s) + (1 - alpha) * base
        trend = beta * (new - level) + (1 - beta) * phi * trend
        if period > 1:
            seasons[t % period] = gamma * (value / base if multiplicative else value - base) + (1 - gamma) * s
        level = new

    cost, ends, last = holt_winters.smooth(y, shape, 18.0, 0.3, period, multiplicative, alpha, beta, gamma, phi)
    assert cost == pytest.approx(total)
    assert ends == pytest.approx([level, trend])
    assert last == pytest.approx(seasons)
    given = (y, shape, 18.0, 0.3, period, multiplicative, alpha, beta, gamma, phi)
    assert holt_winters.smooth(*given, cost * 1.01)[0] == cost
    assert holt_winters.smooth(*given, cost * 0.5)[0] == np.inf


@pytest.mark.parametrize("negative", [False, True])
def test_holt_winters_carries_a_season_without_noise_on(negative: bool) -> None:
    season = np.array([12.0, 8.0, 11.0, 9.0])
    y = np.tile(season - 30.0 if negative else season * 3.0, 8)

    made = METHODS["DampedHoltWinters"](panel_of(y), 6, 4)[0]

    assert made == pytest.approx(np.tile(y[:4], 2)[:6], rel=1e-3)


def test_holt_winters_damps_its_trend() -> None:
    """With the state and parameters that were fitted, forecasts are level + (phi + … + phi^h) trend."""
    made = METHODS["DampedHoltWinters"](panel_of(wave(60, 7, 3, 1.0)[:40]), 30, 1)[0]

    steps = np.diff(made)
    phi = steps[1:] / steps[:-1]
    assert np.ptp(phi) < 1e-6
    assert 0 < phi[0] < 1


def test_each_theta_forecast_is_the_next_one_step_forecast_of_a_series_that_it_joins() -> None:
    y, alpha, q, level = wave(30, 7, 11), 0.35, 2.5, 40.0
    path = list(y)
    for _ in range(5):
        smoothed = level
        for value in path:
            smoothed = alpha * value + (1 - alpha) * smoothed
        n = len(path)
        slope, intercept = np.polyfit(np.arange(1, n + 1), path, 1)
        left = (1 - alpha) ** n
        path.append(smoothed + (1 - 1 / q) * (left * intercept + (1 - left * (1 - alpha)) / alpha * slope))

    assert theta.continue_path(y, alpha, q, level, 5) == pytest.approx(path[30:])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("m", [1, 7])
def test_a_constant_that_is_added_is_added_to_the_forecast(method: str, m: int) -> None:
    """Of a series with values on both sides of zero, whose season is additive; small movements at a billion stay."""
    y = wave(60, 7, 12) - 50
    low, high = METHODS[method](panel_of(y), 9, m)[0], METHODS[method](panel_of(y - 1e9), 9, m)[0]

    assert high + 1e9 == pytest.approx(low, abs=1e-3)


def test_a_season_is_found_where_it_is() -> None:
    seasonal, none = (
        panel_of(*(wave(90, 7, seed) for seed in range(6))),
        panel_of(*(np.random.default_rng(seed).normal(0, 1, 90) for seed in range(9))),
    )

    assert detect_season(seasonal.values, seasonal.edges, (7, 30)) == 7
    assert detect_season(none.values, none.edges, (7, 30)) == 1
    assert not is_seasonal(np.full(40, 3.0), 7)


def test_the_shape_of_a_season_is_that_of_the_series() -> None:
    t = np.arange(48)
    up = np.array([1.2, 0.8, 1.1, 0.9])

    assert seasonal_shape((10 + t) * up[t % 4], 4, True) == pytest.approx(up, abs=0.02)
    assert seasonal_shape(10 + t + up[t % 4], 4, False) == pytest.approx(up - 1, abs=1e-9)


def test_errors_are_those_of_others() -> None:
    rng = np.random.default_rng(9)
    train, actual, made = rng.uniform(1, 9, (1, 40)), rng.uniform(1, 9, (1, 6)), rng.uniform(1, 9, (1, 6))
    scale = naive_errors(train[0], np.array([0, 40]), 7)

    oracle = mean_absolute_scaled_error(actual[0], made[0], y_train=train[0], sp=7)
    assert mase(actual, made, scale) == pytest.approx(oracle)
    # Worked by hand from the definition in the M4 report: 200 * (1/3 + 2/10) / 2.
    assert smape(np.array([1.0, 4.0]), np.array([2.0, 6.0])) == pytest.approx(200 * (1 / 3 + 2 / 10) / 2)
    # M4's own figures for hourly series: Naive2 18.383 and 2.395; Smyl 9.328 and 0.893 make an OWA of 0.440.
    assert owa(9.328, 0.893, 18.383, 2.395) == pytest.approx(0.440, abs=5e-4)
