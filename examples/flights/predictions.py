"""Requests for predictions as an application would send them, and how good the answers were once flights had landed."""

from __future__ import annotations

import http.client
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flights.events import MINUTE
from mercury.config import Settings
from mercury.definitions import Model
from mercury.errors import DataError
from mercury.features import FeatureStore, training_set
from mercury.models import entity_keys, examples, feature_names, quality
from mercury.models.fitting import LABEL

HORIZON = 54 * MINUTE
"""A round asks for flights that leave within this time: inside one hour, so that no feature changes meanwhile."""


SINGLE = 8
"""Of each round so many flights are asked for one by one, as a gate display would; the rest in one request."""


class FlightRequests:
    """Sends rounds of requests and remembers every answer."""

    def __init__(self, url: str, model: Model, flights: pa.Table) -> None:
        address = urlparse(url)
        assert address.hostname is not None and address.port is not None
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        self._model = model
        self._keys = entity_keys(model)
        self._features = feature_names(model)
        self._flights = flights.select(["flight_id", "carrier", "origin", "sched_dep"]).sort_by("sched_dep")
        self._times = self._flights["sched_dep"].cast(pa.int64()).to_numpy()
        self._asked: list[dict[str, Any]] = []
        self._milliseconds: list[float] = []

    @property
    def count(self) -> int:
        """Predictions so far."""
        return len(self._asked)

    def ask(self, now: int) -> int:
        """Ask for the flights that leave soon after ``now`` (microseconds UTC), each as of its departure."""
        low, high = np.searchsorted(self._times, [now, now + HORIZON])
        rows = self._flights.slice(low, high - low).to_pylist()
        for row in rows[:SINGLE]:
            self._predict([row], int(row["sched_dep"].timestamp() * 1e6))
        by_time: dict[int, list[dict[str, Any]]] = {}
        for row in rows[SINGLE:]:
            by_time.setdefault(int(row["sched_dep"].timestamp() * 1e6), []).append(row)
        for at, together in by_time.items():
            self._predict(together, at)
        return len(rows)

    def judge(self, settings: Settings, model: Model) -> dict[str, Any]:
        """Predictions against what happened, and served features against the point-in-time join."""
        if not self._asked:
            raise DataError("no flight was predicted", fix="The feed is shorter than the time of training")
        served = pa.Table.from_pylist(self._asked)
        assert model.service is not None
        labels = served.select([*self._keys, model.event_time])
        joined = training_set(FeatureStore.of(settings), model.service, labels, event_time=model.event_time)
        differing = {
            name: sum(
                not _same(mine, theirs)
                for mine, theirs in zip(served[name].to_pylist(), joined[name].to_pylist(), strict=True)
            )
            for name in self._features
        }
        truth = examples(model, settings).select(["flight_id", LABEL])
        landed = served.select(["flight_id", "probability"]).join(truth, "flight_id", join_type="inner")
        scores = quality(
            landed[LABEL].cast(pa.float64()).to_numpy(), landed["probability"].to_numpy(zero_copy_only=False)
        )
        return {
            "count": self.count,
            "requests": len(self._milliseconds),
            "landed": landed.num_rows,
            "median_ms": round(statistics.median(self._milliseconds), 2),
            "p99_ms": round(float(np.quantile(self._milliseconds, 0.99)), 2),
            "values": served.num_rows * len(self._features),
            "differing": sum(differing.values()),
            "differing_by_feature": {name: count for name, count in differing.items() if count},
            "ids": len(pc.unique(served["prediction_id"])),
            "model_versions": sorted(set(served["model_version"].to_pylist())),
            "auc": round(scores["auc"], 4),
            "brier": round(scores["brier"], 4),
        }

    def _predict(self, rows: Sequence[Mapping[str, Any]], at: int) -> None:
        inputs = [{"name": key, "datatype": "BYTES", "shape": [len(rows)], "data": [row[key] for row in rows]}
                  for key in self._keys]  # fmt: skip
        inputs.append({"name": "event_time", "datatype": "INT64", "shape": [1], "data": [at]})
        began = time.perf_counter()
        answer = self._post(f"/v2/models/{self._model.name}/infer", {"inputs": inputs})
        self._milliseconds.append((time.perf_counter() - began) * 1e3)
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        features = self._served_features(rows, at)
        for place, row in enumerate(rows):
            provenance = json.loads(outputs["provenance"][place])
            if set(provenance["features"]) != {view.name for view in self._views()}:
                raise DataError(f"a prediction lacks provenance: {provenance}")
            self._asked.append(
                {
                    **row,
                    "probability": outputs["probability"][place],
                    "prediction_id": outputs["prediction_id"][place],
                    "model_version": answer["model_version"],
                    **{name: values[place] for name, values in features.items()},
                }
            )

    def _served_features(self, rows: Sequence[Mapping[str, Any]], at: int) -> dict[str, list[Any]]:
        assert self._model.service is not None
        answer = self._post(
            "/features/get-online-features",
            {
                "feature_service": self._model.service.name,
                "entities": {key: [row[key] for row in rows] for key in self._keys},
                "event_time": at,
            },
        )
        names = answer["metadata"]["feature_names"]
        return {
            name: result["values"]
            for name, result in zip(names, answer["results"], strict=True)
            if name in self._features
        }

    def _views(self) -> Sequence[Any]:
        assert self._model.service is not None
        return self._model.service.views

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise DataError(f"{path} answered {answer.status}: {text[:300].decode(errors='replace')}")
        return json.loads(text)


def _same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, float) and isinstance(theirs, float):
        return mine == theirs or math.isclose(mine, theirs, rel_tol=1e-9) or (math.isnan(mine) and math.isnan(theirs))
    return bool(mine == theirs)
