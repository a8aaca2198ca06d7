"""The model server on Ray Serve, as `mercury serve` starts it: the protocol over HTTP, on loopback."""

from __future__ import annotations

import http.client
import importlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pyarrow.compute as pc
import pytest
import yaml

from mercury.definitions import FeatureView, Project, SemanticModel, Stream
from mercury.errors import PortInUseError, UsageError
from mercury.models import predictors
from mercury.models.prediction import Prediction
from mercury.projects import load_project
from mercury.runtime.loopback import free_ports
from mercury.serving.applications import APPLICATIONS, applications_of
from mercury.time import parse_instant
from tests.listening import beyond_loopback, listening
from tests.models.conftest import Risk

ROOT = Path(__file__).parents[2]
NOW = parse_instant("2013-01-08")


@pytest.fixture(scope="module")
def server(risk: Risk, ray_local: object) -> Iterator[str]:
    """Address of the services of the project."""
    from mercury.serving.applications import serving

    with serving(risk.settings, ["features", "models"], port=free_ports(1)[0]) as url:
        yield url


def call(url: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    address = urlparse(url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    try:
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, sent, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def request(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    keys = {"flight_id": "BYTES", "airline": "INT64"}
    inputs = [
        {"name": key, "datatype": kind, "shape": [len(rows)], "data": [row[key] for row in rows]}
        for key, kind in keys.items()
    ]
    inputs.append({"name": "event_time", "datatype": "INT64", "shape": [1], "data": [NOW]})
    return {"inputs": inputs, **more}


def infer(url: str, body: Any, model: str = "risk") -> tuple[int, Any]:
    return call(url, "POST", f"/v2/models/{model}/infer", body)


def outputs(answer: Any) -> dict[str, list[Any]]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def sample(risk: Risk, count: int) -> list[dict[str, Any]]:
    """Keys of flights of several carriers, spread over the week."""
    step = risk.flights.num_rows // count
    rows: list[dict[str, Any]] = risk.flights.select(["flight_id", "airline"]).to_pylist()[::step][:count]
    return rows


def expected(risk: Risk, rows: list[dict[str, Any]]) -> list[Prediction]:
    """What the model answers in this process."""
    return predictors(risk.project, risk.settings)["risk"].predict(rows, now=NOW)


@pytest.mark.ray
def test_health_and_metadata_are_the_protocols(server: str, risk: Risk) -> None:
    from mercury import __version__

    assert call(server, "GET", "/v2") == (200, {"name": "mercury", "version": __version__, "extensions": []})
    assert call(server, "GET", "/v2/health/live") == (200, {"live": True})
    assert call(server, "GET", "/v2/health/ready") == (200, {"ready": True})
    assert call(server, "GET", "/v2/models/risk/ready") == (200, {"name": "risk", "ready": True})
    assert call(server, "GET", "/v2/models/risk") == (
        200,
        {
            "name": "risk",
            "versions": [risk.fitted.version],
            "platform": "lightgbm",
            "inputs": [
                {"name": "flight_id", "datatype": "BYTES", "shape": [-1]},
                {"name": "airline", "datatype": "INT64", "shape": [-1]},
            ],
            "outputs": [
                {"name": "probability", "datatype": "FP64", "shape": [-1]},
                {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
                {"name": "provenance", "datatype": "BYTES", "shape": [-1]},
            ],
        },
    )


@pytest.mark.ray
def test_answers_are_the_models_own_and_say_where_they_are_from(server: str, risk: Risk) -> None:
    rows = [*sample(risk, 40), {"flight_id": "none", "airline": 0}]

    status, answer = infer(server, request(rows, id="r1"))

    want = expected(risk, rows)
    got = outputs(answer)
    assert status == 200
    assert got["probability"] == [item.probability for item in want]
    assert len(set(got["probability"])) > 20
    assert got["prediction_id"] == [f"r1/{row}" for row in range(len(rows))]
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("r1", "risk", risk.fitted.version)
    told = [json.loads(text) for text in got["provenance"]]
    assert [part["features"] for part in told] == [item.features.provenance for item in want]
    assert {part["model_version"] for part in told} == {risk.fitted.version}
    versions = {view.name: view.version for view in risk.project.of(FeatureView)}
    for name, part in told[0]["features"].items():
        assert (part["status"], part["view_version"]) == ("PRESENT", versions[name])
        assert part["sources"]["table_version"] == 1
    # One view knows the airline; the flight's features are missing, as they may be in training.
    assert told[-1]["features"]["schedule"]["status"] == "MISSING"
    assert told[-1]["features"]["airline_size"]["status"] == "PRESENT"


@pytest.mark.ray
def test_fifty_requests_at_once_are_all_answered_rightly(server: str, risk: Risk) -> None:
    rows = sample(risk, 50)
    want = [item.probability for item in expected(risk, rows)]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda row: infer(server, request([row])), rows))

    assert {status for status, _ in answers} == {200}
    assert [outputs(answer)["probability"][0] for _, answer in answers] == want
    assert len({outputs(answer)["prediction_id"][0] for _, answer in answers}) == 50


@pytest.mark.ray
def test_each_bad_request_gets_one_clear_error(server: str, risk: Risk) -> None:
    good = request(sample(risk, 1))
    flight, airline, event_time = good["inputs"]
    late = event_time | {"data": [0]}

    def of(*tensors: dict[str, Any]) -> dict[str, Any]:
        return {"inputs": list(tensors)}

    wrong: dict[str, tuple[int, str, tuple[int, Any]]] = {
        "model": (404, "no model is named 'rsk'. Did you mean 'risk'?", infer(server, good, "rsk")),
        "tensor name": (
            400,
            "input 'flight' is not an entity key. Did you mean 'flight_id'?",
            infer(server, of(flight | {"name": "flight"}, airline)),
        ),
        "missing tensor": (
            400,
            "input 'airline' is missing. Send one tensor for each of: flight_id, airline",
            infer(server, of(flight)),
        ),
        "shape": (
            400,
            "input 'airline' has shape [3] and 1 values. Send shape [1]",
            infer(server, of(flight, airline | {"shape": [3]})),
        ),
        "datatype": (
            400,
            "input 'airline' has datatype 'BYTES'. Send INT64",
            infer(server, of(flight, airline | {"datatype": "BYTES"})),
        ),
        "value": (
            400,
            "value 0 of input 'airline' is 'UA', not INT64",
            infer(server, of(flight, airline | {"data": ["UA"]})),
        ),
        "entity": (
            404,
            "no feature is known of row 0, flight_id='nowhere', airline=999. "
            "Check the keys and the time of the request",
            infer(server, request([{"flight_id": "nowhere", "airline": 999}])),
        ),
        "time before all features": (
            404,
            f"no feature is known of row 0, flight_id={flight['data'][0]!r}, airline={airline['data'][0]}. "
            "Check the keys and the time of the request",
            infer(server, of(flight, airline, late)),
        ),
    }

    assert {name: got for name, (_, _, got) in wrong.items()} == {
        name: (status, {"error": text}) for name, (status, text, _) in wrong.items()
    }
    status, answer = infer(server, b'{"inputs": [')
    assert (status, list(answer)) == (400, ["error"])
    assert answer["error"].startswith("the body is not JSON: ")


@pytest.mark.ray
def test_features_are_served_beside_the_models(server: str, risk: Risk) -> None:
    row = sample(risk, 3)[1]
    body = {
        "feature_service": "risk_v1",
        "entities": {"flight_id": [row["flight_id"]], "airline": [row["airline"]]},
        "event_time": NOW,
    }

    status, answer = call(server, "POST", "/features/get-online-features", body)

    flight = risk.flights.filter(pc.equal(risk.flights["flight_id"], row["flight_id"])).to_pylist()[0]
    values = dict(
        zip(answer["metadata"]["feature_names"], (part["values"][0] for part in answer["results"]), strict=True)
    )
    assert status == 200
    assert values["carrier_code"] == flight["carrier"]
    assert values["distance_miles"] == flight["distance"]


@pytest.mark.ray
def test_only_loopback_is_listened_on_and_a_taken_port_is_named(server: str, risk: Risk) -> None:
    from mercury.serving.applications import serving

    port = urlparse(server).port
    assert port is not None
    places = listening()
    assert ("127.0.0.1", port) in places
    assert beyond_loopback(places) == []
    with pytest.raises(PortInUseError, match=f"port {port} is taken"), serving(risk.settings, [], port=port):
        raise AssertionError("nothing may be served on a taken port")
    assert call(server, "GET", "/v2/health/live") == (200, {"live": True})


def test_the_shipped_configuration_is_rays() -> None:
    from ray.serve.schema import ServeDeploySchema

    config = ServeDeploySchema.model_validate(yaml.safe_load((ROOT / "serve" / "config.yaml").read_text()))

    assert config.http_options.host == "127.0.0.1"
    assert {part.name: part.route_prefix for part in config.applications} == {
        name: prefix for name, (_, prefix) in APPLICATIONS.items()
    }
    for part in config.applications:
        assert part.import_path == f"{APPLICATIONS[part.name][0]}:app"
        assert (ROOT / part.args["project"]).is_file()


def test_what_a_project_does_not_define_is_not_served() -> None:
    flights = load_project(ROOT / "examples" / "flights" / "mercury_project.py")
    stream, metrics = flights.get(Stream, "flights"), flights.get(SemanticModel, "traffic")

    assert applications_of(flights) == ["features", "analytics", "models"]
    assert applications_of(Project("metrics", [stream, metrics])) == ["analytics"]
    assert applications_of(Project("stream", [stream])) == []


@pytest.mark.parametrize("server", ["feature_server", "metrics_server", "model_server"])
def test_an_argument_that_an_application_does_not_have_is_refused(server: str) -> None:
    app = importlib.import_module(f"serve.{server}").app
    with pytest.raises(UsageError, match=r"'projct' is no argument of the application\. Did you mean 'project'\?"):
        app({"projct": "mercury_project.py"})
