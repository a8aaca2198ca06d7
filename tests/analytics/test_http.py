"""The metrics server: JSON and Arrow, errors, headers, server-sent events."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mercury import PrivacyPolicy, Project
from mercury.analytics import Planner
from mercury.analytics.http import MAX_BODY_BYTES
from mercury.analytics.server import bound, serving_metrics
from mercury.errors import PortInUseError
from tests.analytics.world import Feed, events, model, project, random_events, settings_in

ROWS = random_events(11, 3000, "2013-07-01", "2013-07-03")
POLICY = PrivacyPolicy("people", source=events, unit="id")
SECRET = replace(model, name="secret", rollups={}, privacy=POLICY)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = settings_in(tmp_path_factory.mktemp("http"))
    Feed(settings).commit(ROWS)
    with serving_metrics(Planner(Project("sky", [events, model, POLICY, SECRET]), settings)) as url:
        yield url


def test_a_taken_port_is_named(server: str) -> None:
    port = int(server.rpartition(":")[2])

    with pytest.raises(PortInUseError, match=f"port {port} is taken"), bound("127.0.0.1", port):
        raise AssertionError("nothing may listen there")


def post(url: str, body: Any, **headers: str) -> tuple[int, bytes, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = urllib.request.Request(f"{url}/v1/query", data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def read_events(url: str, count: int, *, holding: str = "", **headers: str) -> list[dict[str, Any]]:
    """The first events of a feed, or of those that hold something, each with its id."""
    found: list[dict[str, Any]] = []
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as stream:
        name = ""
        for line in stream:
            if line.startswith(b"id: "):
                name = line[4:].strip().decode()
            if line.startswith(b"data: "):
                event = {"id": name, **json.loads(line[6:])}
                found += [event] if not holding or holding in event else []
                if len(found) == count:
                    break
    return found


def test_json_and_arrow_hold_the_same_answer(server: str) -> None:
    query = {"query": "flights, late_rate, most by carrier, hour where origin = 'JFK'", "model": "air"}
    status, body, headers = post(server, query | {"explain": True})
    _, stream, arrow_headers = post(server, query, Accept="application/vnd.apache.arrow.stream")
    document, table = json.loads(body), pa.ipc.open_stream(stream).read_all()

    assert status == 200 and headers["content-type"] == "application/json"
    assert arrow_headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert document["rows"] == table.num_rows > 50 and not document["truncated"]
    assert document["data"]["late_rate"] == table["late_rate"].to_pylist()
    assert document["data"]["hour"] == [hour.isoformat() for hour in table["hour"].to_pylist()]
    assert str(table.schema.field("hour").type) == "timestamp[us, tz=America/New_York]"
    assert (document["source"]["epoch"], document["explain"]["route"]) == (0, "raw rows")
    assert json.loads(table.schema.metadata[b"mercury.answer"])["source"]["version"] == 1


def test_a_structured_query_filters_by_data(server: str) -> None:
    def count(value: str) -> int:
        filters = [{"field": "carrier", "op": "=", "value": value}]
        _, body, _ = post(server, {"model": "air", "metrics": ["flights"], "filters": filters})
        return int(json.loads(body)["data"]["flights"][0])

    carriers = ROWS["carrier"].to_pylist()
    assert count("UA") == carriers.count("UA") > 0
    assert count("UA' OR '1'='1") == count("'; DROP TABLE rows; --") == 0
    assert count("") == carriers.count("")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"query": "fligths", "model": "air"}, 404, "Did you mean 'flights'?"),
        ({"query": "flights", "model": "airr"}, 404, "Did you mean 'air'?"),
        ({"query": "flights by", "model": "air"}, 400, "nothing after 'by'"),
        ({"query": "flights where orign = 1", "model": "air"}, 400, "Did you mean 'origin'?"),
        ({"metrics": ["flights"], "groups": []}, 400, "'groups' is not a field"),
        ({"query": "flights", "model": "air", "explain": "yes"}, 400, "explain is true or false"),
        ({"query": "flights", "model": "secret"}, 400, "answers nobody without a name"),
        ({"query": "flights"}, 400, "'air' and 'secret' can answer this (model). Say which"),
        (b"[1]", 400, "not a JSON object"),
        (b"{", 400, "not JSON"),
        (b" " * (MAX_BODY_BYTES + 1), 400, "too large"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(server: str, body: Any, status: int, message: str) -> None:
    code, answer, _ = post(server, body)

    assert (code, message in json.loads(answer)["detail"]) == (status, True)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("badges", 400, "model is not given"),
        ("badges?model=airr", 404, "Did you mean 'air'?"),
        ("outlook?model=air", 400, "0 metrics are asked for"),
        ("outlook?model=air&metric=fligths", 404, "Did you mean 'flights'?"),
        ("outlook?model=air&metric=flights&by=quarter", 400, "by='quarter' is not forecast"),
        ("outlook?model=secret&metric=flights", 400, "each forecast would be charged"),
        ("badges?model=secret", 400, "its badges would tell exact figures"),
    ],
)
def test_badges_and_outlooks_say_what_is_wrong(server: str, path: str, status: int, message: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server}/v1/{path}", timeout=30)

    assert (caught.value.code, message in json.loads(caught.value.read())["detail"]) == (status, True)


def test_badges_and_outlooks_of_two_days_are_none_and_why(server: str) -> None:
    with urllib.request.urlopen(f"{server}/v1/badges?model=air", timeout=30) as answer:
        assert json.load(answer) == {"badges": {}}
    with urllib.request.urlopen(
        f"{server}/v1/outlook?model=air&metric=flights&metric=last_plane", timeout=60
    ) as answer:
        found = json.load(answer)
    assert found["outlooks"]["last_plane"]["note"] == "last_plane is string, not a number"
    assert len(found["outlooks"]["flights"]["forecast"]) == 7


def test_a_form_of_another_origin_is_no_query(server: str) -> None:
    code, answer, _ = post(server, {"query": "flights"}, **{"Content-Type": "text/plain"})

    assert code == 400 and "not declared as JSON" in json.loads(answer)["detail"]


def test_models_say_what_can_be_asked(server: str) -> None:
    with urllib.request.urlopen(f"{server}/v1/models") as answer:
        models = {part["name"]: part for part in json.load(answer)["models"]}

    assert {part["name"] for part in models["air"]["metrics"]} >= {"flights", "late_rate", "planes"}
    assert models["air"]["rollups"][0] == {"name": "daily", "grain": "day", "by": ["carrier", "origin", "big"]}
    assert (models["air"]["private"], models["secret"]["private"]) == (False, True)


@pytest.mark.parametrize("path", ["/", "/assets/live.js", "/v1/models", "/assets/none", "/health"])
def test_every_answer_keeps_browsers_from_loading_anything_else(server: str, path: str) -> None:
    try:
        headers = urllib.request.urlopen(server + path).headers
    except urllib.error.HTTPError as error:
        headers = error.headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_a_feed_sends_answers_when_rows_come_and_not_again_what_was_seen(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with serving_metrics(Planner(project, settings)) as url:
        address = f"{url}/v1/live?q=flights&q=flights%20by%20carrier"
        (waiting,) = read_events(address, 1)
        feed = Feed(settings)
        feed.commit(ROWS.slice(0, 1000))
        # Committed while the stream is open: the second event tells of it.
        late = threading.Timer(1.0, feed.commit, [ROWS.slice(1000, 500)])
        late.start()
        # The look that the first listener had may still be shared.
        first, second = read_events(address, 2, holding="answers")
        late.join()
        feed.commit(ROWS.slice(1500, 1))
        (third,) = read_events(address, 1, **{"Last-Event-ID": second["id"]})

    assert "has no rows yet" in waiting["waiting"]
    totals = [event["answers"][0]["data"]["flights"] for event in (first, second, third)]
    assert totals == [[1000], [1500], [1501]]
    assert [event["epoch"] for event in (first, second, third)] == [0, 1, 2]
    assert sum(second["answers"][1]["data"]["flights"]) == 1500


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "no query is given"),
        ("?q=fligths&model=air", "Did you mean 'flights'?"),
        ("?q=flights&model=secret", "each new answer would be charged"),
        ("?model=air" + "&q=flights" * 13, "13 queries in one feed"),
    ],
)
def test_what_cannot_be_live_is_refused_before_the_stream_begins(server: str, query: str, message: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server}/v1/live{query}")

    assert message in json.loads(caught.value.read())["detail"]
