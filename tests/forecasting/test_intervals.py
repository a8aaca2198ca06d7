"""Intervals hold what they say, measured on what they have not seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mercury.forecasting import forecast
from mercury.forecasting.conformal import measured_coverage, quantiles
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
