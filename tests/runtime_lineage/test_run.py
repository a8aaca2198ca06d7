"""What a run tells of itself: its states, what it read and wrote, its parent."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from mercury.config import Settings
from mercury.runtime import lineage
from tests.runtime_lineage.official import told

OUTER = "01a20875-54d1-7236-be20-514ca9b9cab9"


def test_a_run_tells_what_it_read_and_wrote(settings: Settings) -> None:
    with lineage.run("join", settings=settings) as run:
        run.input("/lake/raw", version=3)
        run.output("s3://lake/joined", version=7, rows=120)

    start, complete = told(settings)
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == complete["run"]["runId"] == run.id
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", run.id)
    assert (complete["job"]["namespace"], complete["job"]["name"]) == ("mercury", "join")
    assert start["inputs"] == []
    (read,) = complete["inputs"]
    (written,) = complete["outputs"]
    assert (read["namespace"], read["name"]) == ("file", "/lake/raw")
    assert read["facets"]["version"]["datasetVersion"] == "3"
    assert (written["namespace"], written["name"]) == ("s3://lake", "joined")
    assert written["facets"]["version"]["datasetVersion"] == "7"
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 120
    assert complete["job"]["facets"]["jobType"]["processingType"] == "BATCH"
    assert complete["run"]["facets"]["processing_engine"]["name"] == "mercury"
    assert "parent" not in complete["run"]["facets"]


def test_a_dataset_that_is_named_again_adds_up(settings: Settings) -> None:
    checked = [{"assertion": "not_null", "name": name, "success": True} for name in ("a", "b")]
    with lineage.run("stream", settings=settings, streaming=True) as run:
        run.input("/t", version=1, assertions=checked[:1])
        run.input("/t", rows=3, assertions=checked[1:])
        run.output("/u", version=1, rows=10)
        run.progress()
        run.output("/u", version=2, rows=5)

    _, running, complete = told(settings)
    assert running["eventType"] == "RUNNING"
    assert running["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 10
    (read,), (written,) = complete["inputs"], complete["outputs"]
    assert read["facets"]["version"]["datasetVersion"] == "1"
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 3
    assert [entry["name"] for entry in read["inputFacets"]["dataQualityAssertions"]["assertions"]] == ["a", "b"]
    assert written["facets"]["version"]["datasetVersion"] == "2"
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 15
    assert complete["job"]["facets"]["jobType"]["processingType"] == "STREAMING"


def test_a_run_that_raises_fails_with_what_it_had_read(settings: Settings) -> None:
    with pytest.raises(ValueError, match="no such column"), lineage.run("join", settings=settings) as run:
        run.input("/raw", version=3)
        raise ValueError("no such column \udcff")

    _, fail = told(settings)
    assert fail["eventType"] == "FAIL"
    assert fail["run"]["facets"]["errorMessage"]["message"] == "ValueError: no such column \udcff"
    assert fail["run"]["facets"]["errorMessage"]["programmingLanguage"] == "python"
    assert [read["name"] for read in fail["inputs"]] == ["/raw"]


class PanicException(BaseException):
    """What a panic in a Rust extension looks like."""


@pytest.mark.parametrize(
    ("raised", "state"),
    [(KeyboardInterrupt, "ABORT"), (SystemExit, "ABORT"), (PanicException, "FAIL"), (OSError, "FAIL")],
)
def test_an_interrupted_run_is_aborted_and_a_panic_is_a_failure(
    settings: Settings, raised: type[BaseException], state: str
) -> None:
    with pytest.raises(raised), lineage.run("join", settings=settings):
        raise raised

    assert told(settings)[-1]["eventType"] == state


def test_a_run_inside_a_run_names_its_parent(settings: Settings) -> None:
    with lineage.run("outer", settings=settings) as outer:
        with lineage.run("inner", settings=settings):
            lineage.current().input("/of/inner")
        lineage.current().input("/of/outer")

    ends = {event["job"]["name"]: event for event in told(settings) if event["eventType"] == "COMPLETE"}
    parent = ends["inner"]["run"]["facets"]["parent"]
    assert (parent["run"], parent["job"]) == (
        {"runId": outer.id, "facets": {}},
        {"namespace": "mercury", "name": "outer", "facets": {}},
    )
    assert "parent" not in ends["outer"]["run"]["facets"]
    assert {name: event["inputs"][0]["name"] for name, event in ends.items()} == {
        "inner": "/of/inner",
        "outer": "/of/outer",
    }


def test_a_parent_and_the_code_come_with_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lineage.PARENT_VARIABLE, f"airflow/dag.task/of/a/day/{OUTER}")
    with lineage.run("outer", settings=settings) as outer:
        passed_on = lineage.environment()

    parent = told(settings)[0]["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == OUTER
    assert [parent["job"][part] for part in ("namespace", "name")] == ["airflow", "dag.task/of/a/day"]
    code = lineage.code_version(settings.project)
    assert passed_on == {
        "OPENLINEAGE_PARENT_ID": f"mercury/outer/{outer.id}",
        "LINEAGE_CODE": f"{code.kind} {code.version} {settings.project.as_uri()}",
    }
    monkeypatch.setenv("LINEAGE_CODE", passed_on["LINEAGE_CODE"])
    assert lineage.code_version(settings.project.parent / "copy" / "mercury_project.py") == code
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "flights")
    assert lineage.environment() == {
        "OPENLINEAGE_PARENT_ID": f"airflow/dag.task/of/a/day/{OUTER}",
        "OPENLINEAGE_NAMESPACE": "flights",
        "LINEAGE_CODE": passed_on["LINEAGE_CODE"],
    }


@pytest.mark.parametrize("text", ["nonsense", "a/b", f"/b/{OUTER}", "a/b/not-a-uuid"])
def test_a_parent_that_cannot_be_read_is_told_and_left_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    monkeypatch.setenv(lineage.PARENT_VARIABLE, text)
    with lineage.run("outer", settings=settings):
        pass

    assert [event["eventType"] for event in told(settings)] == ["START", "COMPLETE"]
    assert "parent" not in told(settings)[0]["run"]["facets"]
    assert "the run has no parent" in caplog.text


def test_jobs_get_the_namespace_of_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "flights-production")
    with lineage.run("join", settings=settings):
        pass

    assert {event["job"]["namespace"] for event in told(settings)} == {"flights-production"}


def test_nothing_heavy_is_imported_before_the_first_run() -> None:
    program = "import sys, mercury.runtime.lineage; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"openlineage", "requests", "httpx", "ray", "pyarrow", "deltalake"} & set(loaded)


def test_without_settings_nobody_is_told(settings: Settings) -> None:
    with lineage.run("join", settings=None) as run:
        run.input("/raw", rows=1)
        run.progress()
    lineage.current().output("/nowhere")

    assert lineage.environment() == {}
    assert not settings.state.exists()
