"""A stream gives what a batch over the same events gives, however it is cut, restarted or crashed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.definitions import Count, CountDistinct, Entity, FeatureView, Quantile
from mercury.errors import DiskFullError
from mercury.lake import Lake
from mercury.streaming import FileSource, Limits, MemorySink, StreamJob, status
from mercury.streaming.testing import Crash, CrashPoint, Replay
from mercury.streaming.windows import PaneWindow
from mercury.summaries import Summary, finish, merge
from mercury.tables import Table
from mercury.time import HOUR
from tests.streaming import batch_twin as twin

SEED = 20130101


def replay(folder: Path, partitions: int = 3, count: int = 900, records: int = 200) -> Replay:
    limits = Limits(records=records, first_records=records)
    run = Replay(twin.STREAM, folder, partitions, {"windows": twin.WINDOWS, "limits": limits})
    for partition, values in twin.feed(SEED, partitions, count).items():
        run.send(partition, values)
    return run


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, object]]]:
    """The tables of an undisturbed run."""
    folder = tmp_path_factory.mktemp("straight")
    replay(folder).run(drain=True)
    return twin.outcome(folder)


def test_all_tables_equal_a_batch_recomputation(straight: dict[str, list[dict[str, object]]], tmp_path: Path) -> None:
    values = replay(tmp_path).values
    expected = twin.recompute(twin.STREAM, values)  # type: ignore[arg-type]

    assert len(expected.late) > 20 and len(expected.duplicates) > 10 and len(expected.dead) > 20, f"seed {SEED}"
    assert sorted(straight["rows"], key=lambda r: (r["_partition"], r["_offset"])) == expected.rows
    assert sorted(row["id"] for row in straight["late"]) == sorted(expected.late)
    assert sorted(row["value"] for row in straight["dead"]) == sorted(expected.dead)
    for window in twin.WINDOWS:
        got = [{k: v for k, v in row.items() if k != "window_end"} for row in straight[window.name]]
        assert got == twin.as_rows(twin.windows_of(window, expected.rows)), window.name
        assert {row["window_end"] - row["window_start"] for row in straight[window.name]} == {HOUR}


def test_late_rows_say_how_late_they_were(straight: dict[str, list[dict[str, object]]]) -> None:
    assert all(row["_late_by_us"] > 0 for row in straight["late"])


def test_the_report_and_the_log_count_every_event(tmp_path: Path) -> None:
    run = replay(tmp_path)
    report = run.run(drain=True)
    expected = twin.recompute(twin.STREAM, run.values)  # type: ignore[arg-type]

    counts = report.counts
    assert counts.events == sum(map(len, run.values.values()))
    assert counts.events == counts.rows + counts.late + counts.duplicates + counts.dead
    assert (counts.rows, counts.late, counts.duplicates) == (
        len(expected.rows),
        len(expected.late),
        len(expected.duplicates),
    )
    assert set(counts.dead_kinds) == {"malformed", "type"}
    assert status(twin.STREAM, run.lake).counts == counts
    assert (report.watermark_text, report.lag) == ("end", 0)


@pytest.mark.parametrize("records", [70, 333, 100_000])
def test_the_size_of_epochs_does_not_matter(
    straight: dict[str, list[dict[str, object]]], tmp_path: Path, records: int
) -> None:
    replay(tmp_path, records=records).run(drain=True)

    assert twin.outcome(tmp_path) == straight


def test_stopping_after_every_epoch_does_not_matter(
    straight: dict[str, list[dict[str, object]]], tmp_path: Path
) -> None:
    run = replay(tmp_path)
    while run.job().run(until=lambda progress: True).lag:
        pass
    run.run(drain=True)

    assert twin.outcome(tmp_path) == straight


@pytest.mark.slow
def test_a_crash_between_any_two_steps_changes_nothing(tmp_path: Path) -> None:
    steps = CrashPoint()
    calm = replay(tmp_path / "calm", count=240, records=90)
    calm.run(drain=True, probe=steps)
    expected = twin.outcome(tmp_path / "calm")
    assert {"planned", "processed", "saved", "rows", "late", "dead_letters", "windows/hourly", "committed"} <= set(
        steps.steps
    )

    for at in range(1, len(steps.steps) + 1):
        folder = tmp_path / str(at)
        run = replay(folder, count=240, records=90)
        with pytest.raises(Crash):
            run.run(drain=True, probe=CrashPoint(at))
        run.run(drain=True)
        assert twin.outcome(folder) == expected, f"crash after step {at}, {steps.steps[at - 1]}"
        assert status(twin.STREAM, run.lake).counts.events == sum(map(len, run.values.values()))


def test_crashes_again_and_again_change_nothing(straight: dict[str, list[dict[str, object]]], tmp_path: Path) -> None:
    run = replay(tmp_path)
    crashes = 0
    for at in range(3, 200, 7):
        try:
            run.run(drain=True, probe=CrashPoint(at))
            break
        except Crash:
            crashes += 1

    assert crashes > 3
    assert twin.outcome(tmp_path) == straight


VIEW = FeatureView(
    "city_day",
    entity=Entity("city", keys="city"),
    source=twin.STREAM,
    features={
        "trips": Count(over="1d"),
        "fare_p90": Quantile("fare", 0.9, over="1d"),
        "sizes": CountDistinct("n", over="1d"),
    },
    hop="1h",
)


def test_feature_panes_are_the_summary_of_all_rows(tmp_path: Path) -> None:
    run = replay(tmp_path)
    run.run(drain=True, panes=[VIEW])
    kept = PaneWindow.of_view(VIEW)
    rows = Table.open(run.lake.stream_rows("trips")).read()

    whole = kept.summarize(rows.select(list(twin.STREAM.schema)))
    parts = {name: Table.open(f"{run.lake.panes('city_day')}/{name}").read() for name in whole.tables}

    assert len(parts) == 3
    got = Summary(kept.spec, {name: table.cast(whole.tables[name].schema) for name, table in parts.items()})
    assert finish(merge([got])).equals(finish(whole))


def test_a_sink_gets_closed_panes_once_with_the_watermark(tmp_path: Path) -> None:
    sink = MemorySink()
    replay(tmp_path).run(drain=True, panes=[VIEW], sinks=[sink])

    ends: list[int] = []
    for _, output in sorted(sink.epochs.items()):
        if "city_day" in output.panes:
            starts = output.panes["city_day"].tables["scalars"].column("pane_start").cast(pa.int64()).to_pylist()
            assert all(start + HOUR <= output.watermark for start in starts)
            ends += set(starts)
    assert len(ends) == len(set(ends)) > 3


def test_files_give_the_same_tables_as_the_broker_would(
    straight: dict[str, list[dict[str, object]]], tmp_path: Path
) -> None:
    values = replay(tmp_path).values
    for partition, items in values.items():
        rows = {
            "partition": [partition] * len(items),
            "offset": list(range(len(items))),
            "value": items,
        }
        (tmp_path / "events").mkdir(exist_ok=True)
        pq.write_table(pa.table(rows), tmp_path / "events" / f"{partition}.parquet", row_group_size=100)

    StreamJob(
        twin.STREAM,
        FileSource.of(tmp_path / "events"),
        windows=twin.WINDOWS,
        lake=Lake(str(tmp_path / "lake")),
        state=tmp_path / "state",
        limits=Limits(records=77),
    ).run(drain=True)

    got = twin.outcome(tmp_path)
    for row in got["dead"]:
        row["topic"] = "trips"
    assert got == straight


def test_a_full_disk_stops_the_run_and_the_next_goes_on(
    straight: dict[str, list[dict[str, object]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = Table.append, []

    def full_at_times(table: Table, *arguments: object, **options: object) -> object:
        calls.append(table.uri)
        if len(calls) in (4, 11, 12):
            raise DiskFullError("no room", where=table.uri)
        return append(table, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "append", full_at_times)
    run = replay(tmp_path)
    for _ in range(3):
        with pytest.raises(DiskFullError):
            run.run(drain=True)
    run.run(drain=True)

    assert twin.outcome(tmp_path) == straight
