"""Intervals hold what they say, measured on what they have not seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mercury.forecasting import forecast
from mercury.forecasting.conformal import PRIOR_FOLDS, calibrate, factors, measured_coverage, quantiles
from tests.forecasting.test_kernels import panel_of


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_a_new_score_lies_below_with_at_least_the_level(level: float) -> None:
    """20,000 trials: the share is within four standard errors of its expectation ceil((n+1) c) / (n+1)."""
    rng = np.random.default_rng(1)
    scores = rng.lognormal(0, 1, (20_000, 40))
    held = np.mean([row[-1] <= quantiles(row[:-1, None], level)[0] for row in scores])

    expected = math.ceil(40 * level) / 40
    assert expected >= level
    assert abs(held - expected) < 4 * math.sqrt(expected * (1 - expected) / 20_000)


def test_few_scores_give_no_interval_rather_than_a_wrong_one() -> None:
    assert quantiles(np.array([[1.0], [2.0], [3.0]]), 0.95).tolist() == [math.inf]
    assert quantiles(np.array([[1.0], [2.0], [3.0]]), 0.5).tolist() == [2.0]
    assert math.isnan(measured_coverage([np.array([[1.0]])], 0.5))


def test_steps_with_enough_scores_have_a_quantile_of_their_own() -> None:
    scores = np.column_stack([np.arange(1, 61), 10 * np.arange(1, 61)]).astype(float)

    assert quantiles(scores, 0.5).tolist() == [31.0, 310.0]
    assert len(set(quantiles(scores[:20], 0.5).tolist())) == 1


def test_a_series_that_was_hard_to_forecast_gets_wider_intervals_and_a_lonely_one_the_same() -> None:
    folds = [np.array([[1.0, 1.0], [3.0, 3.0], [np.nan, np.nan]])] * 4

    scores, factor = calibrate(folds)

    # The mean error is 2: the series are half and one and a half as hard, each shrunk by four folds of 1.
    assert factor == pytest.approx([(PRIOR_FOLDS + 4 * 0.5) / (PRIOR_FOLDS + 4), (PRIOR_FOLDS + 6) / 8, 1.0])
    assert scores[0] == pytest.approx([1 / ((PRIOR_FOLDS + 1.5) / 7)] * 2)
    assert factors([fold[:1] for fold in folds], 1).tolist() == [1.0]
    assert factors([np.zeros((2, 3))], 2).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("seed", [7, 8])
def test_series_that_calmed_down_and_series_that_grew_wild_are_both_near_the_level(seed: int) -> None:
    """Half of the series lost half of their noise, the others gained as much; naive errors alone hold 95 % and 64 %."""
    rng = np.random.default_rng(seed)
    calmer = np.where(np.arange(120) < 80, 2.0, 1.0)
    series = 100 + rng.normal(0, 1, (400, 120)) * np.repeat([calmer, 4 - calmer], 200, axis=0)
    made = forecast(panel_of(*series[:, :-7]), 7, season=1, levels=[80])

    low, high = (made.table[f"{end}-80"].to_numpy().reshape(400, 7) for end in ("lo", "hi"))
    held = ((low <= series[:, -7:]) & (series[:, -7:] <= high)).reshape(2, -1).mean(axis=1)
    assert 0.8 < held[0] < 0.92
    assert 0.67 < held[1] < 0.8


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_intervals_of_a_panel_hold_later_values(seed: int) -> None:
    """200 random walks with a season, on values not learnt from: not 5 points below the level, nor 10 above.

    Earlier origins know less of their series than the last one, so that intervals err on the safe side.
    """
    rng = np.random.default_rng(seed)
    length, horizon = 96, 12
    season = np.tile(rng.normal(0, 3, (200, 12)), (1, length // 12))
    series = 100 + rng.normal(0, 1, (200, length)).cumsum(axis=1) + season
    made = forecast(panel_of(*series[:, :-horizon]), horizon, season=12)

    actual = series[:, -horizon:].ravel()
    for level in (80, 95):
        low, high = (made.table[f"{end}-{level}"].to_numpy() for end in ("lo", "hi"))
        assert -0.05 < np.mean((low <= actual) & (actual <= high)) - level / 100 < 0.10
        assert made.coverage[level] == pytest.approx(level / 100, abs=0.05)
    board = {row["method"]: row["mase"] for row in made.leaderboard}
    assert board["Combined"] < board["SeasonalNaive"]


def test_what_never_was_negative_is_not_forecast_below_zero() -> None:
    rng = np.random.default_rng(4)
    counts = rng.poisson(0.3, (20, 60)).astype(float)
    made = forecast(panel_of(*counts), 7)

    assert min(made.table["forecast"].to_pylist()) >= 0
    assert min(value for value in made.table["lo-95"].to_pylist() if value is not None) == 0
    below = forecast(panel_of(*(counts - 5)), 7)
    assert min(below.table["lo-95"].to_pylist()) < -5


def test_short_constant_and_lonely_series_have_an_answer() -> None:
    made = forecast(panel_of(np.array([3.0]), np.full(40, 7.0), np.array([1.0, 2.0])), 5)

    values = np.array(made.table["forecast"].to_pylist()).reshape(3, 5)
    assert values.tolist() == [[3.0] * 5, [7.0] * 5, [2.0] * 5]
    rows = made.table.slice(5, 5)
    assert rows["lo-80"].to_pylist() == rows["hi-80"].to_pylist() == [7.0] * 5
    assert any("fewer than 4 points" in note and "'s0'" in note for note in made.notes)
    assert any("constant" in note and "'s1'" in note for note in made.notes)

    lonely = forecast(panel_of(np.array([3.0])), 2)
    assert lonely.table["forecast"].to_pylist() == [3.0, 3.0]
    assert lonely.table["lo-80"].to_pylist() == [None, None]
    assert lonely.to_dict()["coverage"] == {"80": None, "95": None}
    assert any("no series is long enough for a backtest" in note for note in lonely.notes)
