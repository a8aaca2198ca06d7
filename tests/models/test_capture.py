"""Capture: every served prediction in the table, or counted; nothing waits for it; shutdown loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from mercury.errors import UnavailableError, UsageError
from mercury.models.capture import CAPTURE_METRICS, Capture, predictions_schema
from mercury.models.inference import build_app
from mercury.models.prediction import FeatureRow, Prediction
from mercury.runtime.metrics import Metrics, Update
from mercury.tables import Table
from tests.models.test_inference import infer, model  # noqa: F401

SCHEMA = predictions_schema({"carrier": "string"}, {"delay": pa.float64(), "plane": pa.string()})


def request(number: int, rows: int = 1) -> tuple[Sequence[dict[str, Any]], int, list[Prediction]]:
    """What a request thread has in hand."""
    keys = [{"carrier": f"C{row}"} for row in range(rows)]
    answers = [
        Prediction(
            f"{number}/{row}", row / 10, "risk", "3", FeatureRow({"delay": 5 if row else None, "plane": "A"}, {})
        )
        for row in range(rows)
    ]
    return keys, number, answers


def opened(path: Path, **options: Any) -> Capture:
    """A capture that writes only when it is told to."""
    return Capture("risk", str(path), SCHEMA, ["carrier"], seconds=3600, **options)


def test_what_was_served_is_in_the_table_with_id_time_version_keys_features_and_score(tmp_path: Path) -> None:
    capture = opened(tmp_path / "p")
    capture.record(*request(1_000_000, rows=2))
    capture.flush()

    rows = Table.open(tmp_path / "p").read().sort_by("prediction_id").to_pylist()
    assert [row["prediction_id"] for row in rows] == ["1000000/0", "1000000/1"]
    assert rows[1]["event_time"].timestamp() == 1.0
    assert {**rows[1], "event_time": 0} == {
        "prediction_id": "1000000/1", "event_time": 0, "model_version": "3", "carrier": "C1", "delay": 5.0,
        "plane": "A", "score": 0.1,
    }  # fmt: skip
    assert rows[0]["delay"] is None
    capture.close()


def test_a_request_without_a_time_gets_the_clocks(tmp_path: Path) -> None:
    capture = opened(tmp_path / "p")
    before = time.time()
    keys, _, answers = request(0)
    capture.record(keys, None, answers)
    capture.close()

    assert before - 1 <= Table.open(tmp_path / "p").read()["event_time"][0].as_py().timestamp() <= time.time()


def test_recording_waits_for_no_writer(tmp_path: Path) -> None:
    """A request thread gets through while the table is being written."""
    capture = opened(tmp_path / "p")
    writing, go_on = threading.Event(), threading.Event()

    def slow(rows: pa.Table) -> None:
        writing.set()
        assert go_on.wait(30)

    capture._append = slow  # type: ignore[method-assign]
    capture.record(*request(1))
    writer = threading.Thread(target=capture.flush)
    writer.start()
    assert writing.wait(30)
    for number in range(1_000):
        capture.record(*request(number))
    # The writer has waited all the while.
    assert writer.is_alive()
    go_on.set()
    writer.join()

    assert capture.counted.waiting == 1_000 and capture.counted.written == 1
    capture.close()


def test_what_the_queue_does_not_hold_is_dropped_and_counted(tmp_path: Path) -> None:
    metrics = Metrics(CAPTURE_METRICS)
    capture = opened(tmp_path / "p", queue=7, recorder=metrics)
    for number in range(5):
        capture.record(*request(number, rows=2))
    capture.close()
    capture.record(*request(9))

    assert (capture.counted.written, capture.counted.dropped, capture.counted.waiting) == (6, 5, 0)
    assert Table.open(tmp_path / "p").read().num_rows == 6
    assert metrics.value("mercury_capture_rows_total", model="risk") == 6
    assert metrics.value("mercury_capture_dropped_total", model="risk", reason="queue") == 4


def test_the_queue_is_bounded_by_predictions_not_by_requests(tmp_path: Path) -> None:
    """One request may have thousands of rows, and memory is theirs."""
    capture = opened(tmp_path / "p", queue=100)
    capture.record(*request(1, rows=101))
    capture.record(*request(2, rows=60))
    capture.record(*request(3, rows=60))

    assert (capture.counted.waiting, capture.counted.dropped) == (60, 161)
    capture.flush()
    capture.record(*request(4, rows=100))
    capture.close()
    assert (capture.counted.written, capture.counted.waiting) == (160, 0)


def test_a_request_that_does_not_fit_the_table_fails_alone_and_the_writer_goes_on(tmp_path: Path) -> None:
    metrics = Metrics(CAPTURE_METRICS)
    capture = opened(tmp_path / "p", recorder=metrics)
    _, _, (answer,) = request(2)
    capture.record(*request(1, rows=2))
    capture.record([{"carrier": "C"}], 2, [replace(answer, features=FeatureRow({"delay": "late"}, {}))])
    capture.record([{"carrier": 7}], 3, [answer])
    capture.record([{"carrier": "C"}, {"carrier": "D"}], 4, [answer])
    capture.record(*request(5))
    capture.flush()
    capture.record(*request(6))
    capture.close()

    ids = Table.open(tmp_path / "p").read()["prediction_id"].to_pylist()
    assert sorted(ids) == ["1/0", "1/1", "5/0", "6/0"]
    assert (capture.counted.written, capture.counted.failed) == (4, 3)
    assert metrics.value("mercury_capture_dropped_total", model="risk", reason="write") == 3


def test_rows_that_are_in_the_table_are_not_counted_as_failed_when_it_is_not_compacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(table: Table) -> None:
        raise UnavailableError("another replica is at it")

    monkeypatch.setattr("mercury.models.capture.COMPACT_EVERY", 1)
    monkeypatch.setattr(Table, "compact", refuse)
    capture = opened(tmp_path / "p")
    capture.record(*request(1, rows=3))
    capture.close()

    assert (capture.counted.written, capture.counted.failed) == (3, 0)
    assert Table.open(tmp_path / "p").read().num_rows == 3


def test_counts_that_could_not_be_told_are_told_with_the_next(tmp_path: Path) -> None:
    metrics, refusals = Metrics(CAPTURE_METRICS), [True, False]

    class Once:
        def apply(self, updates: Sequence[Update]) -> None:
            if refusals.pop(0):
                raise ConnectionError("the monitor is restarted")
            metrics.apply(updates)

    capture = opened(tmp_path / "p", recorder=Once())
    capture.record(*request(1, rows=2))
    capture.flush()
    assert metrics.value("mercury_capture_rows_total", model="risk") is None
    capture.record(*request(2, rows=3))
    capture.close()

    assert metrics.value("mercury_capture_rows_total", model="risk") == 5


def test_threads_and_a_closing_server_leave_no_prediction_uncounted(tmp_path: Path) -> None:
    capture = Capture("risk", str(tmp_path / "p"), SCHEMA, ["carrier"], seconds=0.001, queue=50)
    served = [0] * 4
    ended = threading.Event()

    def serve(part: int) -> None:
        while not ended.is_set():
            capture.record(*request(part * 1_000_000 + served[part], rows=3))
            served[part] += 3

    threads = [threading.Thread(target=serve, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    while capture.counted.written < 30:
        ended.wait(0.001)
    capture.close()
    ended.set()
    for thread in threads:
        thread.join()

    counted = capture.counted
    assert counted.written + counted.dropped == sum(served) and (counted.failed, counted.waiting) == (0, 0)
    assert Table.open(tmp_path / "p").read().num_rows == counted.written


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    capture = Capture("risk", str(tmp_path / "p"), SCHEMA, ["carrier"], seconds=0.01)

    def serve(part: int) -> None:
        for number in range(200):
            capture.record(*request(part * 1_000 + number, rows=3))

    threads = [threading.Thread(target=serve, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    capture.close()

    ids = Table.open(tmp_path / "p").read()["prediction_id"].to_pylist()
    assert len(ids) == len(set(ids)) == capture.counted.written == 4 * 200 * 3


def test_a_table_that_cannot_be_written_fails_no_request_and_is_counted(tmp_path: Path) -> None:
    capture = opened(tmp_path / "p")

    def refuse(rows: pa.Table) -> None:
        raise UnavailableError("the disk is full")

    capture._append = refuse  # type: ignore[method-assign]
    capture.record(*request(1, rows=4))
    capture.close()

    assert (capture.counted.written, capture.counted.failed) == (0, 4)


def test_names_that_clash_with_the_tables_own_are_refused() -> None:
    with pytest.raises(UsageError, match="'score' is the name of two columns"):
        predictions_schema({"carrier": "string"}, {"score": pa.float64()})


def test_requests_over_http_are_captured_and_kept_when_the_server_ends(tmp_path: Path, model: Any) -> None:  # noqa: F811
    from tests.models.test_inference import KEYS, Predictor, lookup

    schema = predictions_schema(KEYS, {"delay": pa.float64()})
    capture = Capture("delay", str(tmp_path / "p"), schema, list(KEYS), seconds=3600)
    app = build_app({"delay": Predictor(model, lookup, KEYS, capture=capture)})
    with TestClient(app) as client:
        answer = infer(client, "UA", "AA", id="r1").json()
        assert not Table.exists(tmp_path / "p")

    rows = Table.open(tmp_path / "p").read().sort_by("prediction_id")
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    assert rows["prediction_id"].to_pylist() == outputs["prediction_id"] == ["r1/0", "r1/1"]
    assert rows["score"].to_pylist() == outputs["probability"]
    assert rows["delay"].to_pylist() == [5.0, 40.0] and rows["carrier"].to_pylist() == ["UA", "AA"]
