"""Training: LightGBM on examples that are split by time, in one Ray task when a Ray runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.definitions import LightGBM
from mercury.errors import DataError, UsageError
from mercury.models.encoding import Encoding
from mercury.models.parameters import parameters
from mercury.time import to_iso


@dataclass(frozen=True)
class Trained:
    """A fitted model as plain values: LightGBM's own text, how to encode its inputs, how it did on later examples.

    ``rows`` counts the examples that taught (``train``), that judged (``test``), and that had no label or no time
    (``unusable``).
    """

    booster: str
    encoding: Encoding
    metrics: Mapping[str, float]
    rows: Mapping[str, int]
    params: Mapping[str, Any] = field(default_factory=dict)


def train(
    examples: pa.Table,
    *,
    label: str,
    event_time: str,
    features: list[str],
    trainer: LightGBM,
    cutoff: int,
    threads: int | None = None,
) -> Trained:
    """Fit on the examples before ``cutoff`` and measure on those from it on.

    Parameters
    ----------
    examples : one row per example: ``features``, the 0/1 (or boolean) column ``label``, timestamp ``event_time``.
    cutoff : microseconds UTC; the split is by time, since a random one would let the future teach the past.
    threads : of LightGBM, and CPUs of the Ray task; None takes ``num_threads`` of the trainer, or one.

    Raises
    ------
    DataError : one side of the split is empty, or has only one class; a label is neither 0 nor 1.
    UsageError : LightGBM does not take the parameters, or no node has that many CPUs.
    """
    params = parameters(trainer, threads)
    arguments = (examples, label, event_time, features, params, trainer.rounds, cutoff)
    # Whoever runs Ray has imported it; without one, its import would cost more than a small training.
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return _fit(*arguments)
    from mercury.runtime.session import original_error

    cpus = params["num_threads"]
    largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    if cpus > largest:
        raise UsageError(f"no node of the cluster has {cpus} CPUs", fix=f"Train with at most {largest:.0f} threads")
    try:
        fitted: Trained = ray.get(ray.remote(_fit).options(name="train", num_cpus=cpus).remote(*arguments))
    except ray.exceptions.RayTaskError as error:
        raise original_error(error) from error
    return fitted


def _fit(
    examples: pa.Table,
    label: str,
    event_time: str,
    features: list[str],
    params: dict[str, Any],
    rounds: int,
    cutoff: int,
) -> Trained:
    import lightgbm

    usable = examples.filter(pc.and_(pc.is_valid(examples[label]), pc.is_valid(examples[event_time])))
    instants = usable[event_time].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    target = _outcomes(usable[label], label)
    early = instants < cutoff
    encoding = Encoding.of(usable.select(features).filter(pa.array(early)))
    inputs = encoding.matrix(usable)
    for side, rows in (("before", early), ("from", ~early)):
        if len(np.unique(target[rows])) < 2:
            raise DataError(
                f"{int(rows.sum())} examples {side} {to_iso(cutoff)} do not hold both classes of {label!r}",
                fix="Move the cutoff or give more data",
            )
    data = lightgbm.Dataset(
        inputs[early], target[early], feature_name=encoding.names, categorical_feature=encoding.categorical
    )
    try:
        booster = lightgbm.train(params, data, num_boost_round=rounds)
    except (lightgbm.basic.LightGBMError, ValueError, TypeError) as error:
        raise UsageError(f"LightGBM does not take its parameters: {error}", where="params of LightGBM") from error
    return Trained(
        booster=booster.model_to_string(),
        encoding=encoding,
        metrics=quality(target[~early], np.asarray(booster.predict(inputs[~early], num_threads=params["num_threads"]))),
        rows={
            "train": int(early.sum()),
            "test": int((~early).sum()),
            "unusable": examples.num_rows - usable.num_rows,
        },
        params=params | {"rounds": rounds},
    )


def _outcomes(column: pa.ChunkedArray, label: str) -> np.ndarray:
    """Labels as 0.0 and 1.0."""
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        target = column.cast(pa.float64()).to_numpy()
        wrong = target[(target != 0) & (target != 1)]
        if not len(wrong):
            return target
        what = f"label {label!r} is {wrong[0]:g} in {len(wrong)} examples, neither 0 nor 1"
    else:
        what = f"label {label!r} has type {kind}"
    raise DataError(what, fix="Make it a condition, as in label='arr_delay > 15'")


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
