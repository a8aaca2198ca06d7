"""Metrics: what is recorded is what Prometheus' own parser reads, and what is misspelt is refused."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mercury.errors import UsageError
from mercury.runtime.metrics import Metric, Metrics, Update

ROWS = Metric("mercury_demo_rows_total", "counter", "Rows written.", ("table",))
LAG = Metric("mercury_demo_lag", "gauge", "Records not read yet.", ("table", "partition"))
TOOK = Metric("mercury_demo_commit_seconds", "histogram", "Time of a commit.", buckets=(0.1, 1.0))


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples by name and labels, as Prometheus' client reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_add_gauges_are_set_and_histograms_observe() -> None:
    metrics = Metrics([ROWS, LAG, TOOK])
    metrics.record(ROWS.name, 3, table="flights")
    metrics.record(ROWS.name, 4, table="flights")
    metrics.record(LAG.name, 9, table="flights", partition="0")
    metrics.record(LAG.name, 2, table="flights", partition="0")
    for seconds in (0.05, 0.1, 0.7, 30.0):
        metrics.record(TOOK.name, seconds)

    assert parsed(metrics.text()) == {
        ("mercury_demo_rows_total", (("table", "flights"),)): 7,
        ("mercury_demo_lag", (("partition", "0"), ("table", "flights"))): 2,
        ("mercury_demo_commit_seconds_bucket", (("le", "0.1"),)): 2,
        ("mercury_demo_commit_seconds_bucket", (("le", "1.0"),)): 3,
        ("mercury_demo_commit_seconds_bucket", (("le", "+Inf"),)): 4,
        ("mercury_demo_commit_seconds_count", ()): 4,
        ("mercury_demo_commit_seconds_sum", ()): pytest.approx(30.85),
    }


def test_the_text_names_kind_and_meaning() -> None:
    families = {f.name: (f.type, f.documentation) for f in text_string_to_metric_families(Metrics([LAG, TOOK]).text())}

    assert families["mercury_demo_lag"] == ("gauge", "Records not read yet.")
    assert families["mercury_demo_commit_seconds"] == ("histogram", "Time of a commit.")


@given(st.text(max_size=20), st.floats(allow_nan=False))
def test_any_label_and_any_value_come_through(text: str, value: float) -> None:
    metrics = Metrics([LAG])
    metrics.record(LAG.name, value, table=text, partition="0")

    assert parsed(metrics.text()) == {(LAG.name, (("partition", "0"), ("table", text))): value}


def test_a_gauge_that_is_recorded_as_none_is_gone() -> None:
    metrics = Metrics([LAG])
    metrics.record(LAG.name, 1, table="a", partition="0")
    metrics.record(LAG.name, None, table="a", partition="0")

    assert metrics.value(LAG.name, table="a", partition="0") is None
    assert parsed(metrics.text()) == {}


def test_a_batch_with_a_mistake_records_nothing() -> None:
    metrics = Metrics([ROWS])

    with pytest.raises(UsageError, match=r"'mercury_demo_row_total' is not declared.*Did you mean"):
        metrics.apply([Update(ROWS.name, 1, {"table": "a"}), Update("mercury_demo_row_total", 1, {"table": "a"})])
    assert metrics.value(ROWS.name, table="a") is None


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (Update(ROWS.name, 1), "the labels none are not those of mercury_demo_rows_total"),
        (Update(ROWS.name, 1, {"table": "a", "x": "b"}), "the labels table, x are not"),
        (Update(ROWS.name, -1, {"table": "a"}), "-1 cannot be recorded of a counter"),
        (Update(ROWS.name, None, {"table": "a"}), "None cannot be recorded of a counter"),
        (Update(TOOK.name, float("nan")), "nan cannot be recorded of a histogram"),
    ],
)
def test_updates_that_do_not_fit_are_refused(update: Update, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Metrics([ROWS, TOOK]).apply([update])


@pytest.mark.parametrize(
    ("name", "kind", "labels", "buckets"),
    [
        ("mercury demo", "gauge", (), ()),
        ("mercury_demo_count", "gauge", (), ()),
        ("mercury_demo_rows", "counter", (), ()),
        ("mercury_demo_total", "gauge", (), ()),
        ("mercury_demo_seconds", "histogram", ("le",), (1.0,)),
        ("mercury_demo_seconds", "histogram", (), (2.0, 1.0)),
        ("mercury_demo_seconds", "histogram", (), (0.0, 1.0)),
    ],
)
def test_declarations_against_the_conventions_are_refused(
    name: str, kind: str, labels: tuple[str, ...], buckets: tuple[float, ...]
) -> None:
    with pytest.raises(UsageError):
        Metric(name, kind, "Help.", labels, buckets)  # type: ignore[arg-type]


def test_a_metric_is_declared_once_or_alike() -> None:
    metrics = Metrics([ROWS])
    metrics.declare([ROWS])

    with pytest.raises(UsageError, match="declared twice, differently"):
        metrics.declare([Metric(ROWS.name, "counter", "Something else.", ("table",))])


def test_series_beyond_the_limit_are_dropped_and_counted() -> None:
    metrics = Metrics([LAG], max_series=2)
    for partition in range(5):
        metrics.record(LAG.name, partition, table="a", partition=str(partition))
    metrics.record(LAG.name, 10, table="a", partition="0")

    assert metrics.value(LAG.name, table="a", partition="0") == 10
    assert metrics.value(LAG.name, table="a", partition="2") is None
    assert metrics.value("mercury_metrics_dropped_updates_total", metric=LAG.name) == 3


def test_threads_lose_no_update() -> None:
    metrics = Metrics([ROWS])

    def write() -> None:
        for _ in range(2_000):
            metrics.record(ROWS.name, 1, table="a")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        metrics.text()
    for thread in threads:
        thread.join()

    assert metrics.value(ROWS.name, table="a") == 8_000
