"""From a model's definition to a registered version: examples, features as known then, training, registration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mercury.config import Settings
from mercury.definitions import Model, Stream
from mercury.errors import DataError, UsageError
from mercury.features import FeatureStore, provenance_of, training_set
from mercury.lake import Lake
from mercury.models.registry import CHAMPION, ModelRegistry
from mercury.models.training import train
from mercury.runtime import lineage
from mercury.tables import Table

LABEL = "label"
"""Name of the label's column in a training set."""

TEST_SHARE = 0.2
"""Share of the examples, the latest, that judge a model when no cutoff is given."""


@dataclass(frozen=True)
class Fitted:
    """A registered version, how it did on later examples, and on how many it was trained and judged."""

    name: str
    version: str
    metrics: Mapping[str, float]
    rows: Mapping[str, int]
    cutoff: int


def examples(model: Model, settings: Settings, *, until: int | None = None) -> pa.Table:
    """One row per example: entity keys, the time of the prediction, and ``label`` (boolean or number), in no order.

    ``until`` (microseconds UTC) leaves out examples whose time is not before it.
    """
    assert model.labels is not None
    lake = Lake(settings.lake)
    stream = isinstance(model.labels, Stream)
    uri = lake.stream_rows(model.labels.name) if stream else lake.table(model.labels.name)
    keys = entity_keys(model)
    columns = {**{key: key for key in keys}, model.event_time: model.event_time, LABEL: model.label}
    from mercury.expressions import evaluate

    table = Table.open(uri)
    lineage.current().input(uri, version=table.version)
    rows = evaluate(columns, table.read(), where=model.where)
    if until is not None:
        rows = rows.filter(pc.less(rows[model.event_time].cast(pa.int64()), until))
    if rows.num_rows == 0:
        raise DataError(f"there are no examples of {model.address}", where=uri, fix="Run its stream or job first")
    return rows


def entity_keys(model: Model) -> list[str]:
    """The entity key columns of all views of the model's service, each once, in order."""
    assert model.service is not None
    return list(dict.fromkeys(key for view in model.service.views if view.entity for key in view.entity.keys))


def feature_names(model: Model) -> list[str]:
    """The features of the model's service, in order."""
    assert model.service is not None
    return [name for view in model.service.views for name in view.columns]


def fit(
    model: Model,
    settings: Settings,
    *,
    training: pa.Table | None = None,
    until: int | None = None,
    cutoff: int | None = None,
    alias: str = CHAMPION,
) -> Fitted:
    """Train a model on what its service knew, judge it on later examples, and register it.

    Parameters
    ----------
    training : the training set; None joins it now.
    until : only examples before this instant (microseconds UTC).
    cutoff : examples from this instant on judge the model; None takes the latest fifth.
    alias : what to call the new version in the registry.
    """
    assert model.service is not None
    with lineage.run(f"train.{model.name}", settings=settings) as run:
        if training is None:
            labels = examples(model, settings, until=until)
            training = training_set(FeatureStore.of(settings), model.service, labels, event_time=model.event_time)
        else:
            for name, read in provenance_of(training).get("views", {}).items():
                run.input(Lake(settings.lake).feature_runs(name), version=read.get("data_version"))
        where = cutoff if cutoff is not None else _late_fifth(training, model.event_time)
        trained = train(
            training,
            label=LABEL,
            event_time=model.event_time,
            features=feature_names(model),
            trainer=model.trainer,
            cutoff=where,
        )
        made_from: dict[str, Any] = {**provenance_of(training), "run": run.id}
        version = ModelRegistry(settings).register(
            model.name, trained, service=model.service.name, provenance=made_from, alias=alias
        )
        run.output(f"models/{model.name}", version=version, namespace=settings.mlflow_tracking_uri)
    return Fitted(model.name, version, trained.metrics, trained.rows, where)


def _late_fifth(training: pa.Table, event_time: str) -> int:
    times = training[event_time].cast(pa.int64())
    if len(times) < 10:
        raise UsageError(f"{len(times)} examples cannot be split by time", fix="Give more data, or a cutoff")
    cut = pc.quantile(times, 1 - TEST_SHARE, interpolation="lower")[0].as_py()
    return int(cut)
