"""Features over HTTP: Feast's shape, statuses, provenance, and one clear error for each bad request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from mercury import BatchTable, Entity, FeatureService, FeatureView, Project
from mercury.features.http import MAX_BODY_BYTES, MAX_ROWS, build_app
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.layout import CREATED_TIME, EVENT_TIME
from mercury.features.online import OnlineReader, ShardWriter

SECOND = 1_000_000
SOURCE = BatchTable(
    "t",
    schema={"carrier": "string", "plane": "int64", "ts": "timestamp", "x": "float64", "s": "string"},
    event_time="ts",
)
DELAY = FeatureView("delay", Entity("c", "carrier"), SOURCE, {"late": "x", "code": "s"}, ttl="10s")
PLANES = FeatureView("planes", Entity("p", "plane"), SOURCE, {"age": "x"})
PROJECT = Project("flights", [FeatureService("risk", [DELAY, PLANES]), DELAY, PLANES])


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    writer = ShardWriter(tmp_path)
    stamps = pa.array([1 * SECOND, 2 * SECOND], UTC_MICROSECONDS)
    rows = pa.table(
        {"carrier": ["UA", "AA"], "late": [0.5, None], "code": ["u", "a"], EVENT_TIME: stamps, CREATED_TIME: stamps}
    )
    writer.write(
        "delay", DELAY.version, rows, keys=["carrier"], features=["late", "code"], epoch=7, sources={"table_version": 3}
    )
    rows = pa.table({"plane": [1], "age": [12.0], EVENT_TIME: stamps[:1], CREATED_TIME: stamps[:1]})
    writer.write("planes", PLANES.version, rows, keys=["plane"], features=["age"], epoch=2)
    return TestClient(build_app(PROJECT, OnlineReader(tmp_path, clock=lambda: 5 * SECOND)))


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/get-online-features", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_service_is_answered_in_feasts_shape(client: TestClient) -> None:
    answer = ask(client, feature_service="risk", entities={"carrier": ["UA", "AA", "ZZ"], "plane": [1, None, 2]})
    assert answer["metadata"]["feature_names"] == ["carrier", "plane", "late", "code", "age"]
    late = answer["results"][2]
    assert late == {
        "values": [0.5, None, None],
        "statuses": ["PRESENT", "NULL_VALUE", "NOT_FOUND"],
        "event_timestamps": ["1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z", "1970-01-01T00:00:00Z"],
    }
    assert answer["results"][0]["values"] == ["UA", "AA", "ZZ"]
    assert answer["results"][4]["values"] == [12.0, None, None]
    assert answer["results"][4]["statuses"] == ["PRESENT", "NOT_FOUND", "NOT_FOUND"]


def test_a_body_beyond_the_limit_is_refused_whatever_it_says_of_its_length(client: TestClient) -> None:
    pieces = (b" " * (1 << 20) for _ in range(MAX_BODY_BYTES // (1 << 20) + 1))
    chunked = client.post("/get-online-features", content=pieces)
    whole = client.post("/get-online-features", content=b" " * (MAX_BODY_BYTES + 1))

    assert "content-length" not in chunked.request.headers
    for answer in (chunked, whole):
        assert (answer.status_code, answer.json()["error"]) == (400, "UsageError")
        assert answer.json()["detail"].startswith("the body has more than 8388608 bytes")


def test_values_carry_their_provenance(client: TestClient) -> None:
    told = ask(client, feature_service="risk", entities={"carrier": ["UA", "ZZ"], "plane": [1, 1]})["metadata"]
    assert told["provenance"]["delay"] == {
        "view_version": DELAY.version,
        "sources": {"table_version": 3},
        "epochs": [7, None],
        "created_timestamps": ["1970-01-01T00:00:01Z", None],
    }
    assert told["request_timestamp"] == "1970-01-01T00:00:05Z"


def test_features_are_chosen_one_by_one_and_named_in_full(client: TestClient) -> None:
    answer = ask(
        client,
        features=["planes:age", "delay:code"],
        entities={"carrier": ["UA"], "plane": [1]},
        full_feature_names=True,
    )
    assert answer["metadata"]["feature_names"] == ["carrier", "plane", "planes__age", "delay__code"]
    assert [part["values"] for part in answer["results"][2:]] == [[12.0], ["u"]]


def test_a_request_may_say_its_time(client: TestClient) -> None:
    body = {"features": ["delay:late"], "entities": {"carrier": ["UA"]}}
    status = [
        ask(client, **body, event_time=moment)["results"][1]["statuses"][0]
        for moment in ("1970-01-01T00:00:11Z", "1970-01-01T00:00:12Z", 500_000)
    ]
    assert status == ["PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"]


def test_many_rows_are_answered_in_order(client: TestClient) -> None:
    carriers = ["UA", "ZZ"] * 1_500
    answer = ask(client, features=["delay:late"], entities={"carrier": carriers})
    assert answer["results"][1]["values"] == [0.5, None] * 1_500


def test_health(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "project": "flights"}


ENTITIES = {"carrier": ["UA"], "plane": [1]}


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"feature_service": "rsk", "entities": ENTITIES}, 404, "Did you mean 'risk'?"),
        ({"features": ["delya:late"], "entities": ENTITIES}, 404, "Did you mean 'delay'?"),
        ({"features": ["delay:lat"], "entities": ENTITIES}, 404, "Did you mean 'late'?"),
        ({"features": ["late"], "entities": ENTITIES}, 400, "view:feature"),
        ({"features": "delay:late", "entities": ENTITIES}, 400, "not a list"),
        ({"entities": ENTITIES}, 400, "one of 'feature_service' and 'features'"),
        ({"feature_service": "risk", "features": ["delay:late"], "entities": ENTITIES}, 400, "one of"),
        ({"feature_service": "risk"}, 400, "no 'entities'"),
        ({"feature_service": "risk", "entities": {"carrier": "UA"}}, 400, "not a list"),
        ({"feature_service": "risk", "entities": {"carrier": ["UA"], "plane": []}}, 400, "differ in length"),
        ({"feature_service": "risk", "entities": {"carier": ["UA"], "plane": [1]}}, 400, "no key 'carrier'"),
        ({"feature_service": "risk", "entities": {"carrier": ["UA"], "plane": ["one"]}}, 400, "key 'plane' is 'one'"),
        ({"feature_service": "risk", "entities": {"carrier": ["x"] * (MAX_ROWS + 1)}}, 400, "at most 10000"),
        ({"feature_service": "risk", "entitys": ENTITIES}, 400, "Did you mean 'entities'?"),
        ({"feature_service": "risk", "entities": ENTITIES, "event_time": "noon"}, 400, "not a time"),
        ({"feature_service": "risk", "entities": ENTITIES, "event_time": [1]}, 400, "event_time is [1]"),
        ([1], 400, "not a JSON object"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(client: TestClient, body: Any, status: int, text: str) -> None:
    answer = client.post("/get-online-features", json=body)
    assert answer.status_code == status
    assert text in answer.json()["detail"]


def test_what_is_not_json_is_refused(client: TestClient) -> None:
    answer = client.post("/get-online-features", content=b"{")
    assert (answer.status_code, "not JSON" in answer.json()["detail"]) == (400, True)
