"""A monitor from captured predictions to its report: alarms, late labels, quality with and without, skew, files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from sklearn.metrics import roc_auc_score

from mercury.cli.monitor import monitor as command
from mercury.config import Settings, load_settings
from mercury.definitions import FeatureView, Model, Monitor, Project
from mercury.errors import NotFoundError, TableNotFoundError, UsageError
from mercury.features import FeatureStore, materialize
from mercury.lake import Lake
from mercury.models import fit
from mercury.models.serving import predictors
from mercury.observability import MonitorReport, last_report, run_monitor, sources
from mercury.observability.publishing import MONITOR_METRICS, publish
from mercury.observability.report import page
from mercury.projects import load_project
from mercury.runtime.metrics import Metrics
from mercury.tables import Table
from mercury.time import DAY, HOUR, parse_instant

PROJECT = Path(__file__).with_name("watch_project.py")
SEED = 20131201
START = parse_instant("2013-01-01")
LEARNT_DAYS, SERVED_DAYS, FAULT_DAY, PER_DAY = 40, 12, 48, 600
AT = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Watched:
    """A project whose model was trained, served and monitored."""

    settings: Settings
    project: Project
    flights: pa.Table
    report: MonitorReport


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """52 days of flights; the model learns from 40, and on the last four a tenth of the delays are written as 0."""
    settings = load_settings(PROJECT, {"MERCURY_STATE": str(tmp_path_factory.mktemp("watch"))})
    project = load_project(settings.project)
    rows, lake = flights(), Lake(settings.lake)
    for name, columns in {
        "schedule": ["flight_id", "carrier", "distance", "fill", "known"],
        "landings": ["flight_id", "sched_dep", "landed", "dep_delay", "arr_delay"],
    }.items():
        table = rows.select(columns)
        Table.create(lake.table(name), table.schema).append(table)
    for view in project.of(FeatureView):
        materialize(FeatureStore.of(settings), view)
    learned = START + LEARNT_DAYS * DAY
    fit(project.get(Model, "risk"), settings, until=learned)
    served = rows.filter(pc.greater_equal(rows["sched_dep"].cast(pa.int64()), learned))
    (predictor,) = predictors(project, settings).values()
    assert predictor.capture is not None
    times, ids = served["sched_dep"].cast(pa.int64()).to_pylist(), served["flight_id"].to_pylist()
    for low in range(0, served.num_rows, 20):
        part = ids[low : low + 20]
        predictor.predict([{"flight_id": flight} for flight in part], now=times[low], ids=part)
    predictor.capture.close()
    return Watched(settings, project, rows, run_monitor(project, "watch", settings, until=START + 52 * DAY))


def flights() -> pa.Table:
    """Flights whose delay follows from their carrier and load, by the time of their departure."""
    random = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    rows = PER_DAY * (LEARNT_DAYS + SERVED_DAYS)
    number = np.arange(rows)
    departs = START + number // PER_DAY * DAY + np.sort(random.integers(0, DAY, (rows // PER_DAY, PER_DAY))).ravel()
    carrier, load = random.integers(0, 4, rows), random.random(rows)
    delay = np.round(random.gamma(0.6 + carrier / 4 + load, 12.0) - 6.0)
    broken = (number // PER_DAY >= FAULT_DAY) & (random.random(rows) < 0.1)
    return pa.table(
        {
            "flight_id": [f"F{place:06}" for place in number],
            "carrier": pa.array(["AA", "B6", "DL", "UA"]).take(pa.array(carrier)),
            "distance": np.round(random.gamma(3.0, 300.0, rows)),
            "fill": pa.array(load, mask=random.random(rows) < 0.01),
            "known": pa.array(departs - DAY).cast(AT),
            "sched_dep": pa.array(departs).cast(AT),
            "landed": pa.array(departs + 3 * HOUR).cast(AT),
            "dep_delay": np.where(broken, 0.0, delay),
            "arr_delay": delay + random.normal(0, 3, rows),
        }
    )


def test_the_fault_raises_one_alarm_that_names_it_and_the_clean_days_none(watched: Watched) -> None:
    report = watched.report

    # The reference ends with the last example, seconds before the end of its day: that day has a window too.
    assert len(report.windows) == SERVED_DAYS + 1
    (alarm,) = report.alarms
    fault = START + FAULT_DAY * DAY
    assert fault <= alarm.start < fault + 3 * DAY
    assert alarm.columns == ["dep_delay"] and alarm.ended is None
    first = next(window for window in report.windows if window.alarm)
    assert first.per_column["dep_delay"].changed is not None
    assert first.per_column["dep_delay"].changed[0] == "= 0"
    assert report.run_length == 7305.0


def test_realised_quality_is_that_of_the_labels_which_have_come(watched: Watched) -> None:
    window = watched.report.windows[4]
    served = Table.open(Lake(watched.settings.lake).predictions("risk")).read()
    times = served["event_time"].cast(pa.int64()).to_numpy()
    mine = served.filter(pa.array((times >= window.start) & (times < window.end)))
    truth = dict(
        zip(watched.flights["flight_id"].to_pylist(), (watched.flights["arr_delay"].to_numpy() > 15), strict=True)
    )
    labels = [truth[flight] for flight in mine["flight_id"].to_pylist()]

    assert window.rows == mine.num_rows == window.labels["known"]
    assert window.realised is not None and window.estimated is not None
    assert window.realised["auc"] == pytest.approx(roc_auc_score(labels, mine["score"].to_numpy()))
    low, high = window.estimated["auc_low"], window.estimated["auc_high"]
    assert low is not None and high is not None and low <= window.realised["auc"] <= high


def test_young_windows_wait_for_their_labels(watched: Watched) -> None:
    """Half a day earlier the labels of the last three hours were not there, and the curve says so."""
    report = run_monitor(watched.project, "watch", watched.settings, until=START + 45 * DAY + 1, write=False)

    last = report.windows[-1]
    assert 0 < last.labels["known"] < last.rows
    assert last.labels["known"] / last.rows == pytest.approx(last.labels["expected"], abs=0.15)
    assert report.windows[1].labels["expected"] == pytest.approx(1.0, abs=0.01)
    assert not report.alarms


def test_served_features_are_those_of_the_point_in_time_join(watched: Watched) -> None:
    skew = watched.report.skew

    assert skew is not None and skew.rows == PER_DAY * SERVED_DAYS
    assert skew.differing == 0 and set(skew.features) == {"carrier", "distance", "fill"}


def test_served_features_that_are_not_those_of_the_join_are_counted(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if an online store had answered 30 requests with an older value of one feature, and lost one of another."""
    read = sources.read_predictions

    def stale(*arguments: Any) -> pa.Table:
        rows = read(*arguments)
        for name, some in (("distance", slice(100, 130)), ("carrier", slice(500, 501))):
            values = rows[name].to_pylist()
            values[some] = [None if name == "carrier" else value + 1.0 for value in values[some]]
            rows = rows.set_column(rows.column_names.index(name), name, pa.array(values, rows[name].type))
        return rows

    monkeypatch.setattr(sources, "read_predictions", stale)
    skew = run_monitor(watched.project, "watch", watched.settings, until=START + 52 * DAY, write=False).skew

    assert skew is not None
    assert {name: feature.differing for name, feature in skew.features.items()} == {
        "distance": 30, "carrier": 1, "fill": 0,
    }  # fmt: skip


def test_labels_that_contradict_each_other_are_noted(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    read = sources.read_labels

    def twice(*arguments: Any) -> pa.Table:
        rows = read(*arguments)
        other = rows.slice(0, 7).set_column(
            rows.column_names.index("label"), "label", pc.subtract(1.0, rows["label"].slice(0, 7))
        )
        return pa.concat_tables([rows, other])

    monkeypatch.setattr(sources, "read_labels", twice)
    report = run_monitor(watched.project, "watch", watched.settings, until=START + 52 * DAY, write=False)

    assert "7 events have labels that came at one time and contradict each other: 1 counts." in report.notes


def test_the_last_report_comes_back_from_the_lake_and_so_do_profiles(watched: Watched) -> None:
    monitor = watched.project.get(Monitor, "watch")

    assert last_report(monitor, watched.settings).to_dict() == watched.report.to_dict()
    kept = Table.open(Lake(watched.settings.lake).profiles("watch")).read(where="\"column\" = 'dep_delay'")
    landed = watched.flights["landed"].cast(pa.int64()).to_numpy()
    since = (landed >= watched.report.learned) & (landed < watched.report.until)
    assert pc.sum(kept["rows"]).as_py() == since.sum()
    assert len(pc.unique(kept["window_start"])) == SERVED_DAYS


def test_a_second_run_finds_the_same(watched: Watched) -> None:
    again = run_monitor(watched.project, "watch", watched.settings, until=START + 52 * DAY, write=False)

    assert json.dumps(again.to_dict()) == json.dumps(watched.report.to_dict())


def test_the_metrics_tell_the_last_window(watched: Watched) -> None:
    metrics = Metrics(MONITOR_METRICS)
    publish(watched.report, metrics)
    own = {"monitor": "watch", "model": "risk"}
    last = watched.report.windows[-1]

    assert metrics.value("mercury_monitor_alarm", **own) == 1.0
    assert metrics.value("mercury_monitor_column_named", column="dep_delay", **own) == 1.0
    assert metrics.value("mercury_monitor_column_named", column="fill", **own) == 0.0
    found = metrics.value("mercury_monitor_statistic", column="dep_delay", statistic="l_infinity", **own)
    assert found == last.per_column["dep_delay"].statistics["l_infinity"].value
    assert last.realised is not None
    assert metrics.value("mercury_monitor_quality", metric="auc", source="realised", **own) == last.realised["auc"]
    assert len(list(text_string_to_metric_families(metrics.text()))) == len(MONITOR_METRICS) + 1


def test_the_command_line_runs_tells_and_writes_the_page(watched: Watched, tmp_path: Path) -> None:
    environment = {"MERCURY_STATE": str(watched.settings.state), "MERCURY_PROJECT": str(PROJECT)}
    runner = CliRunner(env=environment)

    told = runner.invoke(command, ["run", "--until", "2013-02-22T00:00:00Z"])
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("watch: in alarm; 13 windows from 2013-02-09T23:59")
    assert "dep_delay: = 0 from" in told.stdout
    document = json.loads(runner.invoke(command, ["status", "watch", "--format", "json"]).stdout)
    assert document["alarms"][0]["columns"] == ["dep_delay"]
    assert runner.invoke(command, ["report", "-o", str(tmp_path / "page.html")]).exit_code == 0
    text = (tmp_path / "page.html").read_text()
    assert text == page(watched.report)
    assert "dep_delay" in text and "<svg" in text and "<script" not in text


def test_without_a_run_without_rows_and_without_monitors_the_command_says_so(tmp_path: Path) -> None:
    settings = load_settings(PROJECT, {"MERCURY_STATE": str(tmp_path)})
    project = load_project(PROJECT)

    with pytest.raises(NotFoundError, match="Run: mercury monitor run watch"):
        last_report(project.get(Monitor, "watch"), settings)
    with pytest.raises(TableNotFoundError, match="the job that writes it creates it"):
        run_monitor(project, "watch", settings)
    (tmp_path / "none.py").write_text("from mercury import Project\nproject = Project('none', [])\n")
    with pytest.raises(UsageError, match="the project has 0 monitors"):
        CliRunner().invoke(command, ["run", "--project", str(tmp_path / "none.py")], catch_exceptions=False)
