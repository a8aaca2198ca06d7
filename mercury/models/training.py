"""Training: LightGBM on examples that are split by time, in one Ray task when a Ray runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.definitions import LightGBM
from mercury.errors import DataError
from mercury.models.encoding import Encoding
from mercury.time import to_iso

DEFAULTS: dict[str, Any] = {"objective": "binary", "metric": "binary_logloss", "verbosity": -1, "seed": 1}
"""LightGBM parameters that a definition overrides; `deterministic` and one thread make two runs give equal trees."""


@dataclass(frozen=True)
class Trained:
    """A fitted model as plain values: LightGBM's own text, how to encode its inputs, how it did on later examples."""

    booster: str
    encoding: Encoding
    metrics: Mapping[str, float]
    rows: Mapping[str, int]
    params: Mapping[str, Any] = field(default_factory=dict)


def train(
    examples: pa.Table, *, label: str, event_time: str, features: list[str], trainer: LightGBM, cutoff: int
) -> Trained:
    """Fit on the examples before ``cutoff`` and measure on those from it on.

    Parameters
    ----------
    examples : one row per example: ``features``, the 0/1 (or boolean) column ``label``, timestamp ``event_time``.
    cutoff : microseconds UTC; the split is by time, since a random one would let the future teach the past.

    Raises
    ------
    DataError : one side of the split is empty, or has only one class.
    """
    import ray

    arguments = (examples, label, event_time, features, trainer, cutoff)
    if ray.is_initialized():
        fitted: Trained = ray.get(ray.remote(_fit).options(name="train").remote(*arguments))
        return fitted
    return _fit(*arguments)


def _fit(
    examples: pa.Table, label: str, event_time: str, features: list[str], trainer: LightGBM, cutoff: int
) -> Trained:
    import lightgbm

    usable = examples.filter(pc.is_valid(examples[label]))
    instants = usable[event_time].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    target = usable[label].cast(pa.float64()).to_numpy()
    encoding = Encoding.of(usable.select(features).filter(pa.array(instants < cutoff)))
    inputs = encoding.matrix(usable)
    early = instants < cutoff
    for side, rows in (("before", early), ("from", ~early)):
        if len(np.unique(target[rows])) < 2:
            raise DataError(
                f"{int(rows.sum())} examples {side} {to_iso(cutoff)} do not hold both classes of {label!r}",
                fix="Move the cutoff or give more data",
            )
    params = {**DEFAULTS, "deterministic": True, "force_row_wise": True, **trainer.params}
    data = lightgbm.Dataset(
        inputs[early], target[early], feature_name=encoding.names, categorical_feature=encoding.categorical
    )
    booster = lightgbm.train(params, data, num_boost_round=trainer.rounds)
    return Trained(
        booster=booster.model_to_string(),
        encoding=encoding,
        metrics=quality(target[~early], np.asarray(booster.predict(inputs[~early]))),
        rows={"train": int(early.sum()), "test": int((~early).sum())},
        params=params | {"rounds": trainer.rounds},
    )


def quality(target: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """How well probabilities rank and fit 0/1 outcomes: ROC AUC, average precision, log loss, Brier score."""
    from sklearn import metrics

    return {
        "auc": float(metrics.roc_auc_score(target, probability)),
        "average_precision": float(metrics.average_precision_score(target, probability)),
        "log_loss": float(metrics.log_loss(target, probability)),
        "brier": float(metrics.brier_score_loss(target, probability)),
        "positive_share": float(target.mean()),
    }
