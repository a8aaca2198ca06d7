"""Idle partitions, restarts, empty epochs, drains, two coordinators, contracts: one stream, step by step."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mercury.definitions import Window
from mercury.errors import ConflictError, CorruptDataError, DataError, DefinitionError, FencedError, UsageError
from mercury.streaming import EpochProgress, Limits, MemorySink, MemorySource, status
from mercury.streaming.testing import Crash, CrashPoint, Replay
from mercury.tables import Table
from mercury.time import HOUR, MINUTE, SECOND, to_iso
from tests.streaming import batch_twin as twin
from tests.streaming.batch_twin import START, event

ONE_BY_ONE = Limits(records=1, first_records=1)


def replay(folder: Path, partitions: int = 2, **options: object) -> Replay:
    return Replay(twin.STREAM, folder, partitions, {"windows": [twin.HOURLY], **options})


def hours(*numbers: float) -> list[bytes]:
    return [event(f"{number}", START + int(number * HOUR)) for number in numbers]


def closed(run: Replay) -> list[str]:
    rows = twin.read(run.lake.window("hourly"))
    return [to_iso(row["window_start"])[11:16] for row in sorted(rows, key=lambda row: row["window_start"])]


def test_a_window_closes_when_the_slowest_partition_has_passed_its_end(tmp_path: Path) -> None:
    run = replay(tmp_path)
    run.send(0, hours(0.5, 3))
    run.run()
    assert closed(run) == []

    run.send(1, hours(2.5))
    report = run.run()

    assert report.watermark_text == "2013-01-01T02:20:00Z"
    assert closed(run) == ["00:00"]


def test_windows_close_when_all_partitions_but_one_go_quiet(tmp_path: Path) -> None:
    run = replay(tmp_path, limits=ONE_BY_ONE)
    run.send(0, hours(0.5))
    run.send(1, hours(0.6))
    run.run()
    run.send(0, hours(4, 4.1, 4.2))
    job = run.job(on_epoch=lambda progress: run.clock.advance(16 * SECOND))

    report = job.run()

    assert report.watermark_text == "2013-01-01T04:02:00Z"
    assert closed(run) == ["00:00"]


def test_a_pause_of_the_whole_feed_makes_no_row_late(tmp_path: Path) -> None:
    run = replay(tmp_path)
    tables = dict(MemorySource.of({0: hours(4), 1: hours(1)}).tables)
    later = MemorySource.of({0: hours(4, 4.5), 1: hours(1, 1.5)}).tables
    pauses = iter([(0, HOUR), (1, 5 * SECOND)])

    def resume_after_a_while(progress: EpochProgress) -> None:
        for partition, pause in itertools.islice(pauses, 1):
            run.clock.advance(pause)
            tables[partition] = later[partition]

    job = replace(run.job(on_epoch=resume_after_a_while), source=MemorySource(tables, "trips"))
    report = job.run(until=lambda progress: progress.epoch == 3)

    assert (report.counts.rows, report.counts.late) == (4, 0)
    assert report.watermark_text == "2013-01-01T01:20:00Z"


def test_an_event_of_a_partition_that_was_idle_is_late_only_behind_the_watermark(tmp_path: Path) -> None:
    run = replay(tmp_path, limits=ONE_BY_ONE)
    run.send(0, hours(3, 3.5, 4))
    run.job(on_epoch=lambda progress: run.clock.advance(16 * SECOND)).run()
    run.send(1, hours(3.5, 3.9))
    run.run()

    assert [row["id"] for row in twin.read(run.lake.stream_late("trips"))] == ["3.5"]
    assert sorted(row["id"] for row in twin.read(run.lake.stream_rows("trips"))) == ["3", "3.5", "3.9", "4"]


def test_a_restart_keeps_the_watermark(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, hours(5))
    before = run.run().watermark
    run.send(0, hours(0.5))

    report = run.run()

    assert report.watermark == before
    assert report.counts.late == 1


def test_an_epoch_without_output_still_moves_the_offsets(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, [b"{"])
    run.run()
    run.send(0, [b"{"])

    report = run.run()

    assert (report.epoch, report.counts.dead) == (2, 1)
    assert status(twin.STREAM, run.lake).positions == {0: 2}
    assert not Table.exists(run.lake.stream_rows("trips"))


def test_nothing_new_is_no_epoch(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, hours(1))
    run.run()

    assert run.run().epochs == 0


def test_draining_closes_all_windows_once(tmp_path: Path) -> None:
    run = replay(tmp_path)
    run.send(0, hours(0.5, 9))

    assert run.run(drain=True).watermark_text == "end"
    assert run.run(drain=True).epochs == 0
    assert closed(run) == ["00:00", "09:00"]

    run.send(1, hours(20))
    assert run.run().counts.late == 1


def test_a_drain_of_what_was_read_before_is_an_epoch_of_its_own(tmp_path: Path) -> None:
    run = replay(tmp_path)
    run.send(0, hours(0.5))
    run.run()

    report = run.run(drain=True)

    assert (report.epochs, report.counts.events) == (1, 0)
    assert closed(run) == ["00:00"]


def test_an_event_too_far_ahead_of_the_clock_is_a_dead_letter(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    ahead = run.clock.now + 10 * MINUTE
    run.send(0, [event("in", ahead), event("out", ahead + 1)])

    counts = run.run().counts

    assert (counts.rows, counts.dead_kinds) == (1, {"future": 1})
    (row,) = twin.read(run.lake.stream_dead_letters("trips"))
    assert row["reason"] == "the event time 'ts' is more than 10m ahead of the clock"
    assert (row["topic"], row["partition"], row["offset"], row["value"]) == ("trips", 0, 1, event("out", ahead + 1))


def test_events_without_key_or_time_are_dead_letters(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, [b'{"id":"x"}', b'{"ts":"2013-01-01T00:00:00Z"}', None, *hours(1)])

    assert run.run().counts.dead_kinds == {"malformed": 1, "missing": 2}
    reasons = [row["reason"] for row in twin.read(run.lake.stream_dead_letters("trips"))]
    assert reasons == [
        "the event time 'ts' is missing",
        "the key 'id' is missing",
        "the message has no value (a tombstone)",
    ]


def small_fares_only(rows: pa.Table) -> tuple[pa.Array, pa.Array]:
    good = pc.less(rows.column("fare"), 10.0)
    return good, pc.if_else(good, None, "the fare is 10 or more")


def test_events_that_break_the_contract_are_dead_letters_and_move_no_watermark(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1, check=small_fares_only)
    run.send(0, [event("a", START), event("b", START + HOUR, fare=10.0), event("c", START, fare=None)])

    report = run.run()

    assert report.counts.dead_kinds == {"contract": 2}
    assert report.watermark == START - 10 * MINUTE
    reasons = [row["reason"] for row in twin.read(run.lake.stream_dead_letters("trips"))]
    assert reasons == ["the fare is 10 or more", "breaks the contract"]


def test_of_two_coordinators_the_older_is_fenced_and_rows_come_once(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, hours(1, 2, 3))
    newer: list[object] = []

    def overtaken(step: str) -> None:
        if step == "saved" and not newer:
            newer.append(run.run())

    with pytest.raises(FencedError, match="another coordinator of stream/trips has taken over at epoch 1"):
        run.run(probe=overtaken)
    assert len(twin.read(run.lake.stream_rows("trips"))) == 3
    assert status(twin.STREAM, run.lake).epochs == 1


def test_a_coordinator_overtaken_between_its_tables_is_fenced_by_the_log(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, hours(1, 2, 3))
    newer: list[object] = []

    def overtaken(step: str) -> None:
        if step == "rows" and not newer:
            newer.append(run.run(drain=True))

    with pytest.raises(FencedError):
        run.run(drain=True, probe=overtaken)
    assert len(twin.read(run.lake.stream_rows("trips"))) == 3
    assert closed(run) == ["01:00", "02:00", "03:00"]


def test_every_commit_says_what_it_was_made_of(tmp_path: Path) -> None:
    run = replay(tmp_path)
    run.send(0, hours(1, 2))
    run.run()

    commit = Table.open(run.lake.stream_rows("trips")).history()[0]

    assert {key: commit.provenance[key] for key in ("job", "epoch", "source", "offsets", "stream")} == {
        "job": "stream/trips",
        "epoch": 1,
        "source": "trips",
        "offsets": {"0": [0, 2]},
        "stream": twin.STREAM.version,
    }


def test_a_sink_gets_every_epoch_again_after_a_crash_before_the_log(tmp_path: Path) -> None:
    sink = MemorySink()
    run = replay(tmp_path, partitions=1, sinks=[sink])
    run.send(0, hours(1, 2, 3))
    steps = CrashPoint()
    with pytest.raises(Crash):
        run.run(probe=lambda step: steps(step) if step != "written" else CrashPoint(1)(step))

    run.run()

    assert sink.rows().column("id").to_pylist() == ["1", "2", "3"]


def test_a_topic_that_shrank_is_an_error_not_a_hang(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, hours(1, 2, 3))
    with pytest.raises(Crash):
        run.run(probe=CrashPoint(2))
    run.values[0] = run.values[0][:1]

    with pytest.raises(DataError, match="partition 0 of trips ends at 1, before the plan's 3"):
        run.run()


def test_tables_and_state_of_different_runs_are_refused(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, hours(1, 2))
    run.run()
    run.send(0, hours(3))
    with pytest.raises(Crash):
        run.run(probe=CrashPoint(2))
    plan = next((tmp_path / "state" / "trips" / "epochs").iterdir())
    plan.write_bytes(plan.read_bytes().replace(b"[2,3]", b"[1,3]"))

    with pytest.raises(CorruptDataError, match="reads partition 0 from 1, but the job stands at 2"):
        run.run()


def test_a_window_that_changed_under_its_name_is_refused(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, hours(1))
    run.run()
    changed = Window("hourly", twin.STREAM, keys="city", size="1h", aggregates={"n": twin.HOURLY.aggregates["trips"]})

    with pytest.raises(ConflictError, match="window 'hourly' is not what it was"):
        run.run(windows=[changed])


def test_a_window_that_is_added_starts_with_what_comes(tmp_path: Path) -> None:
    run = replay(tmp_path, partitions=1)
    run.send(0, hours(1))
    run.run()
    run.send(0, hours(1.5))

    run.run(windows=twin.WINDOWS, drain=True)

    assert closed(run) == ["01:00"]
    starts = {to_iso(row["window_start"])[11:16] for row in twin.read(run.lake.window("hopping"))}
    assert starts == {"00:45", "01:00", "01:15", "01:30"}


def test_two_windows_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="two windows or views are named 'hourly'"):
        replay(tmp_path).job(windows=[twin.HOURLY, twin.HOURLY])


def test_a_stream_without_an_end_cannot_be_drained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="drain=True needs until='end'"):
        replay(tmp_path).job().run(until=1.0, drain=True)
