"""Training on real flights: later examples judge, and the figures are scikit-learn's."""

from __future__ import annotations

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from mercury.definitions import LightGBM
from mercury.errors import DataError
from mercury.models.training import train
from mercury.time import parse_instant

FEATURES = ["carrier", "origin", "distance", "hour"]
CUTOFF = parse_instant("2013-01-22")


@pytest.fixture(scope="module")
def january(flights: pa.Table) -> pa.Table:
    rows = flights.filter(pc.and_(pc.equal(flights["month"], 1), pc.is_valid(flights["arr_delay"])))
    return rows.append_column("late", pc.greater(rows["arr_delay"], 15))


def test_metrics_are_those_of_the_later_examples(january: pa.Table) -> None:
    trained = train(
        january, label="late", event_time="time_hour", features=FEATURES, trainer=LightGBM(rounds=20), cutoff=CUTOFF
    )

    later = january.filter(pc.greater_equal(january["time_hour"].cast(pa.int64()), CUTOFF))
    scores = np.asarray(lightgbm.Booster(model_str=trained.booster).predict(trained.encoding.matrix(later)))
    target = later["late"].to_numpy()
    assert trained.metrics["auc"] == pytest.approx(roc_auc_score(target, scores), abs=1e-12)
    assert trained.metrics["brier"] == pytest.approx(brier_score_loss(target, scores), abs=1e-12)
    assert trained.rows == {"train": january.num_rows - later.num_rows, "test": later.num_rows}
    assert trained.metrics["auc"] > 0.55


def test_two_trainings_give_the_same_trees(january: pa.Table) -> None:
    first, second = (
        train(
            january, label="late", event_time="time_hour", features=FEATURES, trainer=LightGBM(rounds=5), cutoff=CUTOFF
        )
        for _ in range(2)
    )

    assert first.booster == second.booster


def test_a_split_without_both_classes_is_refused_with_its_cutoff(january: pa.Table) -> None:
    with pytest.raises(DataError, match=r"0 examples from 2014-01-01T00:00:00Z do not hold both classes of 'late'"):
        train(
            january,
            label="late",
            event_time="time_hour",
            features=FEATURES,
            trainer=LightGBM(rounds=5),
            cutoff=parse_instant("2014-01-01"),
        )
