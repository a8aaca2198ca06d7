"""What a monitor reads: captured predictions, the model's training set, the rows its labels come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.config import Settings
from mercury.definitions import Model, Monitor, Stream
from mercury.errors import DataError, NotFoundError, TableNotFoundError
from mercury.lake import Lake
from mercury.models.capture import EVENT_TIME, ID, MODEL_VERSION, SCORE, key_types, predictions_schema
from mercury.observability.performance.labels import KNOWN_AT, LABEL

if TYPE_CHECKING:
    from mercury.models.registry import ModelVersion
    from mercury.tables import Table

SKEW_ROWS = 10_000
"""Served rows, the latest, whose features are asked for again."""


@dataclass(frozen=True)
class Watched:
    """Rows of one place whose columns are watched: those of the reference and those since, with their times (int64)."""

    reference: pa.Table
    reference_times: np.ndarray
    current: pa.Table
    current_times: np.ndarray


def training_table(model: Model, lake: Lake) -> str:
    """Where a model's training set lies in the lake when it was kept."""
    return lake.table(f"{model.name}_training")


def read_training(model: Model, settings: Settings, before: int | None) -> pa.Table:
    """The training set that was kept, else the examples before an instant joined anew with their features."""
    from mercury.features import FeatureStore, training_set
    from mercury.models import examples
    from mercury.tables import Table

    address = training_table(model, Lake(settings.lake))
    if Table.exists(address):
        return Table.open(address).read()
    assert model.service is not None
    labels = examples(model, settings, until=before)
    return training_set(FeatureStore.of(settings), model.service, labels, event_time=model.event_time)


def read_champion(model: Model, settings: Settings) -> ModelVersion | None:
    """The version that serves; None without one."""
    from mercury.models.registry import ModelRegistry

    try:
        return ModelRegistry(settings).load(model.name)
    except NotFoundError:
        return None


def read_predictions(model: Model, settings: Settings, until: int | None) -> pa.Table:
    """What was captured, in the order of event time; an empty table when nothing was. Each id counts once."""
    from mercury.models import feature_names
    from mercury.tables import Table

    try:
        table = Table.open(Lake(settings.lake).predictions(model.name))
    except TableNotFoundError:
        kinds = dict.fromkeys(feature_names(model), pa.float64())
        return predictions_schema(key_types(model), kinds).empty_table()
    rows = table.read()
    if until is not None:
        rows = rows.filter(pc.less(rows[EVENT_TIME].cast(pa.int64()), until))
    rows = rows.sort_by([(EVENT_TIME, "ascending"), (ID, "ascending")])
    first = pc.index_in(rows[ID], value_set=pc.unique(rows[ID]))
    return rows if pc.count_distinct(rows[ID]).as_py() == rows.num_rows else rows.take(_firsts(first))


def read_watched(monitor: Monitor, settings: Settings, learned: int, until: int | None) -> tuple[Watched, int]:
    """The values that a monitor watches of its labels' source, apart at ``learned``; and the last time seen there."""
    from mercury.expressions import evaluate

    model = _model(monitor)
    assert model.labels is not None
    table, time = labels_table(model, settings), model.labels.event_time
    assert time is not None
    columns: Mapping[str, str] = {**monitor.watch, _AT: _quoted(time)}
    held = _read(table, [*columns.values()], monitor.watch_where)
    rows = evaluate(columns, held)
    times = instants(rows[_AT])
    seen = instants(table.read(columns=[time])[time])
    last = int(seen.max(initial=-1))
    if until is not None:
        rows, times = rows.filter(pa.array(times < until)), times[times < until]
    rows = rows.drop_columns([_AT])
    early = times < learned
    return Watched(rows.filter(pa.array(early)), times[early], rows.filter(pa.array(~early)), times[~early]), last


def read_labels(model: Model, settings: Settings, now: int) -> pa.Table:
    """Labels that were known by ``now``: entity keys, ``event_time``, ``label`` (0 or 1) and ``known_at``."""
    from mercury.expressions import evaluate
    from mercury.models import entity_keys

    assert model.labels is not None and model.labels.event_time is not None
    columns = {name: _quoted(name) for name in entity_keys(model)}
    columns |= {EVENT_TIME: _quoted(model.event_time), LABEL: model.label, KNOWN_AT: _quoted(model.labels.event_time)}
    rows = evaluate(columns, _read(labels_table(model, settings), [*columns.values()], model.where))
    rows = rows.filter(pc.is_valid(rows[LABEL]))
    rows = rows.filter(pa.array(instants(rows[KNOWN_AT]) < now))
    return rows.set_column(rows.column_names.index(LABEL), LABEL, rows[LABEL].cast(pa.float64()))


def labels_table(model: Model, settings: Settings) -> Table:
    """The table that a model's labels come from; `DataError` when it has no rows yet."""
    from mercury.tables import Table

    assert model.labels is not None
    lake = Lake(settings.lake)
    stream = isinstance(model.labels, Stream)
    address = lake.stream_rows(model.labels.name) if stream else lake.table(model.labels.name)
    try:
        return Table.open(address)
    except TableNotFoundError as error:
        raise DataError(
            f"{model.labels.address} has no rows yet", where=address, fix="Run its stream or job first"
        ) from error


def instants(column: pa.ChunkedArray) -> np.ndarray:
    """int64 microseconds UTC; -1 for null, which lies before everything."""
    return column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).fill_null(-1).to_numpy()


_AT = "__at"


def _read(table: Table, texts: list[str], where: str | None) -> pa.Table:
    from mercury.expressions import Expression

    used = frozenset().union(*(Expression.parse(text).columns for text in texts))
    return table.read(columns=[name for name in table.schema.names if name in used], where=where)


def _firsts(numbers: pa.ChunkedArray) -> pa.Array:
    """Places at which each number stands first."""
    return pa.array(np.sort(np.unique(numbers.to_numpy(), return_index=True)[1]))


def _model(monitor: Monitor) -> Model:
    assert monitor.model is not None
    return monitor.model


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


__all__ = [
    "EVENT_TIME",
    "ID",
    "MODEL_VERSION",
    "SCORE",
    "SKEW_ROWS",
    "Watched",
    "instants",
    "labels_table",
    "read_champion",
    "read_labels",
    "read_predictions",
    "read_training",
    "read_watched",
    "training_table",
]
