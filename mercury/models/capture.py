"""Served predictions kept for the monitor, off the request path.

The request thread appends one tuple to a deque and goes on. A background thread makes Arrow of what has gathered and
appends it to the table of the model's predictions. The queue is bounded: what does not fit is dropped and counted. What
comes in is in the table, dropped, failed, or waiting, whatever happens, and each is counted.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mercury.definitions import arrow_schema
from mercury.errors import UsageError
from mercury.lake import Lake
from mercury.runtime.metrics import Metric, Recorder, Update

if TYPE_CHECKING:
    from mercury.config import Settings
    from mercury.definitions import Model
    from mercury.models.prediction import Prediction
    from mercury.models.registry import ModelVersion
    from mercury.tables import Table

_log = logging.getLogger(__name__)

QUEUE = 10_000
"""Predictions that wait to be written; at 30 features some 20 MB."""

CLOSED = -1
"""Room for predictions of a capture that has ended: not even for none."""

SECONDS = 2.0
"""How often what has gathered is written; as much is lost when the process is killed."""

COMPACT_EVERY = 200
"""Commits after which small files are joined."""

ID, EVENT_TIME, MODEL_VERSION, SCORE = "prediction_id", "event_time", "model_version", "score"
TIMESTAMP = pa.timestamp("us", tz="UTC")

CAPTURE_METRICS = (
    Metric("mercury_capture_rows_total", "counter", "Predictions written to the lake.", ("model",)),
    Metric("mercury_capture_dropped_total", "counter", "Predictions that were not kept.", ("model", "reason")),
)


@dataclass(frozen=True)
class Counted:
    """Predictions that were written, that the full queue did not take, that could not be written, that wait."""

    written: int
    dropped: int
    failed: int
    waiting: int


def predictions_schema(keys: Mapping[str, str], features: Mapping[str, pa.DataType]) -> pa.Schema:
    """Columns of the table: id, event time, version, the entity keys, the features as the model saw them, the score.

    ``keys`` are name and type as in a project's schema. Raises `UsageError` when a key or a feature has a name of
    another column.
    """
    fields = [pa.field(ID, pa.string()), pa.field(EVENT_TIME, TIMESTAMP), pa.field(MODEL_VERSION, pa.string())]
    fields += list(arrow_schema(keys))
    fields += [pa.field(name, kind) for name, kind in features.items()]
    fields.append(pa.field(SCORE, pa.float64()))
    names = [field.name for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name!r} is the name of two columns of captured predictions", fix="Rename the feature")
    return pa.schema(fields)


def key_types(model: Model) -> dict[str, str]:
    """The entity keys of a model with their types, as the labels' source has them."""
    from mercury.models.fitting import entity_keys

    assert model.labels is not None
    return {name: model.labels.schema[name] for name in entity_keys(model)}


def feature_types(version: ModelVersion) -> dict[str, pa.DataType]:
    """The features as a model sees them: text for categories, float64 for all else."""
    return {
        column.name: pa.float64() if column.categories is None else pa.string() for column in version.encoding.columns
    }


def capture_of(model: Model, version: ModelVersion, settings: Settings, recorder: Recorder | None = None) -> Capture:
    """The capture of a model's predictions into its table in the lake."""
    keys = key_types(model)
    schema = predictions_schema(keys, feature_types(version))
    return Capture(model.name, Lake(settings.lake).predictions(model.name), schema, list(keys), recorder=recorder)


class Capture:
    """Keeps the predictions of one model; safe to record to from several threads.

    Parameters
    ----------
    uri : the table, which is made when it is not there.
    schema : of `predictions_schema`.
    keys : names of the entity key columns.
    queue : predictions that may wait; what comes beyond is dropped and counted.
    seconds : how often what has gathered is written.
    recorder : where counts are told; None tells nobody.
    """

    def __init__(
        self,
        model: str,
        uri: str,
        schema: pa.Schema,
        keys: Sequence[str],
        *,
        queue: int = QUEUE,
        seconds: float = SECONDS,
        recorder: Recorder | None = None,
    ) -> None:
        self.model, self.uri, self.schema = model, uri, schema
        self._keys = tuple(keys)
        self._features = tuple(name for name in schema.names[3 + len(keys) : -1])
        self._queue: deque[tuple[Any, ...]] = deque()
        self._limit = self._room = queue
        self._written = self._dropped = self._failed = self._commits = 0
        self._told = (0, 0, 0)
        self._table: Table | None = None
        self._recorder = recorder
        # The first is held for a few instructions by whoever records or takes, so that no prediction is left uncounted.
        # The second is held while the table is written; no request takes it.
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._ended = threading.Event()
        self._seconds = seconds
        self._thread = threading.Thread(target=self._run, name=f"capture-{model}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def record(self, keys: Sequence[Mapping[str, Any]], now: int | None, predictions: Sequence[Prediction]) -> None:
        """Keep the answer to one request: its rows of keys, its time in microseconds UTC (None: the clock)."""
        rows = len(predictions)
        entry = keys, now, time.time_ns() if now is None else 0, predictions
        with self._lock:
            if rows <= self._room:
                self._room -= rows
                self._queue.append(entry)
            else:
                self._dropped += rows

    @property
    def counted(self) -> Counted:
        """What has become of the predictions so far."""
        waiting = sum(len(entry[3]) for entry in list(self._queue))
        return Counted(self._written, self._dropped, self._failed, waiting)

    def flush(self) -> None:
        """Write what has gathered; returns when it is in the table, or counted as failed."""
        with self._writing:
            with self._lock:
                taken, self._queue = self._queue, deque()
                self._room = CLOSED if self._ended.is_set() else self._limit
            if taken:
                self._write(taken)

    def close(self) -> None:
        """Write what is left and stop; records after that are dropped and counted."""
        with self._lock:
            ended = self._ended.is_set()
            self._ended.set()
            self._room = CLOSED
        if not ended:
            if threading.current_thread() is not self._thread:
                self._thread.join()
            atexit.unregister(self.close)
        self.flush()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            self.flush()
        self.flush()

    def _write(self, taken: Sequence[tuple[Any, ...]]) -> None:
        rows = self._rows(taken)
        if rows is not None:
            try:
                self._append(rows)
                self._written += rows.num_rows
            except Exception as error:
                # Serving goes on whatever becomes of its record; that it is lost is counted and said.
                self._fail(rows.num_rows, error)
            else:
                self._compact()
        self._tell()

    def _append(self, rows: pa.Table) -> None:
        from mercury.tables import Table

        if self._table is None:
            self._table = Table.create(self.uri, self.schema, exist_ok=True)
        self._table.append(rows, evolve=True)
        self._commits += 1

    def _compact(self) -> None:
        if self._table is None or self._commits % COMPACT_EVERY:
            return
        try:
            self._table.compact()
        except Exception as error:
            # Another replica may be at it. The rows are in the table all the same.
            _log.warning("the predictions of %s were not compacted: %s", self.model, error)

    def _fail(self, rows: int, error: Exception) -> None:
        self._failed += rows
        _log.warning("%d predictions of %s were not kept: %s", rows, self.model, error)

    def _rows(self, taken: Sequence[tuple[Any, ...]]) -> pa.Table | None:
        """Requests as rows; a request that does not fit the table fails by itself, not with all that came beside it."""
        try:
            return self._table_of(taken)
        except Exception as error:
            if len(taken) == 1:
                self._fail(len(taken[0][3]), error)
                return None
        parts = [self._rows([entry]) for entry in taken]
        kept = [part for part in parts if part is not None]
        return pa.concat_tables(kept) if kept else None

    def _table_of(self, taken: Sequence[tuple[Any, ...]]) -> pa.Table:
        columns: dict[str, list[Any]] = {name: [] for name in self.schema.names}
        for keys, now, clock, predictions in taken:
            at = clock // 1000 if now is None else now
            for row, prediction in zip(keys, predictions, strict=True):
                columns[ID].append(prediction.id)
                columns[EVENT_TIME].append(at)
                columns[MODEL_VERSION].append(prediction.model_version)
                columns[SCORE].append(prediction.probability)
                for name in self._keys:
                    columns[name].append(row.get(name))
                for name in self._features:
                    columns[name].append(prediction.features.values.get(name))
        return pa.table([_column(columns[field.name], field.type) for field in self.schema], schema=self.schema)

    def _tell(self) -> None:
        if self._recorder is None:
            return
        model = {"model": self.model}
        counts = self._written, self._dropped, self._failed
        written, dropped, failed = (now - before for now, before in zip(counts, self._told, strict=True))
        updates = [
            Update("mercury_capture_rows_total", written, model),
            Update("mercury_capture_dropped_total", dropped, {**model, "reason": "queue"}),
            Update("mercury_capture_dropped_total", failed, {**model, "reason": "write"}),
        ]
        try:
            self._recorder.apply(updates)
            self._told = counts
        except Exception as error:
            # What was not told is told with what comes next.
            _log.warning("the counts of captured predictions of %s were not told: %s", self.model, error)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64() if all(isinstance(v, int) for v in values) else kind).cast(kind)
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else float(value) for value in values], kind)
    return pa.array(values, kind)
