"""Where events go: whole lines from many processes, an endpoint, and the file for what the endpoint does not take."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mercury.config import Settings, load_settings
from mercury.runtime import lineage
from tests.runtime_lineage.official import check, told

PROCESSES, RUNS = 4, 25


def _many(project: str, number: int) -> None:
    settings = load_settings(Path(project), {})
    for turn in range(RUNS):
        with lineage.run(f"job-{number}", settings=settings) as run:
            run.input(f"/{'x' * 10_000}", version=turn)  # longer than a pipe's or a page's atomic write


def test_many_processes_write_whole_lines(settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_many, args=(str(settings.project), number)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert {process.exitcode for process in processes} == {0}
    events = told(settings)
    assert len(events) == PROCESSES * RUNS * 2
    assert len({event["run"]["runId"] for event in events}) == PROCESSES * RUNS
    assert {each["facets"]["version"]["datasetVersion"] for event in events for each in event["inputs"]} == {
        str(turn) for turn in range(RUNS)
    }


@dataclass
class Endpoint:
    """A server that takes events, or refuses them with `status`."""

    url: str = ""
    status: int = 201
    got: list[tuple[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((self.path, json.loads(body)))
            found.keys.append(self.headers["Authorization"])
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "posted_to"), [("", "/api/v1/lineage"), ("/", "/api/v1/lineage"), ("/of/team/lineage", "/of/team/lineage")]
)
def test_an_endpoint_gets_the_events(settings: Settings, endpoint: Endpoint, path: str, posted_to: str) -> None:
    with lineage.run("join", settings=replace(settings, lineage_url=endpoint.url + path)) as run:
        run.output("/joined", version=1)

    assert [(path, event["eventType"]) for path, event in endpoint.got] == [
        (posted_to, "START"),
        (posted_to, "COMPLETE"),
    ]
    for _, event in endpoint.got:
        check(event)
    assert endpoint.keys == [None, None]
    assert not settings.state.exists()


def test_an_endpoint_that_asks_for_a_key_gets_it(
    settings: Settings, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "k")
    with lineage.run("join", settings=replace(settings, lineage_url=endpoint.url)):
        pass

    assert endpoint.keys == ["Bearer k", "Bearer k"]


def test_what_the_endpoint_refuses_goes_to_the_file_and_is_told_once(
    settings: Settings, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.status = 503
    secret = endpoint.url.replace("//", "//me:secret@")
    where = replace(settings, lineage_url=secret)
    for _ in range(3):
        with lineage.run("join", settings=where):
            pass

    assert [event["eventType"] for event in told(settings)] == ["START", "COMPLETE"] * 3
    sender = lineage.delivery(where)
    assert isinstance(sender, lineage.HttpDelivery)
    assert sender.failed == 6
    assert len(endpoint.got) == 1  # it is left alone for a while
    (warning,) = [record.message for record in caplog.records if "lineage endpoint" in record.message]
    assert warning.startswith(f"the lineage endpoint {endpoint.url} does not take events (503 Server Error")
    assert warning.endswith(f"they go to {settings.state}/lineage.jsonl")
    assert "secret" not in warning


def test_an_endpoint_that_comes_back_is_used_again(settings: Settings, endpoint: Endpoint) -> None:
    where = replace(settings, lineage_url=endpoint.url)
    sender = lineage.delivery(where)
    assert isinstance(sender, lineage.HttpDelivery)
    sender.pause = 0.0
    endpoint.status = 500
    with lineage.run("join", settings=where):
        endpoint.status = 201

    assert [event["eventType"] for event in told(settings)] == ["START"]
    assert [event["eventType"] for _, event in endpoint.got] == ["START", "COMPLETE"]


def test_an_endpoint_that_is_gone_costs_no_run(settings: Settings) -> None:
    with lineage.run("join", settings=replace(settings, lineage_url="http://127.0.0.1:9")):
        pass

    assert len(told(settings)) == 2


def test_a_file_that_cannot_be_written_costs_no_run(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.state.write_text("a file where a folder should be")
    with lineage.run("join", settings=settings):
        pass

    assert sum("a lineage event was lost" in record.message for record in caplog.records) == 2


def test_a_disk_that_is_full_loses_one_event_and_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import os

    write, left = os.write, [100]

    def short(descriptor: int, data: bytes) -> int:
        room = left.pop() if left else len(data)
        return write(descriptor, data[:room])

    monkeypatch.setattr(os, "write", short)
    with lineage.run("join", settings=settings):
        pass

    torn, whole = (settings.state / "lineage.jsonl").read_text().splitlines()
    assert len(torn) == 100
    assert json.loads(whole)["eventType"] == "COMPLETE"
    assert "100 of" in caplog.text
