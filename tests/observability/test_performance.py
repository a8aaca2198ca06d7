"""Quality with labels and without: scikit-learn's figures, late labels, and an estimate that holds while it may."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from sklearn.isotonic import IsotonicRegression

from mercury.errors import SchemaError
from mercury.observability.performance import (
    Calibration,
    calibrate,
    contradictions,
    estimate,
    join_labels,
    maturity,
    realised,
)
from mercury.time import DAY, HOUR

SEED = 7
AT = pa.timestamp("us", "UTC")


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.1, 0.5, 0.5001, 0.9, 1.0])), min_size=1))
@settings(max_examples=150, deadline=None)
def test_realised_quality_is_scikit_learns(rows: list[tuple[float, float]]) -> None:
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    found = realised(labels, scores)
    yes = scores >= 0.5

    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, yes))
    assert found["brier"] == pytest.approx(np.mean((labels - scores) ** 2))
    if labels.min() != labels.max():
        assert found["auc"] == pytest.approx(metrics.roc_auc_score(labels, scores))
    else:
        assert found["auc"] is None
    if yes.any() or labels.any():
        assert found["f1"] == pytest.approx(metrics.f1_score(labels, yes, zero_division=0))
    else:
        assert found["f1"] is None


def test_the_estimate_is_the_mean_over_labels_drawn_by_the_probabilities() -> None:
    """Each row counts as positive with weight p and as negative with 1 - p; scikit-learn takes such weights."""
    random = np.random.default_rng(SEED)
    scores = np.round(random.beta(0.6, 2.0, 3_000), 3)
    found = estimate(scores, Calibration(None, 0.0, 0.0))
    twice, weight = np.r_[np.ones(3_000), np.zeros(3_000)], np.r_[scores, 1 - scores]
    both, yes = np.r_[scores, scores], np.r_[scores, scores] >= 0.5

    assert found["auc"] == pytest.approx(metrics.roc_auc_score(twice, both, sample_weight=weight), abs=1e-12)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(twice, yes, sample_weight=weight), abs=1e-12)
    assert found["f1"] == pytest.approx(metrics.f1_score(twice, yes, sample_weight=weight), abs=1e-12)
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(twice, both, sample_weight=weight), abs=1e-12)


def test_the_estimate_is_nannymls() -> None:
    """NannyML 0.13.1's CBPE, calibration included, gave these figures for these rows as one chunk."""
    random = np.random.default_rng(3)

    def draw(rows: int, shape: float) -> tuple[np.ndarray, np.ndarray]:
        truth = random.beta(shape, 2.0, rows)
        return np.round(truth**2, 3), (random.random(rows) < truth).astype(float)

    scores, labels = draw(20_000, 1.0)
    served, _ = draw(5_000, 1.6)
    found = estimate(served, calibrate(labels, scores))

    assert found["auc"] == pytest.approx(0.7667036077685718, abs=1e-8)
    assert found["f1"] == pytest.approx(0.43291352037584835, abs=1e-12)
    assert found["accuracy"] == pytest.approx(0.6488866653665549, abs=1e-12)


def test_calibration_is_isotonic_where_it_helps_and_nothing_where_it_does_not() -> None:
    random = np.random.default_rng(SEED)
    truth = random.random(20_000)
    labels = (random.random(20_000) < truth).astype(float)

    off = calibrate(labels, truth**2)
    grid = np.linspace(0, 1, 101)
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(truth**2, labels).predict(grid)
    assert off.points is not None and off.error_after < off.error_before / 5
    np.testing.assert_allclose(off(grid), theirs, atol=1e-12)
    assert calibrate(labels, truth).error_before < 0.02
    assert calibrate(np.ones(500), np.linspace(0, 1, 500)).points is None
    assert calibrate(labels[:5], truth[:5]).points is None


def test_without_labels_the_estimate_follows_the_inputs_within_its_band() -> None:
    """Under covariate shift the band holds what is realised about as often as it says."""
    random = np.random.default_rng(SEED)
    held = {"auc": 0, "accuracy": 0}
    for draw in range(200):
        scores = random.beta(1.0 + draw / 100, 2.0, 500)
        labels = (random.random(500) < scores).astype(float)
        expected, seen = estimate(scores, Calibration(None, 0.0, 0.0)), realised(labels, scores)
        for name in held:
            held[name] += expected[f"{name}_low"] <= seen[name] <= expected[f"{name}_high"]  # type: ignore[operator]

    assert held["accuracy"] >= 180 and held["auc"] >= 180


def test_nothing_served_has_no_quality() -> None:
    assert set(realised(np.empty(0), np.empty(0)).values()) == {None}
    assert set(estimate(np.empty(0), Calibration(None, 0.0, 0.0)).values()) == {None}
    assert estimate(np.ones(3), Calibration(None, 0.0, 0.0))["auc"] is None


def predictions(*rows: tuple[str, str | None, int]) -> pa.Table:
    """Predictions by id, key and time."""
    ids, keys, times = zip(*rows, strict=True)
    return pa.table({"prediction_id": ids, "k": pa.array(keys, pa.string()), "event_time": pa.array(times).cast(AT)})


def labels_of(*rows: tuple[str | None, int, float, int]) -> pa.Table:
    """Labels by key, event time, value and when they were known."""
    keys, times, values, known = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            "k": pa.array(keys, pa.string()),
            "event_time": pa.array(times, pa.int64()).cast(AT),
            "label": pa.array(values, pa.float64()),
            "known_at": pa.array(known, pa.int64()).cast(AT),
        }
    )


def test_a_label_joins_the_prediction_of_its_event_whenever_it_comes() -> None:
    asked = predictions(("p1", "a", 0), ("p2", "a", 10), ("p3", "b", 0), ("p4", None, 0), ("p5", "a", 11))
    told = labels_of(("a", 10, 1.0, 500), ("a", 0, 0.0, 3), ("c", 0, 1.0, 1), (None, 0, 1.0, 1))

    found = join_labels(asked, told, ["k"], horizon=DAY)

    assert found["prediction_id"].to_pylist() == ["p1", "p2", "p3", "p4", "p5"]
    assert found["label"].to_pylist() == [0.0, 1.0, None, None, None]
    assert found["known_at"].cast(pa.int64()).to_pylist() == [3, 500, None, None, None]


def test_the_last_of_several_labels_of_one_event_counts_and_none_beyond_the_horizon() -> None:
    asked = predictions(("early", "a", 0), ("late", "b", 0))
    told = labels_of(("a", 5, 0.0, 10), ("a", 5, 1.0, 20), ("b", 5, 1.0, 2 * DAY))

    assert join_labels(asked, told, ["k"], horizon=DAY)["label"].to_pylist() == [1.0, None]
    assert join_labels(asked, told, ["k"], horizon=3 * DAY)["label"].to_pylist() == [1.0, 1.0]
    assert join_labels(asked, labels_of(), ["k"], horizon=DAY)["label"].to_pylist() == [None, None]
    with pytest.raises(SchemaError, match="no column 'key' to join by"):
        join_labels(asked, told, ["key"], horizon=DAY)


def test_a_correction_beyond_the_horizon_leaves_the_label_that_came_within_it() -> None:
    asked = predictions(("p", "a", 0))
    told = labels_of(("a", 5, 1.0, 10), ("a", 5, 0.0, 3 * DAY), ("a", 5, float("nan"), 20))

    within = join_labels(asked, told, ["k"], horizon=DAY)
    assert (within["label"].to_pylist(), within["known_at"].cast(pa.int64()).to_pylist()) == ([1.0], [10])
    assert join_labels(asked, told, ["k"], horizon=4 * DAY)["label"].to_pylist() == [0.0]


def test_labels_that_contradict_each_other_are_counted_and_the_same_one_counts_in_any_order() -> None:
    asked = predictions(("p", "a", 0))
    told = labels_of(("a", 5, 0.0, 10), ("a", 5, 1.0, 10), ("a", 5, 0.0, 9), ("b", 5, 0.0, 10), ("b", 5, 0.0, 10))

    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 0, 2, 4, 3]):
        assert join_labels(asked, told.take(order), ["k"], horizon=DAY)["label"].to_pylist() == [1.0]
    assert contradictions(told, ["k"]) == 1
    assert contradictions(told.slice(3), ["k"]) == 0


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 20)), min_size=1, max_size=12),
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", None]),
            st.integers(0, 20),
            st.sampled_from([0.0, 1.0, float("nan")]),
            st.integers(0, 30),
        ),
        max_size=12,
    ),
    st.integers(0, 25),
)
@settings(max_examples=300, deadline=None)
def test_the_join_is_the_plain_search_for_each_prediction(asked, told, horizon) -> None:  # type: ignore[no-untyped-def]
    served = predictions(*((f"p{place}", key, at) for place, (key, at) in enumerate(asked)))
    found = join_labels(served, labels_of(*told), ["k"], horizon=horizon)["label"].to_pylist()

    for (key, at), label in zip(asked, found, strict=True):
        mine = [row for row in told if row[0] == key and key is not None and row[1] >= at and row[2] == row[2]]
        event = min((row[1] for row in mine), default=None)
        came = [(max(row[3], row[1]), row[2]) for row in mine if row[1] == event]
        in_time = [row for row in came if event - at <= horizon and row[0] - at <= horizon]  # type: ignore[operator]
        assert label == (max(in_time)[1] if in_time else None)


def test_the_maturity_curve_is_kaplan_and_meiers() -> None:
    random = np.random.default_rng(SEED)
    asked = random.integers(0, 10 * DAY, 800)
    lag = random.exponential(20 * HOUR, 800).astype(np.int64) // HOUR * HOUR
    now = 10 * DAY
    known = np.where(asked + lag < now, asked + lag, -1)

    found = maturity(asked, known, now=now, horizon=5 * DAY)

    here = known >= 0
    data = stats.CensoredData(uncensored=lag[here], right=np.minimum(now - asked, 5 * DAY)[~here])
    theirs = stats.ecdf(data).cdf
    at = np.arange(1, 60) * HOUR
    np.testing.assert_allclose(found.at(at), theirs.evaluate(at), atol=1e-9)
    assert found.at(np.array([-1]))[0] == 0.0
    assert maturity(asked, np.full(800, -1), now=now, horizon=DAY).at(at).max() == 0.0


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_leaves_the_figures_of_the_others(wrong: float) -> None:
    random = np.random.default_rng(SEED)
    scores = random.random(900)
    labels = (random.random(900) < scores).astype(float)
    broken = np.r_[scores, wrong]

    assert realised(np.r_[labels, 1.0], broken) == realised(labels, scores)
    assert calibrate(np.r_[labels, 1.0], broken) == calibrate(labels, scores)
    kept = Calibration(None, 0.0, 0.0)
    assert estimate(broken, kept) == estimate(scores, kept)
    assert set(estimate(np.array([wrong]), kept).values()) == {None}


def test_labels_join_keys_that_are_equal_whatever_zero_nan_or_width_they_are_written_with() -> None:
    at = pa.array([0, 0, 0]).cast(AT)
    asked = pa.table({"prediction_id": ["a", "b", "c"], "k": pa.array([0.0, float("nan"), 2.5]), "event_time": at})
    told = pa.table(
        {
            "k": pa.array([-0.0, -float("nan"), 2.5], pa.float32()),
            "event_time": at,
            "label": [1.0, 0.0, 1.0],
            "known_at": at,
        }
    )

    assert join_labels(asked, told, ["k"], horizon=DAY)["label"].to_pylist() == [1.0, 0.0, 1.0]
    twice = pa.concat_tables([told, told.set_column(0, "k", pa.array([0.0, 1.0, 1.0], pa.float32()))])
    twice = twice.set_column(2, "label", pa.array([1.0, 0.0, 1.0, 0.0, 0.0, 0.0]))
    assert contradictions(twice, ["k"]) == 1
