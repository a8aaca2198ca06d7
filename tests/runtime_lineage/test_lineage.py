"""Lineage events: valid OpenLineage, one per start and end, safe with many writers, never in the way of a run."""

from __future__ import annotations

import json
import multiprocessing
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mercury.config import Settings, load_settings
from mercury.runtime import lineage


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "mercury_project.py").write_text("project = None\n")
    return load_settings(tmp_path / "mercury_project.py", {})


def told(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (settings.state / "lineage.jsonl").read_text().splitlines()]


def test_a_run_tells_what_it_read_and_wrote(settings: Settings) -> None:
    with lineage.run("join", settings=settings) as run:
        run.input("raw", version=3)
        run.output("joined", version=7, rows=120)

    start, complete = told(settings)
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == complete["run"]["runId"] == run.id
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", run.id)
    assert (complete["job"]["namespace"], complete["job"]["name"]) == ("mercury", "join")
    assert start["inputs"] == []
    (read,) = complete["inputs"]
    (written,) = complete["outputs"]
    assert (read["namespace"], read["name"]) == (f"file://{settings.lake}", "raw")
    assert read["facets"]["version"]["datasetVersion"] == "3"
    assert written["facets"]["version"]["datasetVersion"] == "7"
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 120
    assert complete["schemaURL"].startswith("https://openlineage.io/spec/2-0-2/OpenLineage.json#")


def test_the_code_is_named_by_the_hash_of_the_project_file_or_the_commit(settings: Settings, tmp_path: Path) -> None:
    assert lineage.code_version(settings.project) == (
        "file",
        "1758efc4a120cd83eb14f2763d0bef4b25645954a7baae87f6b2092cbb0f145e",
    )
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "mercury_project.py"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()

    lineage.code_version.cache_clear()
    assert lineage.code_version(settings.project) == ("git", commit)
    settings.project.write_text("project = 1\n")
    lineage.code_version.cache_clear()
    assert lineage.code_version(settings.project) == ("git", f"{commit}-dirty")


def test_a_run_that_raises_fails_and_one_that_is_interrupted_is_aborted(settings: Settings) -> None:
    with pytest.raises(ValueError, match="no such column"), lineage.run("join", settings=settings) as run:
        run.input("raw", version=3)
        raise ValueError("no such column")
    with pytest.raises(KeyboardInterrupt), lineage.run("join", settings=settings):
        raise KeyboardInterrupt

    _, fail, _, abort = told(settings)
    assert (fail["eventType"], abort["eventType"]) == ("FAIL", "ABORT")
    assert fail["run"]["facets"]["errorMessage"]["message"] == "ValueError: no such column"
    assert [read["name"] for read in fail["inputs"]] == ["raw"]


def test_a_run_inside_a_run_names_its_parent(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lineage.PARENT_VARIABLE, "airflow/dag.task/01a20875-54d1-7236-be20-514ca9b9cab9")
    with lineage.run("outer", settings=settings) as outer, lineage.run("inner", settings=settings):
        pass

    parents = {
        event["job"]["name"]: event["run"]["facets"]["parent"]
        for event in told(settings)
        if event["eventType"] == "START"
    }
    assert parents["outer"]["run"]["runId"] == "01a20875-54d1-7236-be20-514ca9b9cab9"
    assert [parents["outer"]["job"][part] for part in ("namespace", "name")] == ["airflow", "dag.task"]
    assert parents["inner"]["run"]["runId"] == outer.id


def test_assertions_and_offsets_are_told_in_their_facets(settings: Settings) -> None:
    checked = [{"assertion": "not_null", "name": "id", "success": False, "severity": "error", "column": "id"}]
    with lineage.run("stream/x", settings=settings) as run:
        run.input("x", version=lineage.offset_ranges({"10": [0, 7], 2: (3, 9)}), namespace="kafka://h:1")
        run.input("raw", assertions=checked, rows=9)

    topic, raw = told(settings)[1]["inputs"]
    assert topic["namespace"] == "kafka://h:1"
    assert topic["facets"]["version"]["datasetVersion"] == "2:3-9,10:0-7"
    (entry,) = raw["facets"]["dataQualityAssertions"]["assertions"]
    assert entry.items() >= checked[0].items()
    assert raw["inputFacets"]["inputStatistics"]["rowCount"] == 9


def _many(project: str, number: int) -> None:
    settings = load_settings(Path(project), {})
    for turn in range(25):
        with lineage.run(f"job-{number}", settings=settings) as run:
            run.input("x" * 3000, version=turn)


def test_many_processes_write_whole_lines(settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_many, args=(str(settings.project), number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    events = told(settings)
    assert len(events) == 4 * 25 * 2
    assert {process.exitcode for process in processes} == {0}
    assert len({event["run"]["runId"] for event in events}) == 100


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[Any], list[int]]]:
    got: list[Any] = []
    answer = [201]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, json.loads(body)))
            self.send_response(answer[0])
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got, answer
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_gets_the_events(settings: Settings, endpoint: Any) -> None:
    url, got, _ = endpoint
    with lineage.run("join", settings=replace(settings, lineage_url=url)) as run:
        run.output("joined", version=1)

    assert [(path, event["eventType"]) for path, event in got] == [
        ("/api/v1/lineage", "START"),
        ("/api/v1/lineage", "COMPLETE"),
    ]
    assert not (settings.state / "lineage.jsonl").exists()


def test_what_the_endpoint_refuses_goes_to_the_file_and_is_told_once(
    settings: Settings, endpoint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    url, got, answer = endpoint
    answer[0] = 503
    where = replace(settings, lineage_url=url)
    for _ in range(3):
        with lineage.run("join", settings=where):
            pass

    assert [event["eventType"] for event in told(settings)] == ["START", "COMPLETE"] * 3
    assert len(got) == 6
    assert [record.message for record in caplog.records if "lineage endpoint" in record.message] == [
        f"the lineage endpoint {url} does not take events (503 Server Error: Service Unavailable for url: "
        f"{url}/api/v1/lineage); they go to {settings.state}/lineage.jsonl"
    ]


def test_an_endpoint_that_is_gone_costs_no_run(settings: Settings) -> None:
    with lineage.run("join", settings=replace(settings, lineage_url="http://127.0.0.1:9")):
        pass

    assert len(told(settings)) == 2


def test_a_file_that_cannot_be_written_costs_no_run(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.state.write_text("a file where a folder should be")
    with lineage.run("join", settings=settings):
        pass

    assert sum("a lineage event was lost" in record.message for record in caplog.records) == 2
