"""Heartbeats move event time where nothing happens, and leave no other trace."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mercury.definitions import Project
from mercury.errors import ExpressionError
from mercury.projects import check_expressions
from mercury.streaming import Limits
from mercury.streaming.testing import Replay
from mercury.time import DAY, HOUR, MINUTE, to_iso
from tests.streaming import batch_twin as twin
from tests.streaming.batch_twin import START, event

STREAM = replace(twin.STREAM, heartbeat="city = 'heartbeat'")
HOURLY = replace(twin.HOURLY, source=STREAM)


def heartbeat(instant: int) -> bytes:
    return json.dumps({"city": "heartbeat", "ts": to_iso(instant)}).encode()


def replay(folder: Path, partitions: int = 2, **options: object) -> Replay:
    return Replay(STREAM, folder, partitions, {"windows": [HOURLY], **options})


def test_windows_close_although_a_partition_has_no_events(tmp_path: Path) -> None:
    run = replay(tmp_path)
    run.send(0, [event("a", START + 30 * MINUTE), event("b", START + 3 * HOUR)])
    run.send(1, [heartbeat(START + 2 * HOUR)])

    report = run.run()

    assert report.watermark_text == "2013-01-01T01:50:00Z"
    assert [row["trips"] for row in twin.read(run.lake.window("hourly"))] == [1]
    assert (report.counts.events, report.counts.rows, report.counts.heartbeats) == (3, 2, 1)
    assert [row["id"] for row in twin.read(run.lake.stream_rows("trips"))] == ["a", "b"]


def test_they_need_no_key_and_no_contract(tmp_path: Path) -> None:
    def paid(rows: pa.Table) -> tuple[pa.Array, pa.Array]:
        assert pc.all(pc.is_valid(rows["id"])).as_py()
        good = pc.greater(rows["fare"], 1).combine_chunks()
        return good, pa.array([None if fine else "cheap" for fine in good.to_pylist()], pa.string())

    run = replay(tmp_path, partitions=1, check=paid)
    cheap = event("cheap", START, fare=0.5)
    run.send(0, [heartbeat(START), cheap, heartbeat(START), event("dear", START), heartbeat(START)])

    counts = run.run().counts

    assert (counts.rows, counts.heartbeats, counts.dead_kinds) == (1, 3, {"contract": 1})
    dead = twin.read(run.lake.stream_dead_letters("trips"))
    assert [(row["offset"], row["value"], row["reason"]) for row in dead] == [(1, cheap, "cheap")]


def test_one_from_the_future_is_refused_and_moves_nothing(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, [heartbeat(run.clock.now + 2 * DAY), event("a", START)])

    report = run.run()

    assert (report.counts.rows, report.counts.dead_kinds) == (1, {"future": 1})
    assert report.watermark_text == "2012-12-31T23:50:00Z"


@pytest.mark.parametrize("records", [3, 20, 100_000])
def test_what_is_late_or_doubled_does_not_depend_on_where_epochs_are_cut(tmp_path: Path, records: int) -> None:
    values = twin.feed(11, 2, 160)
    beaten = {
        partition: [part for value in items for part in (value, _beat_of(value)) if part is not None]
        for partition, items in values.items()
    }
    run = replay(tmp_path, limits=Limits(records=records, first_records=records))
    plain = Replay(twin.STREAM, tmp_path / "plain", 2, {"windows": [twin.HOURLY]})
    for partition in values:
        run.send(partition, beaten[partition])
        plain.send(partition, values[partition])

    counts = run.run(drain=True).counts
    expected = plain.run(drain=True).counts

    # A heartbeat at the time of the event before it changes nothing but the number of heartbeats.
    assert counts.heartbeats == sum(map(len, beaten.values())) - sum(map(len, values.values()))
    assert (counts.rows, counts.late, counts.duplicates, counts.dead) == (
        expected.rows,
        expected.late,
        expected.duplicates,
        expected.dead,
    )
    with_beats, without = (twin.outcome(folder, windows=[HOURLY]) for folder in (tmp_path, tmp_path / "plain"))
    assert with_beats["hourly"] == without["hourly"]
    assert _ids(with_beats["late"]) == _ids(without["late"])


def test_a_condition_with_a_typo_is_found_before_the_stream_runs() -> None:
    project = Project("p", [replace(STREAM, heartbeat="citi = 'heartbeat'")])

    with pytest.raises(ExpressionError, match="citi"):
        check_expressions(project)


def _beat_of(value: bytes) -> bytes | None:
    try:
        return json.dumps({"city": "heartbeat", "ts": json.loads(value)["ts"]}).encode()
    except ValueError:
        return None


def _ids(rows: list[dict[str, object]]) -> list[object]:
    return sorted(str(row["id"]) for row in rows)
