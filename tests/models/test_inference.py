"""The Open Inference Protocol over HTTP: shapes, names, provenance, and one clear error for each bad request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np
import pytest
from starlette.testclient import TestClient

from mercury.errors import UsageError
from mercury.models import protocol
from mercury.models.encoding import Column, Encoding
from mercury.models.inference import MAX_BYTES, build_app
from mercury.models.prediction import FeatureRow, Predictor
from mercury.models.protocol import read_request
from mercury.models.registry import ModelVersion

KEYS = {"carrier": "string"}
DELAYS = {"UA": 5.0, "AA": 40.0}


def lookup(keys: Sequence[Mapping[str, Any]], now: int | None) -> list[FeatureRow]:
    return [
        FeatureRow(
            {"delay": DELAYS.get(key["carrier"])},
            {
                "carrier_delay": {
                    "status": "MISSING" if key["carrier"] == "nobody" else "PRESENT",
                    "epoch": 7,
                    "now": now,
                },
                "weather": {"status": "MISSING" if key["carrier"] == "nobody" else "EXPIRED"},
            },
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
    return TestClient(build_app({"delay": Predictor(model, lookup, KEYS)}))


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
        "features": {
            "carrier_delay": {"status": "PRESENT", "epoch": 7, "now": 1_000_000},
            "weather": {"status": "EXPIRED"},
        },
    }


def test_a_request_without_an_id_gets_one_and_its_predictions_distinct_ones(client: TestClient) -> None:
    first, second = (infer(client, "UA", "UA").json() for _ in range(2))

    ids = first["outputs"][1]["data"] + second["outputs"][1]["data"]
    assert len(set(ids)) == 4
    assert ids[:2] == [f"{first['id']}/0", f"{first['id']}/1"]


def test_only_the_outputs_that_are_asked_for_are_given(client: TestClient) -> None:
    answer = infer(client, "UA", outputs=[{"name": "prediction_id"}], id="r").json()

    assert answer["outputs"] == [{"name": "prediction_id", "datatype": "BYTES", "shape": [1], "data": ["r/0"]}]


def test_a_column_may_be_a_matrix_of_one_column(client: TestClient) -> None:
    tensor = {"name": "carrier", "datatype": "BYTES", "shape": [2, 1], "data": [["UA"], ["AA"]]}
    answer = client.post("/v2/models/delay/infer", json={"inputs": [tensor]}).json()

    assert answer["outputs"][0]["data"] == infer(client, "UA", "AA").json()["outputs"][0]["data"]


def test_a_row_of_which_nothing_is_known_is_not_found(client: TestClient) -> None:
    answer = infer(client, "UA", "nobody")

    message = "no feature is known of row 1, carrier='nobody'. Check the keys and the time of the request"
    assert (answer.status_code, answer.json()["error"]) == (404, message)


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
            "input 'carrier' has shape [2] and 1 values. Send shape [1]",
        ),
        (
            {"inputs": [{"name": "carrier", "datatype": "FP64", "data": [1.5]}]},
            400,
            "input 'carrier' has datatype 'FP64'. Send BYTES",
        ),
        (
            {"inputs": [{"name": "carrier", "datatype": "BYTES", "data": ["UA", 7]}]},
            400,
            "value 1 of input 'carrier' is 7, not BYTES",
        ),
        (
            {"inputs": [{"name": "carrier", "data": ["UA"]}, {"name": "carrier", "data": ["AA"]}]},
            400,
            "input 'carrier' is given twice",
        ),
        ({"inputs": [{"name": "carrier"}]}, 400, "input 'carrier' has no list 'data'"),
        ({"inputs": [{"data": ["UA"]}]}, 400, "inputs[0] has no 'name'. Send one tensor for each of: carrier"),
        ({"inputs": [], "id": 7}, 400, "id is 7. Send text, or leave it out"),
        (
            {"inputs": [{"name": "carrier", "data": ["UA"]}], "outputs": [{"name": "probabilty"}]},
            400,
            "no output is named 'probabilty'. Did you mean 'probability'?",
        ),
        (
            {"inputs": [{"name": "carrier", "data": ["UA"]}, {"name": "event_time", "data": [True]}]},
            400,
            "event_time is [True]. Send one INT64, microseconds since 1970 in UTC",
        ),
        (
            {"inputs": [{"name": "carrier", "data": ["UA"] * 10_001}]},
            400,
            "10001 rows in one request. Send at most 10000",
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


@pytest.mark.parametrize("body", [b"", b"{", b'{"inputs": [NaN]}', b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_refused_in_the_protocols_words(client: TestClient, body: bytes) -> None:
    answer = client.post("/v2/models/delay/infer", content=body)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the body is not JSON: ")


def test_a_body_beyond_the_limit_is_refused(client: TestClient) -> None:
    answer = client.post("/v2/models/delay/infer", content=b" " * (MAX_BYTES + 1))

    assert (answer.status_code, answer.json()["error"]) == (413, "the body has more than 16777216 bytes")


def test_what_is_not_of_the_protocol_is_refused_in_its_words(client: TestClient) -> None:
    path = client.get("/v1/models")
    method = client.get("/v2/models/delay/infer")

    assert (path.status_code, path.json()) == (404, {"error": "GET /v1/models is not of the protocol: Not Found"})
    assert (method.status_code, "GET /v2/models/delay/infer" in method.json()["error"]) == (405, True)


@pytest.mark.parametrize(
    ("kind", "datatype", "good", "bad"),
    [
        ("string", "BYTES", "UA", 1),
        ("int64", "INT64", -5, 1.5),
        ("int32", "INT64", 5, True),
        ("timestamp", "INT64", 1_000_000, "2013-01-01"),
        ("date", "BYTES", "2013-01-01", 15_706),
        ("bool", "BOOL", True, 1),
    ],
)
def test_keys_have_the_datatype_of_their_column(kind: str, datatype: str, good: Any, bad: Any) -> None:
    keys = {"key": protocol.datatype(kind)}

    def read(value: Any) -> list[dict[str, Any]]:
        return read_request({"inputs": [{"name": "key", "datatype": datatype, "data": [value]}]}, keys).rows

    assert read(good) == [{"key": good}]
    assert read(None) == [{"key": None}]
    with pytest.raises(UsageError, match=f"value 0 of input 'key' is .*, not {datatype}"):
        read(bad)


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(UsageError, match="not INT64"):
        read_request({"inputs": [{"name": "key", "data": [1 << 63]}]}, {"key": "INT64"})


def test_an_unknown_model_or_version_is_not_found(client: TestClient) -> None:
    unknown = client.get("/v2/models/dely")
    version = client.get("/v2/models/delay/versions/9/ready")

    assert (unknown.status_code, unknown.json()["error"]) == (404, "no model is named 'dely'. Did you mean 'delay'?")
    assert version.json()["error"] == "version '9' of 'delay' is not loaded. Version 3 is"


def test_health_and_metadata_follow_the_protocol(client: TestClient) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models").json() == {"models": ["delay"]}
    assert client.get("/v2/models/delay/ready").json() == {"name": "delay", "ready": True}
    assert client.get("/v2/models/delay").json()["inputs"] == [{"name": "carrier", "datatype": "BYTES", "shape": [-1]}]
