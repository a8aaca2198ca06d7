"""Following a model's training set back through the events: versions that one run wrote are those that another read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.config import Settings
from mercury.errors import DataError
from mercury.features.instants import UTC_MICROSECONDS
from mercury.lake import Lake
from mercury.tables import Table
from tests.quality.contracts import contract_text
from tests.runtime_lineage.official import Event, told
from tests.runtime_lineage.shops import CONTRACT, SCRIPT, mercury, run_all, sum_up


def place(dataset: Event) -> tuple[str, str | None]:
    """Name and version of a local dataset."""
    assert dataset["namespace"] == "file"
    return dataset["name"], dataset["facets"].get("version", {}).get("datasetVersion")


def ends(events: list[Event]) -> dict[str, Event]:
    return {event["job"]["name"]: event for event in events if event["eventType"] == "COMPLETE"}


def test_a_training_set_is_traced_to_the_checked_version_of_the_raw_table(shops: Settings) -> None:
    lake, folder = Lake(shops.lake), shops.project.parent
    run_all(shops)

    events = told(shops)
    told_of = ends(events)
    made = {place(written): event for event in told_of.values() for written in event["outputs"]}

    training = made[str(folder / "training.parquet"), None]
    assert training["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 2
    trail = []
    reads: list[Event] = [training]
    while reads:
        trail += [sorted(place(read) for event in reads for read in event["inputs"])]
        reads = [made[read] for read in trail[-1] if read in made]
    runs_version = made_version(told_of["materialize.spending"], lake.feature_runs("spending"))
    assert trail == [
        [(lake.feature_runs("spending"), runs_version), (str(folder / "labels.parquet"), None)],
        [(lake.table("totals"), str(Table.open(lake.table("totals")).version))],
        [(lake.table("sales"), "1")],
    ]

    checked = told_of["check.t"]["inputs"][0]
    assert place(checked) == trail[-1][0]
    assertions = checked["inputFacets"]["dataQualityAssertions"]["assertions"]
    failed = [(entry["column"], entry["severity"]) for entry in assertions if not entry["success"]]
    assert failed == [("amount", "error")]
    assert checked["inputFacets"]["inputStatistics"]["rowCount"] == 3
    assert place(told_of["check.t"]["outputs"][0]) == (str(folder / "bad" / "bad.parquet"), None)

    assert told_of["sum_up"]["run"]["facets"]["parent"]["run"]["runId"] == told_of["dispatch.sum_up"]["run"]["runId"]
    commit = Table.open(lake.table("totals")).history()[0]
    assert commit.provenance["run"] == told_of["sum_up"]["run"]["runId"]
    assert {event["job"]["facets"]["sourceCodeLocation"]["version"] for event in events} == {
        events[0]["job"]["facets"]["sourceCodeLocation"]["version"]
    }


def made_version(event: Event, name: str) -> Any:
    """Which version of a dataset a run made."""
    return dict(place(written) for written in event["outputs"])[name]


def test_a_second_run_reads_and_makes_the_next_versions(shops: Settings) -> None:
    lake = Lake(shops.lake)
    for _ in range(2):
        sum_up(shops)
        assert mercury("features", "materialize") == 0
    once = len(told(shops))
    assert [event["job"]["name"] for event in told(shops)].count("sum_up") == 2  # START and COMPLETE of one run
    Table.open(lake.table("sales")).append(
        pa.table({"shop": ["c"], "amount": [9.0], "ts": pa.array([40], UTC_MICROSECONDS)})
    )
    sum_up(shops)
    assert mercury("features", "materialize") == 0

    first, again = ends(told(shops)[:once]), ends(told(shops)[once:])
    assert [place(event["sum_up"]["inputs"][0])[1] for event in (first, again)] == ["1", "2"]
    for event in (first, again):
        assert place(event["sum_up"]["outputs"][0]) == place(event["materialize.spending"]["inputs"][0])
    runs = lake.feature_runs("spending")
    versions = [made_version(event["materialize.spending"], runs) for event in (first, again)]
    assert versions[0] != versions[1]


def test_a_job_that_fails_tells_why_and_so_does_who_sent_it(shops: Settings, tmp_path: Path) -> None:
    (shops.project.parent / "jobs" / "sum_up.py").write_text(SCRIPT.replace("sum(amount)", "sum(nothing)"))
    with pytest.raises(Exception, match="sum_up"):
        sum_up(shops)

    failed = {event["job"]["name"]: event for event in told(shops) if event["eventType"] == "FAIL"}
    assert set(failed) == {"sum_up", "dispatch.sum_up"}
    assert "nothing" in failed["sum_up"]["run"]["facets"]["errorMessage"]["message"]
    assert place(failed["sum_up"]["inputs"][0]) == (Lake(shops.lake).table("sales"), "1")
    assert failed["sum_up"]["outputs"] == []


def test_an_audit_tells_the_leaks_that_it_found_and_the_features_that_it_compared(shops: Settings) -> None:
    lake = Lake(shops.lake)
    totals = pa.table({"shop": ["a", "b"], "total": [5.0, 2.0], "ts": pa.array([30, 20], UTC_MICROSECONDS)})
    Table.create(lake.table("totals"), totals.schema).append(totals)
    mercury("features", "materialize")
    asked = ("--event-time", "at")
    mercury("features", "training-set", "risk", "labels.parquet", *asked, "-o", "training.parquet")
    leaky = pq.read_table("training.parquet").append_column("y", pa.array([0, 1]))
    pq.write_table(leaky.set_column(2, "total", pa.array([5.0, 3.0])), "training.parquet")
    with pytest.raises(DataError, match="total"):
        mercury("features", "audit", "training.parquet", *asked, "--label", "y", "--service", "risk", "--no-gain")

    audit = ends(told(shops))["audit.training"]
    inputs = {each["name"]: each for each in audit["inputs"]}
    training = inputs.pop(str(shops.project.parent / "training.parquet"))
    verdict, finding = training["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (verdict["assertion"], verdict["success"]) == ("no_leakage", False)
    assert (finding["assertion"], finding["column"], finding["severity"]) == ("rebuild", "total", "error")
    assert training["inputFacets"]["inputStatistics"]["rowCount"] == 2
    (compared,) = inputs.values()
    assert place(compared)[1] == made_version(ends(told(shops))["materialize.spending"], lake.feature_runs("spending"))


def test_a_check_outside_of_a_project_tells_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"shop": ["a"], "amount": [3.0]}), "sales.parquet")
    Path("sales.odcs.yaml").write_text(contract_text(CONTRACT))

    assert mercury("quality", "check", "sales.parquet", "-c", "sales.odcs.yaml") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sales.odcs.yaml", "sales.parquet"]
