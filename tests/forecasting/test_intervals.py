"""Intervals hold what they say, measured on what they have not seen."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from mercury.errors import UsageError
from mercury.forecasting import Frequency, forecast
from mercury.forecasting.conformal import PRIOR_FOLDS, calibrate, factors, measured_coverage, quantiles
from mercury.time import DAY
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
    assert len(set(quantiles(scores[:19], 0.5).tolist())) == 1
    # Nine tenths of 60 scores leave six beyond: too few for a step by itself.
    assert quantiles(scores, 0.9).tolist() == [490.0, 490.0]


def test_the_rank_is_not_moved_by_rounding_and_a_high_level_is_pooled_over_steps() -> None:
    """20 * 0.55 is 11.000000000000002 in floats, but the rank is 11; 99 % of 50 scores has no rank, of 100 it has."""
    assert quantiles(np.arange(1.0, 20.0)[:, None], 0.55).tolist() == [11.0]
    two_steps = np.column_stack([np.arange(1.0, 51.0), np.arange(51.0, 101.0)])
    assert quantiles(two_steps, 0.99).tolist() == [100.0, 100.0]
    assert quantiles(two_steps, 0.9).tolist() == [91.0, 91.0]
    assert quantiles(two_steps, 0.8).tolist() == [41.0, 91.0]


def test_coverage_is_that_of_intervals_there_would_have_been() -> None:
    """From one fold of three scores there is no interval of 95 %, so that none can have held anything."""
    folds = [np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 2.0, 3.0]])]

    assert math.isnan(measured_coverage(folds, 0.95))
    assert measured_coverage(folds, 0.5) == 2 / 3
    assert math.isnan(measured_coverage(folds[:1], 0.5))


def test_a_fold_is_held_against_the_other_folds_only() -> None:
    """Errors of the last fold are a hundred times as large: the others' intervals hold none, its own all of theirs."""
    small = np.arange(1.0, 11.0)[None, :]

    held = [measured_coverage([small, small, factor * small], 0.8) for factor in (1, 100)]

    assert held[0] == pytest.approx(0.8, abs=0.11)
    assert held[1] == pytest.approx(2 / 3, abs=0.1)


def test_learning_from_the_past_alone_shows_errors_that_have_grown() -> None:
    """Folds come latest first: each one's errors are twice those of the one before, so the past held none of them."""
    old = np.linspace(1.0, 1.9, 10)[None, :]
    folds = [8 * old, 4 * old, 2 * old, old]

    assert measured_coverage(folds, 0.8, past_only=True) == 0.0
    assert measured_coverage(folds[::-1], 0.8, past_only=True) == 1.0
    assert measured_coverage(folds, 0.8) == measured_coverage(folds[::-1], 0.8) > 0.5
    # Of the newest fold alone: its errors are held against all three earlier ones, by hand.
    scores, factor = calibrate([old, old])
    by_hand = np.mean(old <= quantiles(scores, 0.8) * factor)
    assert measured_coverage([old, old, old], 0.8, past_only=True) == pytest.approx(by_hand, abs=0.11)


def test_a_constant_series_that_moves_counts_as_missed_and_teaches_nothing() -> None:
    """Half of the series are 5 until they jump, in the last of three origins: their intervals without width miss it."""
    flat = np.full(40, 5.0)
    flat[-4:] = 9.0
    made = forecast(panel_of(*[np.full(40, 5.0)] * 5, *[flat] * 5), 4, season=1, levels=[80], folds=3)

    assert made.coverage[80] == pytest.approx((2 * 40 + 20) / 120)
    scores = np.stack(made.backtest.scores)
    assert set(np.unique(scores)) == {-np.inf, np.inf}
    assert made.table["lo-80"].to_pylist()[:20] == [5.0] * 20

    noisy = [100 + np.random.default_rng(seed).normal(0, 1, 40) for seed in range(10)]
    alone, beside = (forecast(panel_of(*noisy, *more), 4, season=1, folds=3) for more in ([], [flat] * 5))
    assert beside.table.slice(0, 40).equals(alone.table)


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
    assert made.table["lo-80"].to_pylist()[:5] == made.table["hi-95"].to_pylist()[10:] == [None] * 5
    assert "fewer than 4 points, the last value kept without an interval: 2 series, as 's0'" in made.notes
    assert "constant: 1 series, as 's1'" in made.notes

    lonely = forecast(panel_of(np.array([3.0])), 2)
    assert lonely.table["forecast"].to_pylist() == [3.0, 3.0]
    assert lonely.table["lo-80"].to_pylist() == [None, None]
    assert lonely.to_dict()["coverage"] == {"80": None, "95": None}
    assert any("no series is long enough for a backtest" in note for note in lonely.notes)


def test_options_that_cannot_be_met_are_told() -> None:
    panel = panel_of(*(np.random.default_rng(seed).normal(9, 1, 40) for seed in range(3)))

    assert "no backtest as told: there are no intervals" in forecast(panel, 4, folds=0).notes
    assert "the series are long enough for 9 of 12 origins" in forecast(panel, 4, folds=12).notes
    notes = forecast(panel, 4, season=30).notes
    assert "3 of 3 series are shorter than two seasons and are forecast without one" in notes
    assert "no season as given" in forecast(panel, 4, season=1).notes
    with pytest.raises(UsageError, match=r"100,000 steps of 10000D reach beyond the year 9999 \(--horizon\)"):
        forecast(dataclasses.replace(panel, frequency=Frequency("fixed", 10_000 * DAY)), 100_000)
