"""The flights story as a user runs it: `mercury demo --fast` over a real broker, then again from files.

What the story says of itself in ``outcome.json`` is held against the data set and against its tables, read by other
libraries than those that wrote them.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import mlflow
import pytest
from deltalake import DeltaTable

from flights import events
from flights.story import Options
from mercury.time import DAY, parse_instant

pytestmark = [pytest.mark.ray, pytest.mark.spark, pytest.mark.kafka, pytest.mark.slow]

LEAKS = ["air_time", "arr_time", "dep_delay", "dep_time"]
DEADLINE_SECONDS = 420


def tell(state: Path, *options: str) -> dict[str, Any]:
    """Run the command to its end and return what it found; its output is shown when it fails."""
    program = str(Path(sys.executable).with_name("mercury"))
    done = subprocess.run(
        [program, "demo", "--fast", "--state", str(state), *options],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        env={name: value for name, value in os.environ.items() if not name.startswith(("MERCURY_", "RAY_"))},
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    outcome = json.loads((state / "outcome.json").read_text())
    outcome["said"] = done.stderr
    return outcome


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("story") / "state"


@pytest.fixture(scope="module")
def story(state: Path) -> dict[str, Any]:
    return tell(state)


@pytest.fixture(scope="module")
def january() -> tuple[Any, events.Feed]:
    flights = events.history(months=1)
    return flights, events.feed(flights, zeroed_from=Options(fast=True).zeroed_from)


def rows(state: Path, table: str) -> duckdb.DuckDBPyRelation:
    return duckdb.from_arrow(DeltaTable(str(state / "lake" / table)).to_pyarrow_table())


def in_order(state: Path, table: str) -> list[list[Any]]:
    return [list(row.values()) for row in rows(state, table).order("ALL").to_arrow_table().to_pylist()]


def test_every_event_ends_in_one_place(story: dict[str, Any], state: Path, january: Any) -> None:
    flights, feed = january
    stream, planted = story["stream"], feed.counts

    happened = flights.num_rows + flights.num_rows - flights["arr_delay"].null_count
    assert planted["honest"] == happened
    assert stream["planted"] == planted
    assert stream["events"] == planted["honest"] + planted["duplicates"] + planted["malformed"]
    assert stream["rows"] + stream["late"] == happened
    # A very late event is late; so is the second copy of nothing.
    assert planted["very_late"] <= stream["late"] < planted["very_late"] + 3
    assert (stream["duplicates"], stream["dead"]) == (planted["duplicates"], planted["malformed"])
    written = rows(state, "streams/flights/rows")
    assert written.aggregate("count(*), count(DISTINCT event_id)").fetchall() == [(stream["rows"],) * 2]


def test_a_worker_died_and_no_row_differs(story: dict[str, Any]) -> None:
    assert story["stream"]["restarts"] >= 1
    assert re.search(r"worker process \d+ was killed with SIGKILL", story["said"])
    assert story["verified"]["rows"] == story["stream"]["rows"]
    assert min(story["verified"].values()) > 0


def test_windows_are_those_of_the_history(story: dict[str, Any], state: Path, january: Any) -> None:
    flights, _ = january
    window = rows(state, "windows/carrier_hourly")
    departures = window.aggregate("sum(departures), sum(cancellations)").fetchall()[0]
    gone, cancelled = flights.num_rows - flights["dep_delay"].null_count, flights["dep_delay"].null_count

    late = rows(state, "streams/flights/late").aggregate(
        "count(*) FILTER (kind = 'departure'), count(*) FILTER (kind = 'cancellation')"
    )
    missing = late.fetchall()[0]
    assert departures == (gone - missing[0], cancelled - missing[1])


def test_the_contract_was_kept_and_reported(story: dict[str, Any], state: Path) -> None:
    assert story["quality"]["passed"] == story["quality"]["checks"] >= 80
    assert story["quality"]["rows"] == 27_004
    report = json.loads((state / "quality.json").read_text())
    assert {result["verdict"] for result in report["results"]} == {"pass"}
    assert "<html" in (state / "quality.html").read_text()


def test_the_batch_job_wrote_one_row_per_flight_once(story: dict[str, Any], state: Path) -> None:
    assert story["batch"]["engine"] == "spark"
    assert story["batch"]["second_run_skipped"] is True
    table = DeltaTable(str(state / "lake/tables/flight_features"))
    assert table.to_pyarrow_table().num_rows == story["batch"]["rows"] == 27_004
    assert not list((state / "lake/tables/flight_features").rglob("*.jar"))


def test_the_planted_leaks_are_found_and_nothing_else(story: dict[str, Any]) -> None:
    assert story["leakage"]["found"] == sorted(story["leakage"]["planted"]) == LEAKS
    assert story["leakage"]["honest_findings"] == 0


def test_the_champion_is_in_mlflow(story: dict[str, Any], state: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{state}/mlflow.db")
    version = client.get_model_version_by_alias("delay_risk", "champion")
    assert str(version.version) == story["model"]["version"]
    assert 0.65 < story["model"]["auc"] < 0.85
    assert story["model"]["rows"]["train"] + story["model"]["rows"]["test"] == story["features"]["examples"]


def test_served_features_are_those_of_the_join(story: dict[str, Any]) -> None:
    served = story["requests"]
    assert served["differing"] == 0
    assert served["values"] == served["count"] * story["features"]["features"]
    assert served["ids"] == served["count"] > 500
    assert 0.5 < served["auc"] < 0.85


def test_every_run_left_its_lineage(story: dict[str, Any], state: Path) -> None:
    told = [json.loads(line) for line in (state / "lineage.jsonl").read_text().splitlines()]
    complete = {event["job"]["name"] for event in told if event["eventType"] == "COMPLETE"}
    assert {"flight_features", "train.delay_risk", "stream.flights", "check.flights_history"} <= complete
    assert {f"materialize.{view}" for view in ("schedule", "carrier_delay", "origin_delay")} <= complete
    assert not [event for event in told if event["eventType"] == "FAIL"]


def test_the_alarm_rises_soon_after_the_fault_and_never_before(story: dict[str, Any], state: Path) -> None:
    watched, fault = story["monitor"], Options(fast=True).zeroed_from
    alarmed = [parse_instant(day["start"]) for day in watched["days"] if day["alarm"]]
    clean = [day for day in watched["days"] if parse_instant(day["start"]) < fault]

    assert parse_instant(watched["fault"]) == fault
    assert len(clean) >= 5 and not any(day["alarm"] for day in clean)
    assert fault <= alarmed[0] < fault + 3 * DAY
    assert "dep_delay" in watched["alarms"][0]["columns"]
    assert watched["changed"][0] == "= 0" and watched["changed"][2] > watched["changed"][1] + 0.05


def test_every_prediction_was_captured_and_its_features_are_those_of_the_join(
    story: dict[str, Any], state: Path
) -> None:
    watched = story["monitor"]
    kept = rows(state, "models/delay_risk/predictions").aggregate("count(*), count(DISTINCT prediction_id)").fetchall()

    assert kept == [(story["requests"]["count"],) * 2]
    assert watched["skew"] == {"rows": watched["captured"], "differing": 0}
    judged = [period for period in watched["quality"] if period["realised"]]
    assert judged and all(0.4 < period["realised"]["auc"] < 1.0 for period in judged)


def test_no_metric_differs_from_the_rows_whatever_way_it_was_answered(story: dict[str, Any]) -> None:
    metrics = story["metrics"]
    assert (metrics["queries"], metrics["differing"]) == (30, 0)
    assert sum(metrics["routes"].values()) == 60
    assert sum(count for route, count in metrics["routes"].items() if "rollup" in route) >= 5
    assert sum(count for route, count in metrics["routes"].items() if "tail" in route) >= 1
    badges = {tile["metric"]: [badge["value"] for badge in tile["badges"]] for tile in metrics["tiles"]}
    assert badges["late_rate"] == badges["mean_delay"] == ["dep_delay"] and badges["flights"] == badges["miles"] == []
    assert len(metrics["ahead"]["outlook"]["forecast"]) == 7 and len(metrics["ahead"]["days"]) >= 29
    by_origin = metrics["answers"][0]["rows"]
    assert [row["origin"] for row in by_origin] == ["EWR", "JFK", "LGA"]


def test_forecasts_hold_what_they_say(story: dict[str, Any]) -> None:
    forecast = story["forecast"]
    assert forecast["series"] >= 15
    for level, share in forecast["coverage"].items():
        assert abs(share - int(level) / 100) <= 0.05
    assert "SeasonalNaive" in {row["method"] for row in forecast["leaderboard"]}


def test_private_answers_are_near_the_truth_and_the_ledger_is_what_was_spent(story: dict[str, Any]) -> None:
    """Each of at most 16 values is within four of its 95 % intervals but for once in 10^5 runs, bounding apart."""
    private = story["private"]
    assert [row["key"] for row in private["flights"]] == ["EWR", "JFK", "LGA"]
    for row in [*private["flights"], *private["aircraft"]]:
        assert abs(row["private"] - row["true"]) <= 4 * row["error"] + 0.1 * row["true"], row
    assert private["charges"] == len(private["lines"]) == 2
    assert private["released"] == private["ledger"] == private["lines"][-1]["spent"] == 2.0
    assert "has epsilon 0.5 and delta" in private["refusal"]


def test_the_story_is_one_page_that_needs_nothing_else(story: dict[str, Any], state: Path) -> None:
    html = (state / "story.html").read_text()

    assert not re.search(r"\b(src|href)\s*=|url\(|@import|<script", html)
    for number in (story["stream"]["events"], story["quality"]["rows"], story["requests"]["count"]):
        assert f"{number:,}" in html
    assert html.count("<svg") >= 4


def test_the_same_story_from_files_gives_the_same_tables(story: dict[str, Any], state: Path) -> None:
    windows = ["carrier_hourly", "origin_hourly"]
    before = {name: in_order(state, f"windows/{name}") for name in windows}
    from_broker = dict(story["stream"])

    again = tell(state, "--source", "files")

    assert {name: again["stream"][name] for name in ("rows", "late", "duplicates", "dead")} == {
        name: from_broker[name] for name in ("rows", "late", "duplicates", "dead")
    }
    for name in windows:
        for one, other in zip(before[name], in_order(state, f"windows/{name}"), strict=True):
            assert all(a == b or math.isclose(a, b, rel_tol=1e-9) for a, b in zip(one, other, strict=True)), (
                one,
                other,
            )
    assert again["requests"]["differing"] == 0
    assert again["leakage"]["found"] == LEAKS
