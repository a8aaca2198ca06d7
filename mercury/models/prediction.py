"""Answering prediction requests: features as known then, the model, and where the answer is from."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mercury.errors import NotFoundError
from mercury.models.registry import ModelVersion

MISSING = "MISSING"
"""Status of a view that knows nothing of an entity."""


@dataclass(frozen=True)
class FeatureRow:
    """The features of one request row, and for each view what they came from.

    ``provenance`` maps a view's name to its status, event time and the epoch or table version of the value.
    """

    values: Mapping[str, Any]
    provenance: Mapping[str, Mapping[str, Any]]


class FeatureLookup(Protocol):
    """Where a predictor gets features: one row of features for each row of entity keys, as known at ``now``."""

    def __call__(self, keys: Sequence[Mapping[str, Any]], now: int | None) -> Sequence[FeatureRow]: ...


class Keeper(Protocol):
    """Keeps what was answered, off the request path (`mercury.models.capture.Capture`)."""

    def record(self, keys: Sequence[Mapping[str, Any]], now: int | None, predictions: Sequence[Prediction]) -> None:
        """Take one request's rows, time and answers, without waiting for anything."""
        ...

    def close(self) -> None:
        """Keep what was taken, and stop."""
        ...


@dataclass(frozen=True)
class Prediction:
    """One answer and all that is needed to trace it back."""

    id: str
    probability: float
    model: str
    model_version: str
    features: FeatureRow


class Predictor:
    """A model version with its feature lookup; safe to call from several threads.

    Parameters
    ----------
    model : the registered version to answer with.
    lookup : features by entity key.
    keys : name and type (as in a project's schema) of the entity key columns that a request must give, in order.
    capture : where answers are kept for the monitor; None keeps none.
    """

    def __init__(
        self, model: ModelVersion, lookup: FeatureLookup, keys: Mapping[str, str], *, capture: Keeper | None = None
    ) -> None:
        self.model = model
        self.capture = capture
        self.keys = dict(keys)
        self._lookup = lookup

    def predict(
        self, keys: Sequence[Mapping[str, Any]], *, now: int | None = None, ids: Sequence[str] | None = None
    ) -> list[Prediction]:
        """One prediction per row of entity keys, in order.

        ``now`` is the time of the request in microseconds UTC (None: the clock), which decides what is expired;
        ``ids`` name the predictions, else each gets a random one. A view that knows nothing of an entity leaves its
        features missing, as in training. Raises `NotFoundError` for a row of which no view knows anything: an answer
        would say nothing about it.
        """
        rows = self._lookup(keys, now)
        for place, row in enumerate(rows):
            if row.provenance and all(view.get("status") == MISSING for view in row.provenance.values()):
                asked = ", ".join(f"{key}={keys[place].get(key)!r}" for key in self.keys)
                raise NotFoundError(
                    f"no feature is known of row {place}, {asked}", fix="Check the keys and the time of the request"
                )
        inputs = self.model.encoding.vector([row.values for row in rows])
        # One thread: a request has few rows, and starting threads costs more than the trees.
        scores = np.asarray(self.model.booster.predict(inputs, num_threads=1)) if len(rows) else np.empty(0)
        names = list(ids) if ids is not None else [uuid.uuid4().hex for _ in rows]
        answers = [
            Prediction(name, float(score), self.model.name, self.model.version, row)
            for name, score, row in zip(names, scores, rows, strict=True)
        ]
        if self.capture is not None:
            self.capture.record(keys, now, answers)
        return answers
