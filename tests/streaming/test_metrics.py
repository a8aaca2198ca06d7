"""What a job tells Prometheus, epoch by epoch, equals what its log counts."""

from __future__ import annotations

import math
from pathlib import Path

from mercury.runtime.metrics import Metrics, Update
from mercury.streaming import STREAM_METRICS, Limits, status
from mercury.streaming.testing import Replay
from mercury.time import SECOND
from tests.streaming import batch_twin as twin


class Noting(Metrics):
    """Metrics that also keep the batches that they got."""

    def __init__(self) -> None:
        super().__init__(STREAM_METRICS)
        self.batches: list[list[Update]] = []

    def apply(self, updates: list[Update]) -> None:  # type: ignore[override]
        self.batches.append(list(updates))
        super().apply(updates)

    def of(self, name: str, **labels: str) -> float | None:
        return self.value(f"mercury_stream_{name}", stream="trips", **labels)


def replay(folder: Path) -> Replay:
    limits = Limits(records=100, first_records=100)
    run = Replay(twin.STREAM, folder, 2, {"windows": [twin.HOURLY], "limits": limits})
    for partition, values in twin.feed(5, 2, 400).items():
        run.send(partition, values)
    return run


def test_totals_are_those_of_the_log(tmp_path: Path) -> None:
    metrics, run = Noting(), replay(tmp_path)
    run.run(metrics=metrics)

    found = status(twin.STREAM, run.lake)
    counts = found.counts
    assert (counts.late, counts.duplicates, counts.dead) > (0, 0, 0)
    assert metrics.of("records_total") == counts.events == sum(map(len, run.values.values()))
    assert metrics.of("rows_total") == counts.rows
    assert metrics.of("late_rows_total") == counts.late
    assert metrics.of("duplicates_total") == counts.duplicates
    assert {kind: metrics.of("dead_letters_total", kind=kind) for kind in counts.dead_kinds} == counts.dead_kinds
    assert metrics.of("window_rows_total", window="hourly") == counts.windows["hourly"]
    assert metrics.of("epochs_total") == metrics.of("epoch_seconds") == found.epochs
    assert metrics.of("watermark_seconds") == found.watermark / SECOND
    assert metrics.of("last_commit_timestamp_seconds") == run.clock.now / SECOND


def test_there_is_one_batch_per_epoch_and_one_before(tmp_path: Path) -> None:
    metrics, run = Noting(), replay(tmp_path)
    report = run.run(metrics=metrics)

    assert report.epochs >= 4
    assert len(metrics.batches) == 1 + report.epochs


def test_lag_is_told_before_the_first_epoch_and_falls(tmp_path: Path) -> None:
    metrics, run = Noting(), replay(tmp_path)
    run.run(metrics=metrics)

    lags = [
        [update.value for update in batch if update.name == "mercury_stream_consumer_lag"] for batch in metrics.batches
    ]
    assert lags[0] == [len(run.values[0]), len(run.values[1])]
    assert lags[1] == [len(run.values[0]) - 50, len(run.values[1]) - 50]
    assert lags[-1] == [0, 0]


def test_the_watermark_is_absent_before_the_first_event_and_infinite_once_drained(tmp_path: Path) -> None:
    metrics, run = Noting(), replay(tmp_path)
    empty = Replay(twin.STREAM, tmp_path / "empty", 2)
    empty.run(metrics=metrics)
    assert metrics.of("watermark_seconds") is None

    run.run(drain=True, metrics=metrics)

    assert metrics.of("watermark_seconds") == math.inf


def test_a_restarted_job_says_where_it_stands(tmp_path: Path) -> None:
    run = replay(tmp_path)
    before = run.run().watermark
    metrics = Noting()
    run.run(metrics=metrics)

    assert metrics.of("watermark_seconds") == before / SECOND
    assert metrics.of("records_total") is None
