"""The endpoint that Prometheus scrapes: over HTTP, checked by Prometheus' own promtool."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from mercury.errors import PortInUseError, UnavailableError
from mercury.runtime.metrics import Metrics, MetricsEndpoint
from mercury.streaming import STREAM_METRICS
from tests.runtime_metrics.test_metrics import LAG, ROWS, TOOK, parsed


def scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        return str(answer.read().decode())


def promtool_check(text: str) -> None:
    """Fail with what promtool finds wrong with an exposition."""
    found = shutil.which("promtool", path=str(Path(sys.executable).parent)) or shutil.which("promtool")
    assert found, "promtool is missing: run `make test`, or apt-get install prometheus"
    done = subprocess.run([found, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    problems = done.stdout + done.stderr
    assert done.returncode == 0 and not problems, problems


def test_a_scrape_gives_the_values_of_that_moment() -> None:
    metrics = Metrics([ROWS, LAG, TOOK])
    with MetricsEndpoint(metrics) as endpoint:
        metrics.record(ROWS.name, 3, table="flights")
        first = parsed(scrape(endpoint.url))
        metrics.record(ROWS.name, 4, table="flights")
        second = parsed(scrape(endpoint.url))

    assert first["mercury_demo_rows_total", (("table", "flights"),)] == 3
    assert second["mercury_demo_rows_total", (("table", "flights"),)] == 7
    assert second["process_cpu_seconds_total", ()] > 0


def test_promtool_finds_nothing_wrong_with_what_a_stream_tells() -> None:
    metrics = Metrics(STREAM_METRICS)
    for metric in STREAM_METRICS:
        metrics.record(metric.name, 1, **dict.fromkeys(metric.labels, 'a "b" \\ c\n'))
    with MetricsEndpoint(metrics) as endpoint:
        text = scrape(endpoint.url)

    promtool_check(text)
    assert sum(name.startswith("mercury_stream_") for name, _ in parsed(text)) > len(STREAM_METRICS)


def test_promtool_is_asked_in_earnest() -> None:
    with pytest.raises(AssertionError, match="no help text"):
        promtool_check("# TYPE mercury_x gauge\nmercury_x 1\n")


def test_it_listens_on_the_loopback_address_only() -> None:
    with MetricsEndpoint(Metrics()) as endpoint:
        assert endpoint.url.startswith("http://127.0.0.1:")
        assert endpoint._server.server_address == ("127.0.0.1", endpoint.port)


def test_a_port_in_use_is_one_clear_error() -> None:
    with (
        MetricsEndpoint(Metrics()) as first,
        pytest.raises(PortInUseError, match=f"port {first.port} is taken .* or 0 for a free one"),
    ):
        MetricsEndpoint(Metrics(), first.port)


def test_an_address_that_is_not_ours_is_one_clear_error() -> None:
    with pytest.raises(UnavailableError, match=r"cannot be told at 192\.0\.2\.1:0"):
        MetricsEndpoint(Metrics(), host="192.0.2.1")


def test_a_closed_endpoint_frees_its_port() -> None:
    endpoint = MetricsEndpoint(Metrics())
    endpoint.close()

    with MetricsEndpoint(Metrics(), endpoint.port) as again:
        assert again.port == endpoint.port
