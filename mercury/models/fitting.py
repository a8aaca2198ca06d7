"""From a model's definition to a registered version: examples, features as known then, training, registration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mercury.config import Settings
from mercury.definitions import Model, Stream
from mercury.definitions.models import LABEL_COLUMN
from mercury.errors import DataError, UsageError
from mercury.features import FeatureStore, provenance_of, training_set
from mercury.lake import Lake
from mercury.models.registry import CHAMPION, ModelRegistry, check_alias
from mercury.models.training import train
from mercury.runtime import lineage
from mercury.tables import Table
from mercury.time import to_iso

LABEL = LABEL_COLUMN
"""Name of the label's column in a training set."""

EXAMPLES = b"mercury.examples"
"""Key of the schema metadata that says which table and version the examples are of, as JSON."""

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
    """One row per example: entity keys, the time of the prediction, and ``label`` (boolean or number), by time.

    They are sorted by time and keys, so that a compaction of their table does not change what is learnt from them.
    ``until`` (microseconds UTC) leaves out examples whose time is not before it.
    """
    assert model.labels is not None
    lake = Lake(settings.lake)
    stream = isinstance(model.labels, Stream)
    uri = lake.stream_rows(model.labels.name) if stream else lake.table(model.labels.name)
    order = [model.event_time, *entity_keys(model)]
    columns = {name: _quoted(name) for name in order} | {LABEL: model.label}
    from mercury.expressions import Expression, evaluate

    table = Table.open(uri)
    lineage.current().input(uri, version=table.version)
    for text in columns.values():
        Expression.parse(text).check(table.schema)
    used = frozenset().union(*(Expression.parse(text).columns for text in columns.values()))
    held = table.read(columns=[name for name in table.schema.names if name in used], where=model.where)
    rows = evaluate(columns, held)
    if until is not None:
        rows = rows.filter(pc.less(rows[model.event_time].cast(pa.int64()), until))
    if rows.num_rows == 0:
        raise DataError(f"there are no examples of {model.address}", where=uri, fix="Run its stream or job first")
    told = json.dumps({"table": uri, "table_version": table.version, "where": model.where, "label": model.label})
    return rows.sort_by([(name, "ascending") for name in order]).replace_schema_metadata({EXAMPLES: told.encode()})


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
    threads: int | None = None,
) -> Fitted:
    """Train a model on what its service knew, judge it on later examples, and register it.

    Parameters
    ----------
    training : the training set; None joins it now.
    until : only examples before this instant (microseconds UTC); not with a training set, which is taken as it is.
    cutoff : examples from this instant on judge the model; None takes the latest fifth.
    alias : what to call the new version in the registry.
    threads : of LightGBM; None takes ``num_threads`` of the trainer, or one.

    Raises `UsageError` for parameters that cannot be used, `DataError` for examples that cannot teach or judge.
    """
    assert model.service is not None
    if training is not None and until is not None:
        raise UsageError("a training set is given, and until", fix="Give a training set of the examples before it")
    check_alias(alias)
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
            threads=threads,
        )
        made_from: dict[str, Any] = {
            **provenance_of(training),
            "labels": json.loads((training.schema.metadata or {}).get(EXAMPLES, b"null")),
            "model_definition": model.version,
            "cutoff": to_iso(where),
            "run": run.id,
        }
        version = ModelRegistry(settings).register(
            model.name, trained, service=model.service.name, provenance=made_from, alias=alias
        )
        run.output(f"models/{model.name}", version=version, namespace=settings.mlflow_tracking_uri)
    return Fitted(model.name, version, trained.metrics, trained.rows, where)


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _late_fifth(training: pa.Table, event_time: str) -> int:
    times = training[event_time].drop_null().cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    if len(times) < 10:
        raise UsageError(f"{len(times)} examples cannot be split by time", fix="Give more data, or a cutoff")
    cut = pc.quantile(times, 1 - TEST_SHARE, interpolation="lower")[0].as_py()
    return int(cut)
