"""A stream that runs for long: its tables stay quick, and neither a reader nor a crash notices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from mercury.errors import CommitConflictError, DiskFullError, NotFoundError
from mercury.streaming import EpochProgress, Limits, MemorySource, status
from mercury.streaming.sinks import delta
from mercury.streaming.testing import Crash, CrashPoint, Replay
from mercury.tables import Table, Transaction
from tests.streaming import batch_twin as twin
from tests.streaming.batch_twin import START, event

Tables = dict[str, list[dict[str, object]]]


def replay(folder: Path, records: int = 60, **options: object) -> Replay:
    limits = Limits(records=records, first_records=records)
    run = Replay(twin.STREAM, folder, 2, {"windows": twin.WINDOWS, "limits": limits, "compact_every": 3, **options})
    for partition, values in twin.feed(17, 2, 600).items():
        run.send(partition, values)
    return run


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables of a run that compacts nothing."""
    folder = tmp_path_factory.mktemp("straight")
    replay(folder, compact_every=1_000).run(drain=True)
    return twin.outcome(folder)


def test_small_files_are_joined_and_no_row_changes(straight: Tables, tmp_path: Path) -> None:
    run = replay(tmp_path)
    report = run.run(drain=True)

    assert report.epochs >= 10
    assert twin.outcome(tmp_path) == straight
    for uri in (run.lake.stream_rows("trips"), run.lake.stream_log("trips"), run.lake.window("hourly")):
        assert len(Table.open(uri).files()) <= 3, uri
    assert status(twin.STREAM, run.lake).counts == report.counts


def test_a_table_still_knows_its_epochs_after_being_joined(tmp_path: Path) -> None:
    run = replay(tmp_path)
    epochs = run.run(drain=True).epochs
    rows = Table.open(run.lake.stream_rows("trips"))
    count = rows.read().num_rows

    assert rows.transaction_version("stream/trips") in (epochs, epochs - 1)  # the drain itself gives no rows
    assert rows.append(rows.read(), transaction=Transaction("stream/trips", epochs - 1)).skipped
    assert rows.read().num_rows == count


def test_a_crash_at_any_step_of_an_epoch_that_joins_files_changes_nothing(straight: Tables, tmp_path: Path) -> None:
    noted = CrashPoint()
    replay(tmp_path / "calm").run(drain=True, probe=noted)
    joining = {step for step in noted.steps if step.startswith("compacted/")}
    assert {"compacted/rows", "compacted/late", "compacted/windows/hourly", "compacted/log"} <= joining

    for step in sorted(joining):
        folder = tmp_path / step.replace("/", "-")
        run = replay(folder)
        with pytest.raises(Crash):
            run.run(drain=True, probe=CrashPoint(noted.steps.index(step) + 1))
        run.run(drain=True)
        assert twin.outcome(folder) == straight, step


def test_a_reader_that_began_before_reads_on(tmp_path: Path) -> None:
    run = replay(tmp_path)
    uri = run.lake.stream_rows("trips")
    read: list[tuple[int, int]] = []
    held: dict[str, object] = {}

    def read_along(progress: EpochProgress) -> None:
        if progress.epoch == 2:
            table = Table.open(uri)
            held.update(version=table.version, files=table.files(), rows=table.read().num_rows)
        if progress.epoch % 3 == 0:
            count = duckdb.sql(f"SELECT count(*) FROM read_parquet({held['files']})").fetchall()[0][0]
            read.append((count, Table.open(uri).read(version=int(str(held["version"]))).num_rows))

    run.run(drain=True, on_epoch=read_along)

    assert len(read) >= 3
    assert set(read) == {(held["rows"], held["rows"])}


def test_the_change_feed_has_every_row_once(tmp_path: Path) -> None:
    run = replay(tmp_path)
    run.run(drain=True)
    table = Table.open(run.lake.stream_rows("trips"))

    assert sorted(table.changes(-1)["id"].to_pylist()) == sorted(table.read()["id"].to_pylist())


@pytest.mark.parametrize("error", [CommitConflictError("raced"), DiskFullError("no room")])
def test_an_epoch_does_not_fail_because_files_could_not_be_joined(
    straight: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried: list[str] = []

    def fail(table: Table) -> None:
        tried.append(table.uri)
        raise error

    monkeypatch.setattr(Table, "compact", fail)
    replay(tmp_path).run(drain=True)

    assert len(tried) > 3
    assert twin.outcome(tmp_path) == straight


def test_the_log_is_shortened_and_the_stream_goes_on(
    straight: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "KEEP_VERSIONS", 2)
    monkeypatch.setattr(delta, "VACUUM_EVERY", 6)
    run = replay(tmp_path)
    run.job().run(until=lambda progress: progress.epoch == 7)
    run.run(drain=True)

    assert twin.outcome(tmp_path) == straight
    rows = Table.open(run.lake.stream_rows("trips"))
    assert len(list((Path(rows.uri) / "_delta_log").glob("*.json"))) <= 10
    with pytest.raises(NotFoundError, match="version 0"):
        rows.read(version=0)
    assert rows.transaction_version("stream/trips") == rows.refresh().transaction_version("stream/trips") > 7


def test_a_handle_on_a_shortened_log_finds_the_newest_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "KEEP_VERSIONS", 2)
    run = replay(tmp_path)
    run.job().run(until=lambda progress: True)
    held = Table.open(run.lake.stream_rows("trips"))
    before = held.read().num_rows

    run.run(drain=True)

    assert held.read().num_rows == Table.open(held.uri).read().num_rows > before
    assert not (Path(held.uri) / "_delta_log" / f"{0:020d}.json").exists()


@pytest.fixture
def trickle() -> Iterator[tuple[dict[int, object], MemorySource]]:
    """A source to which each epoch adds one event while it is committed."""
    tables = dict(MemorySource.of({0: [event("0", START)]}).tables)
    yield tables, MemorySource(tables, "trips")  # type: ignore[misc]


def test_epochs_of_a_trickle_are_not_closer_than_the_limit(
    tmp_path: Path, trickle: tuple[dict[int, object], MemorySource]
) -> None:
    tables, source = trickle
    numbers = itertools.count(1)

    def one_more(progress: EpochProgress) -> None:
        last = next(numbers)
        tables[0] = MemorySource.of({0: [event(str(n), START + n) for n in range(last + 1)]}).tables[0]

    run = Replay(twin.STREAM, tmp_path)
    job = replace(run.job(on_epoch=one_more, limits=Limits(seconds=0.25)), source=source)
    report = job.run(until=lambda progress: progress.epoch == 4)

    assert report.counts.rows == 4
    assert report.seconds >= 3 * 0.25


def test_a_backlog_does_not_wait(tmp_path: Path) -> None:
    run = Replay(twin.STREAM, tmp_path, options={"limits": Limits(records=5, first_records=5, seconds=60.0)})
    run.send(0, [event(str(n), START + n) for n in range(20)])

    report = run.job().run(until=lambda progress: progress.epoch == 4)

    assert report.counts.rows == 20
    assert report.seconds < 30
