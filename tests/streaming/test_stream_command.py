"""`mercury stream run` and `status` on a project in a folder."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from mercury.cli.stream import stream
from mercury.errors import NotFoundError, PortInUseError, UsageError
from mercury.runtime.session import RaySession
from mercury.streaming import EpochProgress, StreamMetrics
from mercury.time import MINUTE, SECOND
from tests.streaming import batch_twin as twin
from tests.streaming.batch_twin import START, event

PROJECT = """
from mercury import Count, Kafka, Project, Stream, Window

trips = Stream(
    "trips",
    source=Kafka(topic="trips"),
    schema={"id": "string", "ts": "timestamp", "city": "string", "n": "int64", "fare": "float64"},
    event_time="ts",
    key="id",
    lateness="10m",
    contract="trips.odcs.yaml",
)
hourly = Window("hourly", trips, keys="city", size="1h", aggregates={"trips": Count()})
project = Project("p", [trips, hourly])
"""
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: trips
version: 1.0.0
status: active
schema:
  - name: trips
    properties:
      - name: id
        logicalType: string
        required: true
      - name: ts
        logicalType: date
      - name: city
        logicalType: string
      - name: n
        logicalType: integer
        logicalTypeOptions: {maximum: 50}
      - name: fare
        logicalType: number
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mercury_project.py").write_text(PROJECT)
    (tmp_path / "trips.odcs.yaml").write_text(CONTRACT)
    (tmp_path / "events").mkdir()
    lines = [event("a", START), event("b", START, n=51), b"{", event("a", START), event("c", START + 7_200_000_000)]
    (tmp_path / "events" / "0.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    return tmp_path / "mercury_project.py"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(stream, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_stream_runs_from_files_and_says_what_it_did(project: Path) -> None:
    files = project.parent / "events"

    result = invoke("run", "trips", files, "--source", "files", "--until-end", "--project", project, "--format", "json")

    report = json.loads(result.stdout)
    assert {key: report[key] for key in ("epoch", "events", "rows", "duplicates", "dead", "late", "lag")} == {
        "epoch": 1,
        "events": 5,
        "rows": 2,
        "duplicates": 1,
        "dead": 2,
        "late": 0,
        "lag": 0,
    }
    assert report["dead_kinds"] == {"contract": 1, "malformed": 1}
    assert report["watermark"] == "2013-01-01T01:50:00Z"
    lake = project.parent / ".mercury" / "lake"
    assert [row["trips"] for row in twin.read(str(lake / "windows" / "hourly"))] == [1]


def test_status_reads_the_log(project: Path) -> None:
    files = project.parent / "events"
    invoke("run", "trips", files, "--source", "files", "--until-end", "--drain", "--project", project)

    status = json.loads(invoke("status", "trips", "--project", project, "--format", "json").stdout)

    assert (status["epochs"], status["events"], status["positions"]) == (1, 5, {"0": 5})
    assert status["watermark"] == "end"
    assert status["windows"] == {"hourly": 2}


def test_metrics_are_told_while_the_stream_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scraped: list[str] = []
    committed = StreamMetrics.committed

    def scrape_after(metrics: StreamMetrics, progress: EpochProgress, now: int) -> None:
        committed(metrics, progress, now)
        (url,) = re.findall(r"metrics at (http\S+)", told.getvalue())
        scraped.append(urllib.request.urlopen(url, timeout=10).read().decode())

    told = io.StringIO()
    monkeypatch.setattr("mercury.cli.stream.click.echo", lambda text, err=False: told.write(f"{text}\n"))
    monkeypatch.setattr(StreamMetrics, "committed", scrape_after)
    files = project.parent / "events"
    invoke("run", "trips", files, "--source", "files", "--until-end", "--metrics-port", 0, "--project", project)

    (text,) = scraped
    got = {
        (sample.name.removeprefix("mercury_stream_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert {
        key: got[key] for key in (("records_total", "trips"), ("rows_total", "trips"), ("epochs_total", "trips"))
    } == {
        ("records_total", "trips"): 5,
        ("rows_total", "trips"): 2,
        ("epochs_total", "trips"): 1,
    }
    assert got["dead_letters_total", "contract", "trips"] == got["dead_letters_total", "malformed", "trips"] == 1
    assert got["duplicates_total", "trips"] == 1
    assert got["late_rows_total", "trips"] == got["worker_restarts_total", "trips"] == 0
    assert got["window_rows_total", "hourly", "trips"] == 1
    assert got["consumer_lag", "0", "trips"] == 0
    assert got["watermark_seconds", "trips"] == (START + 110 * MINUTE) / SECOND
    assert got["epoch_seconds_count", "trips"] == got["commit_seconds_count", "trips"] == 1
    assert 0 < got["commit_seconds_sum", "trips"] < got["epoch_seconds_sum", "trips"]
    phases = sum(value for key, value in got.items() if key[0] == "phase_seconds_total")
    assert phases == pytest.approx(got["epoch_seconds_sum", "trips"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_after_the_epoch(
    project: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr("mercury.cli.stream._echo_epoch", lambda progress: os.kill(os.getpid(), number))
    before = signal.getsignal(number)

    result = invoke("run", "trips", project.parent / "events", "--source", "files", "--project", project)

    assert dict(line.split(maxsplit=1) for line in result.stdout.splitlines())["epochs"] == "1"
    assert signal.getsignal(number) is before


@pytest.mark.ray
def test_sigterm_stops_it_after_the_epoch_on_ray_as_well(project: Path, ray_local: RaySession) -> None:
    command = ("stream", "run", "trips", project.parent / "events", "--source", "files", "--workers", 1)
    process = subprocess.Popen(
        [sys.executable, "-c", "from mercury.cli import main; main()", *map(str, command), "--project", str(project)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_ADDRESS": ray_local.address},
    )
    assert process.stderr is not None
    assert any(line.startswith("epoch 1: 5 events") for line in process.stderr)
    process.terminate()

    told, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert dict(line.split(maxsplit=1) for line in told.splitlines())["epochs"] == "1"


def test_a_metrics_port_in_use_is_told_before_anything_runs(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = (
            "run",
            "trips",
            project.parent / "events",
            "--source",
            "files",
            "--until-end",
            "--project",
            project,
        )
        with pytest.raises(PortInUseError, match=f"port {port} is taken"):
            invoke(*arguments, "--metrics-port", port)
    assert not (project.parent / ".mercury" / "lake").exists()


def test_status_of_a_stream_that_has_not_run_is_zero(project: Path) -> None:
    lines = dict(line.split(maxsplit=1) for line in invoke("status", "trips", "--project", project).stdout.splitlines())

    assert (lines["epochs"], lines["events"], lines["watermark"]) == ("0", "0", "none")


def test_an_unknown_stream_is_not_found(project: Path) -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'trips'"):
        invoke("status", "trip", "--project", project)


def test_options_that_contradict_each_other_are_refused(project: Path) -> None:
    with pytest.raises(UsageError, match="--drain needs --until-end"):
        invoke("run", "trips", "--drain", "--project", project)
    with pytest.raises(UsageError, match="exclude each other"):
        invoke("run", "trips", "--until-end", "--for", "1", "--project", project)
    with pytest.raises(UsageError, match="needs paths"):
        invoke("run", "trips", "--source", "files", "--project", project)
    with pytest.raises(UsageError, match="not expected"):
        invoke("run", "trips", "somewhere", "--project", project)
