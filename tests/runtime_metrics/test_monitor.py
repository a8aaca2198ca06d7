"""The monitor actor: metrics of several processes in one place, by its own endpoint and by Ray's."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable

import pytest

from mercury.errors import UsageError
from mercury.runtime.metrics import Metric, MetricsMonitor, SharedMetrics, Update, shared_metrics
from tests.runtime_metrics.test_metrics import LAG, ROWS, parsed

DEADLINE_SECONDS = 60.0


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "not within a minute"
        time.sleep(0.1)


def scrape(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return parsed(answer.read().decode())
    except OSError:
        return {}


def test_it_is_a_plain_class_that_learns_metrics_as_they_come() -> None:
    monitor = MetricsMonitor()
    try:
        monitor.apply([ROWS], [Update(ROWS.name, 2, {"table": "a"})])
        monitor.apply([ROWS, LAG], [Update(ROWS.name, 3, {"table": "a"})])

        assert scrape(monitor.url())["mercury_demo_rows_total", (("table", "a"),)] == 5
        assert "mercury_demo_rows_total" in monitor.text()
    finally:
        monitor.close()


def test_mistakes_in_declarations_show_where_they_are_made() -> None:
    with pytest.raises(UsageError, match="declared twice"):
        SharedMetrics(None, [ROWS, Metric(ROWS.name, "counter", "Other.", ("table",))])


@pytest.mark.ray
def test_several_processes_share_one_monitor(ray_local: object) -> None:
    import ray

    def work(number: int) -> str:
        shared = shared_metrics([ROWS, LAG])
        shared.apply(
            [
                Update(ROWS.name, number, {"table": "shared"}),
                Update(LAG.name, number, {"table": "shared", "partition": str(number)}),
            ]
        )
        return shared.url

    urls = ray.get([ray.remote(num_cpus=1)(work).remote(number) for number in (1, 2, 3)])
    (url,) = set(urls)
    rows = "mercury_demo_rows_total", (("table", "shared"),)
    eventually(lambda: scrape(url).get(rows) == 6)
    lags = {labels: value for (name, labels), value in scrape(url).items() if name == LAG.name}
    assert sorted(lags.values()) == [1, 2, 3]

    exported = f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"

    def ray_tells(name: str) -> list[float]:
        return sorted(v for (n, labels), v in scrape(exported).items() if n == name and ("table", "shared") in labels)

    eventually(lambda: ray_tells("ray_mercury_demo_lag") == [1, 2, 3])
    assert ray_tells("ray_mercury_demo_rows_total") == [6]


@pytest.mark.ray
def test_a_monitor_that_died_is_replaced_and_takes_updates(ray_local: object) -> None:
    import ray

    shared = shared_metrics([LAG])
    before = shared.url
    monitor = shared._monitor
    os.kill(ray.get(monitor.__ray_call__.remote(lambda _: os.getpid())), signal.SIGKILL)
    labels = {"table": "again", "partition": "0"}

    def back() -> bool:
        shared.apply([Update(LAG.name, 7, labels)])
        try:
            url = shared.url
        except ray.exceptions.RayActorError:
            return False
        return scrape(url).get((LAG.name, tuple(sorted(labels.items())))) == 7

    eventually(back)
    assert scrape(before) == {} or shared.url == before
