"""The flights job: equal to a pandas join of the same data, on DuckDB and on Spark through a submitted Ray job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from mercury.lake import Lake
from mercury.tables import Table
from tests import flights_data

ROOT = Path(__file__).parents[2]

PROJECT = """
from mercury import Job, Project

project = Project("flights", [
    Job("flight_features", script="jobs/flight_features.py",
        inputs=["raw_flights", "raw_planes", "raw_weather"], output="flight_features"),
])
"""


def january() -> dict[str, pa.Table]:
    """The raw tables: flights of January with their id and instant, all planes, all weather."""
    flights = flights_data.flights().to_pandas()
    flights = flights[flights["month"] == 1].reset_index(drop=True)
    flights["flight_id"] = flights["carrier"] + flights["flight"].astype(str) + "-" + flights.index.astype(str)
    flights["sched_dep"] = flights["time_hour"] + pd.to_timedelta(flights["minute"], unit="m").astype("timedelta64[us]")
    table = pa.Table.from_pandas(flights, preserve_index=False).replace_schema_metadata(None)
    return {
        "raw_flights": table,
        "raw_planes": flights_data.table("planes"),
        "raw_weather": flights_data.table("weather"),
    }


def expected(raw: dict[str, pa.Table]) -> pd.DataFrame:
    flights = raw["raw_flights"].to_pandas()
    planes = raw["raw_planes"].to_pandas()[["tailnum", "year", "seats"]].rename(columns={"year": "built"})
    order = ["year", "month", "day", "hour", "temp", "wind_speed", "precip", "visib"]
    weather = raw["raw_weather"].to_pandas().sort_values(order, na_position="last", kind="stable")
    weather = weather.drop_duplicates(["origin", "time_hour"]).rename(columns={"time_hour": "known_at"})
    flights["known_at"] = flights["sched_dep"].dt.floor("h")
    joined = flights.merge(planes, on="tailnum", how="left").merge(
        weather[["origin", "known_at", "temp", "wind_speed", "precip", "visib"]], on=["origin", "known_at"], how="left"
    )
    joined["sched_hour"] = joined["hour"]
    joined["dow"] = pd.to_datetime(joined[["year", "month", "day"]]).dt.dayofweek + 1
    joined["plane_age"] = 2013 - joined["built"]
    return joined


def check(table: pa.Table, raw: dict[str, pa.Table]) -> None:
    got = table.to_pandas().sort_values("flight_id", ignore_index=True)
    want = expected(raw)[got.columns].sort_values("flight_id", ignore_index=True)
    pd.testing.assert_frame_equal(got, want, check_dtype=False)
    assert got["temp"].notna().mean() > 0.9
    assert got["plane_age"].notna().mean() > 0.7
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["known_at"] == "timestamp[us, tz=UTC]" and kinds["sched_hour"] == "int32"


@pytest.fixture(scope="module")
def raw() -> dict[str, pa.Table]:
    return january()


@pytest.fixture
def project(tmp_path: Path, raw: dict[str, pa.Table]) -> Path:
    """A project file beside a lake with the raw tables."""
    lake = Lake(str(tmp_path / ".mercury" / "lake"))
    for name, table in raw.items():
        Table.create(lake.table(name), table.schema).append(table)
    file = tmp_path / "mercury_project.py"
    file.write_text(PROJECT)
    return file


def mercury(*arguments: str, deadline: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from mercury.cli import main; main()", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        capture_output=True,
        text=True,
        timeout=deadline,
    )


def batch_run(project: Path, *options: str) -> dict[str, Any]:
    done = mercury("batch", "run", "flight_features", "--project", str(project), "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def output(project: Path) -> Table:
    return Table.open(Lake(str(project.parent / ".mercury" / "lake")).table("flight_features"))


def test_small_inputs_run_in_a_process_without_a_cluster(project: Path, raw: dict[str, pa.Table]) -> None:
    result = batch_run(project)
    assert (result["engine"], result["rows"]) == ("duckdb", raw["raw_flights"].num_rows)
    check(output(project).read(), raw)
    assert batch_run(project)["skipped"]

    one_day = batch_run(project, "--date", "2013-01-15")
    assert one_day["partition"] == "2013-01-15" and 700 < one_day["rows"] < 1000
    check(output(project).read(), raw)
    listed = mercury("batch", "status", "--project", str(project))
    assert [line.split("  ")[1:3] for line in listed.stdout.splitlines()] == [
        ["2013-01-15", "up to date"],
        ["all", "out of date"],  # a day of it was written since
    ]


@pytest.mark.ray
@pytest.mark.spark
@pytest.mark.slow
def test_spark_on_ray_through_a_submitted_job(project: Path, raw: dict[str, pa.Table]) -> None:
    result = batch_run(project, "--engine", "spark", "--deadline", "110s")
    assert (result["engine"], result["rows"]) == ("spark", raw["raw_flights"].num_rows)
    table = output(project)
    check(table.read(), raw)
    commit = table.history()[0]
    assert commit.provenance["inputs"] == {"raw_flights": 1, "raw_planes": 1, "raw_weather": 1}
    assert table.transaction_version("batch/flight_features/all") == 1
    # Written by Spark's executors, and pruned by the statistics that the commit took from the footers.
    assert all("data-batch-flight_features-all" in file for file in table.files())
    assert table.files("month = 2") == []
    folder = Path(table.files()[0]).parent
    assert sorted(folder.iterdir()) == sorted(Path(file) for file in table.files())

    lineage = (project.parent / ".mercury" / "lineage.jsonl").read_text()
    told = [json.loads(line) for line in lineage.splitlines()]
    runs = {event["job"]["name"]: event for event in told if event["eventType"] == "COMPLETE"}
    job, sender = runs["flight_features"]["run"], runs["dispatch.flight_features"]["run"]
    assert (job["runId"], job["facets"]["parent"]["run"]["runId"]) == (commit.provenance["run"], sender["runId"])
    code = [run["job"]["facets"]["sourceCodeLocation"] for run in runs.values()]
    assert code[0] == code[1] and code[0]["url"] == project.as_uri()

    again = batch_run(project, "--engine", "spark")
    assert again["skipped"] and again["version"] == result["version"]
    # Neither the job nor who would have sent it has begun.
    assert (project.parent / ".mercury" / "lineage.jsonl").read_text() == lineage


def test_a_wrong_date_and_an_unknown_job_are_usage_errors(project: Path) -> None:
    wrong = mercury("batch", "run", "flight_features", "--project", str(project), "--date", "January")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "'January' is not a date (--date)" in wrong.stderr
    unknown = mercury("batch", "run", "flight_feature", "--project", str(project))
    assert unknown.returncode == 4 and "Did you mean 'flight_features'" in unknown.stderr
