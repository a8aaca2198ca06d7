"""The Open Inference Protocol over HTTP: shapes, names, provenance, and one clear error for each bad request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np
import pytest
from starlette.testclient import TestClient

from mercury.models.encoding import Column, Encoding
from mercury.models.inference import build_app
from mercury.models.prediction import FeatureRow, Predictor
from mercury.models.registry import ModelVersion

DELAYS = {"UA": 5.0, "AA": 40.0}


def lookup(keys: Sequence[Mapping[str, Any]], now: int | None) -> list[FeatureRow]:
    return [
        FeatureRow(
            {"delay": DELAYS.get(key["carrier"])}, {"carrier_delay": {"status": "PRESENT", "epoch": 7, "now": now}}
        )
        for key in keys
    ]


@pytest.fixture(scope="module")
def model() -> ModelVersion:
    inputs = np.linspace(0, 50, 400).reshape(-1, 1)
    data = lightgbm.Dataset(inputs, (inputs[:, 0] > 20).astype(float))
    booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 20)
    return ModelVersion("delay", "3", "run", Encoding((Column("delay"),)), "service", {}, booster)


@pytest.fixture(scope="module")
def client(model: ModelVersion) -> TestClient:
    return TestClient(build_app({"delay": Predictor(model, lookup, ["carrier"])}))


def infer(client: TestClient, *carriers: str, **more: Any) -> Any:
    tensor = {"name": "carrier", "datatype": "BYTES", "shape": [len(carriers)], "data": list(carriers)}
    return client.post("/v2/models/delay/infer", json={"inputs": [tensor], **more})


def test_each_row_gets_the_models_own_probability(client: TestClient, model: ModelVersion) -> None:
    answer = infer(client, "UA", "AA", "??", id="r1").json()

    outputs = {output["name"]: output for output in answer["outputs"]}
    expected = model.booster.predict(np.array([[5.0], [40.0], [np.nan]]))
    assert outputs["probability"]["data"] == pytest.approx(list(expected), abs=1e-12)
    assert outputs["probability"]["shape"] == [3]
    assert outputs["prediction_id"]["data"] == ["r1/0", "r1/1", "r1/2"]
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("delay", "3", "r1")


def test_an_answer_says_what_it_came_from(client: TestClient) -> None:
    event_time = {"name": "event_time", "datatype": "INT64", "shape": [1], "data": [1_000_000]}
    carrier = {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["UA"]}

    answer = client.post("/v2/models/delay/infer", json={"inputs": [carrier, event_time]}).json()

    provenance = json.loads(answer["outputs"][2]["data"][0])
    assert provenance == {
        "model_version": "3",
        "features": {"carrier_delay": {"status": "PRESENT", "epoch": 7, "now": 1_000_000}},
    }


def test_predictions_without_a_request_id_get_distinct_ones(client: TestClient) -> None:
    ids = infer(client, "UA", "UA").json()["outputs"][1]["data"]

    assert len(set(ids)) == 2


def test_no_rows_give_no_predictions(client: TestClient) -> None:
    assert [output["data"] for output in infer(client).json()["outputs"]] == [[], [], []]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "the request has no list 'inputs'. Send one tensor for each of: carrier"),
        ({"inputs": []}, 400, "input 'carrier' is missing. Send one tensor for each of: carrier"),
        (
            {"inputs": [{"name": "carier", "data": ["UA"]}]},
            400,
            "input 'carier' is not an entity key. Did you mean 'carrier'?",
        ),
        (
            {"inputs": [{"name": "carrier", "shape": [2], "data": ["UA"]}]},
            400,
            "input 'carrier' has shape [2] and 1 values",
        ),
        (
            {"inputs": [{"name": "carrier", "data": ["UA"]}, {"name": "event_time", "data": ["now"]}]},
            400,
            "event_time is ['now']. Send one INT64, microseconds since 1970 in UTC",
        ),
    ],
)
def test_a_bad_request_gets_one_clear_error(client: TestClient, body: Any, status: int, message: str) -> None:
    answer = client.post("/v2/models/delay/infer", json=body)

    assert (answer.status_code, answer.json()["error"]) == (status, message)


def test_an_unknown_model_or_version_is_not_found(client: TestClient) -> None:
    unknown = client.get("/v2/models/dely")
    version = client.get("/v2/models/delay/versions/9/ready")

    assert (unknown.status_code, unknown.json()["error"]) == (404, "no model is named 'dely'. Did you mean 'delay'?")
    assert version.json()["error"] == "version '9' of 'delay' is not loaded. Version 3 is"


def test_health_and_metadata_follow_the_protocol(client: TestClient) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/delay").json()["inputs"] == [{"name": "carrier", "datatype": "BYTES", "shape": [-1]}]
