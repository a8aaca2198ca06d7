"""Rules and dashboard: checked by promtool, and every panel's and every rule's PromQL run on a real Prometheus."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from mercury.cli.monitor import monitor as command
from mercury.definitions import Monitor
from mercury.errors import MercuryError, UnavailableError
from mercury.observability.publishing import MONITOR_METRICS, dashboard, publish, rules, write_rules
from mercury.observability.results import ColumnWindow, MonitorReport, WindowReport
from mercury.observability.skew import FeatureSkew, Skew
from mercury.observability.statistics import Statistic
from mercury.projects import load_project
from mercury.runtime.loopback import free_ports
from mercury.runtime.metrics import Metrics, MetricsEndpoint
from mercury.time import DAY, SECOND

PROJECT = Path(__file__).with_name("watch_project.py")
WAIT_SECONDS = 60


def program(name: str) -> str:
    """Where one of Prometheus' programs is."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is missing: run `make test`, or apt-get install prometheus"
    return found


def watch() -> Monitor:
    """The monitor of `watch_project.py`."""
    return load_project(PROJECT).get(Monitor, "watch")


def report_in_alarm() -> MonitorReport:
    """A report whose last window closed a moment ago, in alarm."""
    end = int(time.time()) * SECOND
    quality = {"auc": 0.7, "accuracy": 0.8, "f1": 0.5, "brier": 0.1, "positive_share": 0.2}
    statistics = {name: Statistic(0.1) for name in ("ks", "psi", "l_infinity", "missing")}
    columns = {
        "dep_delay": ColumnWindow(900, statistics, ("= 0", 0.05, 0.15), 30.0, 9000.0, False),
        "temp": ColumnWindow(900, statistics, None, 1.0, 1.0, True),
    }
    window = WindowReport(
        end - DAY, end, 900, columns, 8000.0, True, ["dep_delay"], quality, quality, {"known": 400, "expected": 0.5}
    )
    skew = Skew(900, {"temp": FeatureSkew(30, 0.1)})
    return MonitorReport("watch", "risk", "1", end - DAY, end, 7305.0, [window], [], skew, quality, [])


def test_one_command_writes_rules_that_promtool_takes_and_a_dashboard(tmp_path: Path) -> None:
    told = CliRunner(env={"MERCURY_PROJECT": str(PROJECT)}).invoke(command, ["rules", "-o", str(tmp_path / "out")])
    assert told.exit_code == 0, told.output

    written = [Path(line) for line in told.stdout.splitlines()]
    assert [path.name for path in written] == ["rules.yml", "dashboard.json"]
    done = subprocess.run([program("promtool"), "check", "rules", str(written[0])], capture_output=True, text=True)
    assert done.returncode == 0 and "5 rules found" in done.stdout + done.stderr, done.stdout + done.stderr
    assert json.loads(written[1].read_text())["uid"] == "mercury-monitors"


def test_rules_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """promtool's own unit tests: an alarm at minute 2, a monitor behind after three days, drops at minute 5."""
    write_rules([watch()], tmp_path)
    labels = {"monitor": "watch", "model": "risk", "severity": "critical"}
    alarm = '{monitor="watch", model="risk"}'
    checks = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f"mercury_monitor_alarm{alarm}", "values": "0 0 1 1 1 0 0"},
                    {"series": f"mercury_monitor_window_end_seconds{alarm}", "values": "0x10000"},
                    {"series": f"mercury_monitor_window_rows{alarm}", "values": "900 900 0 0 900x20"},
                    {
                        "series": 'mercury_capture_dropped_total{model="risk", reason="queue"}',
                        "values": "0 0 0 0 0 5x20",
                    },
                ],
                "alert_rule_test": [
                    _expected("MercuryModelChanged", "1m"),
                    _expected("MercuryModelChanged", "3m", labels),
                    _expected("MercuryModelChanged", "6m"),
                    _expected("MercuryNoPredictions", "1m"),
                    _expected("MercuryNoPredictions", "3m", {**labels, "severity": "warning"}),
                    _expected("MercuryNoPredictions", "5m"),
                    _expected("MercuryMonitorBehind", "2d"),
                    _expected("MercuryMonitorBehind", "4d", {**labels, "severity": "warning"}),
                    _expected("MercuryPredictionsDropped", "4m"),
                    _expected(
                        "MercuryPredictionsDropped", "6m", {"model": "risk", "reason": "queue", "severity": "warning"}
                    ),
                ],
            }
        ],
    }
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(checks))

    done = subprocess.run(
        [program("promtool"), "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _expected(alert: str, at: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    expected = []
    if labels is not None:
        (found,) = [rule for group in rules([watch()])["groups"] for rule in group["rules"] if rule["alert"] == alert]
        texts = {name: _filled(text, labels) for name, text in found["annotations"].items()}
        expected = [{"exp_labels": labels, "exp_annotations": texts}]
    return {"alertname": alert, "eval_time": at, "exp_alerts": expected}


def _filled(text: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        text = text.replace("{{ $labels." + name + " }}", value)
    return text


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus with the rules, that scrapes a monitor in alarm every second."""
    folder = tmp_path_factory.mktemp("prometheus")
    write_rules([watch()], folder)
    metrics = Metrics(MONITOR_METRICS)
    publish(report_in_alarm(), metrics)
    for reason in ("queue", "write"):
        metrics.record("mercury_capture_dropped_total", 0, model="risk", reason=reason)
    metrics.record("mercury_capture_rows_total", 10, model="risk")
    with MetricsEndpoint(metrics) as endpoint:
        target = endpoint.url.removeprefix("http://").removesuffix("/metrics")
        job = {"job_name": "mercury", "static_configs": [{"targets": [target]}]}
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [job],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        port = free_ports(1)[0]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(
                [
                    program("prometheus"), "--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                cwd=folder, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                server.terminate()
                server.wait(30)


def test_every_panels_query_returns_data(prometheus: str) -> None:
    panels = dashboard()["panels"]
    empty = {target["expr"] for panel in panels for target in panel["targets"]}

    def asked() -> bool:
        nonlocal empty
        empty = {query for query in empty if not _query(prometheus, _chosen(query))}
        return not empty

    assert _until(asked), f"nothing comes back for {sorted(empty)}"
    assert len(panels) == 16


def test_the_alarm_reaches_prometheus_as_a_firing_alert(prometheus: str) -> None:
    def firing() -> bool:
        found = _get(f"{prometheus}/api/v1/alerts")["alerts"]
        return ("MercuryModelChanged", "firing") in {(each["labels"]["alertname"], each["state"]) for each in found}

    assert _until(firing)
    groups = _get(f"{prometheus}/api/v1/rules")["groups"]
    assert all(rule["health"] in ("ok", "unknown") for group in groups for rule in group["rules"]), groups


def test_a_monitor_that_goes_on_says_what_failed_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[MonitorReport | MercuryError] = [
        report_in_alarm(),
        UnavailableError("the lake is away"),
        report_in_alarm(),
    ]

    def run(*_: object, **__: object) -> MonitorReport:
        found = outcomes.pop(0)
        if not outcomes:
            os.kill(os.getpid(), signal.SIGTERM)
        if isinstance(found, MercuryError):
            raise found
        return found

    monkeypatch.setattr("mercury.observability.run_monitor", run)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    environment = {"MERCURY_PROJECT": str(PROJECT), "MERCURY_STATE": str(tmp_path)}
    try:
        told = CliRunner(env=environment).invoke(command, ["run", "--metrics-port", "0", "--every", "10ms"])
        outcomes.append(UnavailableError("nothing was ever there"))
        first = CliRunner(env=environment).invoke(command, ["run", "--metrics-port", "0"])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    assert told.exit_code == 0, told.output
    assert told.stderr.count("watch: in alarm") == 2
    assert "watch: this run failed: the lake is away" in told.stderr
    assert isinstance(first.exception, UnavailableError)


def test_the_dashboard_is_of_grafanas_shape() -> None:
    """What Grafana 10 and later need of a dashboard: unique panel ids, a grid without overlap, known data sources."""
    board = dashboard()
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        grid = panel["gridPos"]
        places = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not places & taken and grid["x"] + grid["w"] <= 24
        taken |= places
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "monitor", "column"}
    told = {metric.name for metric in MONITOR_METRICS}
    used = json.dumps(board) + json.dumps(rules([watch()]))
    assert all(name in used for name in told)


def _chosen(query: str) -> str:
    """The query as Grafana sends it with all monitors and columns chosen, over a window that a test can wait for."""
    return query.replace("$monitor", ".*").replace("$column", ".*").replace("[5m]", "[15s]")


def _query(server: str, query: str) -> list[Any]:
    return list(_get(f"{server}/api/v1/query?{urllib.parse.urlencode({'query': query})}").get("result", []))


def _get(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return dict(json.load(answer)["data"])
    except urllib.error.HTTPError as error:
        assert error.code == 503, error.read()
        return {}
    except OSError:
        return {}


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except KeyError:
            pass
        time.sleep(0.3)
    return False
