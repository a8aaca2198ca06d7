"""`mercury query` and `mercury rollups` in a project: answers on stdout, everything else on stderr."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pyarrow as pa
import pytest

from mercury.config import load_settings
from tests.analytics.world import Feed, random_events

PROJECT = """
from mercury import Count, CountDistinct, Kafka, Project, Ratio, Rollup, SemanticModel, Stream

events = Stream(
    "events", source=Kafka(topic="events"), event_time="ts", key="id",
    schema={"id": "int64", "ts": "timestamp", "carrier": "string", "origin": "string", "tail": "string",
            "delay": "float64", "seats": "int64"},
)
air = SemanticModel(
    "air", events, timezone="America/New_York", dimensions={"carrier": "carrier", "origin": "upper(origin)"},
    metrics={"flights": Count(), "late": Count(where="delay > 15"), "late_rate": Ratio("late", "flights"),
             "planes": CountDistinct("tail", exact=True)},
    rollups={"daily": Rollup("day", by=["carrier"])},
)
project = Project("sky", [events, air])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "mercury_project.py").write_text(PROJECT)
    Feed(load_settings(folder / "mercury_project.py", {})).commit(random_events(1, 2000, "2013-03-08", "2013-03-13"))
    return folder


def mercury(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    program = str(Path(sys.executable).with_name("mercury"))
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True)


def test_rollups_are_built_and_shown(folder: Path) -> None:
    built = mercury(folder, "rollups", "build", "--format", "json")
    status = mercury(folder, "rollups", "status")

    (one,) = json.loads(built.stdout)
    assert (one["rollup"], one["how"], one["epoch"]) == ("daily", "whole", 0)
    assert status.stdout.decode() == f"air.daily: {one['cells']} cells of version 1, epoch 0\n"


def test_an_answer_is_the_same_in_every_form(folder: Path) -> None:
    text = "flights, late_rate by carrier, day where origin = 'JFK' and time >= '2013-03-10'"
    human = mercury(folder, "query", text, "--explain")
    document = json.loads(mercury(folder, "query", text, "--format", "json", "--explain").stdout)
    arrow = pa.ipc.open_stream(mercury(folder, "query", text, "--format", "arrow").stdout).read_all()
    csv = mercury(folder, "query", text, "--format", "csv").stdout.decode().splitlines()

    assert document["source"]["epoch"] == 0 and document["explain"]["route"] == "raw rows"
    assert arrow["flights"].to_pylist() == document["data"]["flights"]
    assert [str(day) for day in arrow["day"].to_pylist()] == document["data"]["day"]
    assert len(csv) == arrow.num_rows + 1 == len(human.stdout.splitlines())
    assert csv[0] == "carrier,day,flights,late_rate"
    assert b"route raw rows" in human.stderr and b"rollup daily: " in human.stderr


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("fligths", 4, "mercury: 'air' has no metric 'fligths' (metrics). Did you mean 'flights'?"),
        ("flights where orign = 'JFK'", 2, "Did you mean 'origin'?"),
        ("flights limit x", 2, "mercury: limit 'x' is not a number. Write limit 10"),
    ],
)
def test_a_mistake_is_one_line_with_the_code_of_its_kind(folder: Path, text: str, code: int, message: str) -> None:
    done = mercury(folder, "query", text)

    assert (done.returncode, done.stdout) == (code, b"")
    assert message in done.stderr.decode()


def test_sql_in_a_value_is_data(folder: Path) -> None:
    done = mercury(folder, "query", "flights where carrier = 'UA''; DROP TABLE events; --'", "--format", "csv")

    assert done.stdout == b"flights\n0\n"
    assert mercury(folder, "query", "flights", "--format", "csv").stdout == b"flights\n2000\n"


def test_arrow_streams_can_be_read_from_a_pipe(folder: Path) -> None:
    done = mercury(folder, "query", "planes by carrier", "--format", "arrow")
    about = pa.ipc.open_stream(io.BytesIO(done.stdout)).schema.metadata[b"mercury.answer"]

    assert json.loads(about)["source"]["version"] == 1


def test_live_serves_until_it_is_ended(folder: Path) -> None:
    program = str(Path(sys.executable).with_name("mercury"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([program, "live", "--port", str(port)], cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"Page: http://127.0.0.1:{port}/ ")
        # The socket is bound before the line is printed; the first request waits for the application.
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            assert json.load(answer) == {"status": "ok", "project": "sky"}
    finally:
        process.terminate()
        assert process.wait(20) in (0, -15)
