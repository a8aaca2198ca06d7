"""Training on real flights: later examples judge, the figures are scikit-learn's, and parameters mean what they say."""

from __future__ import annotations

import time
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from mercury.definitions import LightGBM
from mercury.errors import DataError, UsageError
from mercury.models import Trained
from mercury.models.parameters import parameters
from mercury.models.training import train
from mercury.time import parse_instant
from tests.models.conftest import first_week

FEATURES = ["carrier", "origin", "distance", "hour"]
CUTOFF = parse_instant("2013-01-06")


@pytest.fixture(scope="module")
def week(flights: pa.Table) -> pa.Table:
    rows = first_week(flights)
    return rows.append_column("late", pc.greater(rows["arr_delay"], 15))


def fitted(examples: pa.Table, *, label: str = "late", cutoff: int = CUTOFF, rounds: int = 5, **params: Any) -> Trained:
    trainer = LightGBM(params=params, rounds=rounds)
    return train(examples, label=label, event_time="sched_dep", features=FEATURES, trainer=trainer, cutoff=cutoff)


def trees(trained: Trained) -> str:
    """LightGBM's text without the parameters that it ends with."""
    return trained.booster.partition("\nparameters:")[0]


def test_metrics_are_those_of_the_later_examples(week: pa.Table) -> None:
    trained = fitted(week, rounds=20)

    known = week.filter(pc.is_valid(week["late"]))
    later = known.filter(pc.greater_equal(known["sched_dep"].cast(pa.int64()), CUTOFF))
    scores = np.asarray(lightgbm.Booster(model_str=trained.booster).predict(trained.encoding.matrix(later)))
    target = later["late"].to_numpy()
    assert trained.metrics["auc"] == pytest.approx(roc_auc_score(target, scores), abs=1e-12)
    assert trained.metrics["brier"] == pytest.approx(brier_score_loss(target, scores), abs=1e-12)
    assert trained.metrics["auc"] > 0.6
    assert trained.rows == {
        "train": known.num_rows - later.num_rows,
        "test": later.num_rows,
        "unusable": week["late"].null_count,
    }


def test_the_same_trees_grow_again_and_with_any_number_of_threads(week: pa.Table) -> None:
    first, again, two = fitted(week), fitted(week), fitted(week, num_threads=2)

    assert first.booster == again.booster
    assert trees(first) == trees(two)


def test_another_seed_gives_other_trees_by_any_of_its_names(week: pa.Table) -> None:
    bagging: dict[str, Any] = {"bagging_fraction": 0.5, "bagging_freq": 1}
    default = fitted(week, **bagging)
    seven, alias = (fitted(week, **(bagging | {name: 7})) for name in ("seed", "random_state"))

    assert trees(default) != trees(seven)
    assert seven.booster == alias.booster


def test_one_thread_is_used_unless_told_otherwise(week: pa.Table) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    trained = fitted(week, rounds=50)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu

    assert trained.params["num_threads"] == 1
    assert "[num_threads: 1]" in trained.booster
    # No bound on speed: threads that spin would show as more CPU time than time.
    assert cpu < 1.3 * wall + 0.1
    assert parameters(LightGBM(params={"n_jobs": 3}))["num_threads"] == 3
    assert parameters(LightGBM(params={"n_jobs": 3}), threads=2)["num_threads"] == 2


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"num_leavs": 7}, r"LightGBM has no parameter 'num_leavs' .* Did you mean 'num_leaves'\?"),
        ({"seed": 1, "random_state": 2}, "parameter 'seed' is given twice"),
        ({"n_estimators": 50}, r"parameter 'n_estimators' cannot be given .* Give LightGBM\(rounds=…\)"),
        ({"early_stopping_rounds": 5}, "parameter 'early_stopping_rounds' cannot be given"),
        ({"objective": "regression"}, "objective 'regression' does not give probabilities"),
        ({"num_threads": 0}, "num_threads is 0"),
        ({"num_leaves": 1}, "LightGBM does not take its parameters: .*num_leaves"),
        ({"learning_rate": "fast"}, "LightGBM does not take its parameters: Unknown token fast"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(week: pa.Table, params: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fitted(week, **params)


def test_a_split_without_both_classes_is_refused_with_its_cutoff(week: pa.Table) -> None:
    with pytest.raises(DataError, match=r"0 examples from 2014-01-01T00:00:00Z do not hold both classes of 'late'"):
        fitted(week, cutoff=parse_instant("2014-01-01"))


def test_a_label_is_a_condition_or_zero_and_one(week: pa.Table) -> None:
    numbers = week.append_column("bit", week["late"].cast(pa.int64()))

    assert trees(fitted(numbers, label="bit")) == trees(fitted(week))
    with pytest.raises(DataError, match=r"label 'arr_delay' is \S+ in \d+ examples, neither 0 nor 1"):
        fitted(week, label="arr_delay")
    with pytest.raises(DataError, match="label 'origin' has type string"):
        fitted(week, label="origin")


@pytest.mark.ray
def test_a_ray_task_gives_the_same_model_and_the_same_errors(week: pa.Table, ray_local: object) -> None:
    assert trees(fitted(week, num_threads=2)) == trees(fitted(week))
    with pytest.raises(DataError, match="label 'origin' has type string") as caught:
        fitted(week, label="origin")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"no node of the cluster has 64 CPUs\. Train with at most 4 threads"):
        fitted(week, num_threads=64)
