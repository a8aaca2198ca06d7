"""Runs on disk: order, buckets, replays, compaction, crashes, two writers, and the bytes of the format."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mercury.errors import CommitConflictError, CorruptDataError, DiskFullError, NotFoundError, SchemaError, UsageError
from mercury.features import layout, run_files
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.layout import CREATED_TIME, EPOCH, EVENT_TIME, FeatureRuns, Manifest, sort_rows
from mercury.features.run_files import run_bytes
from mercury.runtime.hashing import bucket_of

FEATURES = pa.schema({"k": pa.string(), "x": pa.float64()})


def rows(keys: list[str | None], times: list[int | None], values: list[float | None]) -> pa.Table:
    stamps = pa.array(times, pa.int64()).cast(UTC_MICROSECONDS)
    return pa.table({"k": pa.array(keys, pa.string()), "x": values, EVENT_TIME: stamps, CREATED_TIME: stamps})


def random_rows(seed: int, count: int) -> pa.Table:
    random = np.random.default_rng(seed)
    keys = [f"k{number}" for number in random.integers(0, 50, count)]
    return rows(keys, random.integers(0, 10_000, count).tolist(), random.normal(size=count).tolist())


@pytest.fixture
def runs(tmp_path: Path) -> FeatureRuns:
    return FeatureRuns.create(tmp_path / "v", view="v", view_version="1", keys=["k"], features=FEATURES, buckets=4)


def test_rows_lie_in_the_bucket_of_their_key_sorted(runs: FeatureRuns) -> None:
    runs.append(random_rows(1, 500), epoch=1)
    runs.append(random_rows(2, 500), epoch=2)
    total = 0
    for bucket in range(4):
        part = runs.read(bucket)
        total += part.num_rows
        assert set(bucket_of([part["k"]], 4)) <= {bucket}
        assert part.equals(sort_rows(part, ["k"]))
        wanted = part.sort_by([("k", "ascending"), (EVENT_TIME, "ascending"), (CREATED_TIME, "ascending")])
        assert part["k"].equals(wanted["k"]) and part[EVENT_TIME].equals(wanted[EVENT_TIME])
    assert total == 1000 == runs.manifest().rows


def test_a_replayed_append_changes_nothing(runs: FeatureRuns) -> None:
    first = runs.append(random_rows(1, 100), epoch=7, transaction=("job", 7), sources={"epoch": 7})
    again = runs.append(random_rows(1, 100), epoch=7, transaction=("job", 7))
    older = runs.append(random_rows(3, 100), epoch=6, transaction=("job", 6))
    assert first == again == older
    assert runs.manifest().sources == {"epoch": 7}
    assert runs.append(random_rows(3, 100), epoch=8, transaction=("job", 8)).rows == 200


def test_compaction_keeps_every_row_in_the_same_order(runs: FeatureRuns) -> None:
    for seed in range(5):
        runs.append(random_rows(seed, 200), epoch=seed)
    before = [runs.read(bucket) for bucket in range(4)]
    after = runs.compact()
    assert len(after.runs) == 4
    assert all(runs.read(bucket).equals(before[bucket]) for bucket in range(4))
    assert runs.compact() == after


def test_many_appends_compact_themselves(runs: FeatureRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "COMPACT_RUNS", 3)
    for seed in range(12):
        runs.append(random_rows(seed, 50), epoch=seed)
    manifest = runs.manifest()
    assert manifest.rows == 600
    assert max(sum(run.bucket == bucket for run in manifest.runs) for bucket in range(4)) <= 4


def test_a_reader_with_an_older_manifest_reads_on_after_compaction(runs: FeatureRuns) -> None:
    runs.append(random_rows(1, 100), epoch=1)
    pinned = runs.append(random_rows(2, 100), epoch=2)
    runs.append(random_rows(3, 100), epoch=3)
    runs.compact()
    assert runs.read(manifest=pinned).num_rows == 200


def test_two_writers_lose_nothing(runs: FeatureRuns) -> None:
    def write(writer: int) -> None:
        for number in range(8):
            runs.append(random_rows(100 * writer + number, 20), epoch=number, transaction=(f"w{writer}", number))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    manifest = runs.manifest()
    assert manifest.rows == 3 * 8 * 20 == runs.read().num_rows
    assert manifest.transactions == {"w0": 7, "w1": 7, "w2": 7}


def test_a_crash_before_the_manifest_leaves_nothing_visible(runs: FeatureRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.append(random_rows(1, 100), epoch=1)

    def crash(self: FeatureRuns, manifest: Manifest) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(FeatureRuns, "_publish", crash)
    monkeypatch.setattr(FeatureRuns, "_discard", lambda self, written: None)
    with pytest.raises(KeyboardInterrupt):
        runs.append(random_rows(2, 100), epoch=2, transaction=("job", 2))
    monkeypatch.undo()
    assert runs.read().num_rows == 100
    assert runs.vacuum() == 4
    assert runs.append(random_rows(2, 100), epoch=2, transaction=("job", 2)).rows == 200
    assert runs.vacuum() == 0


def test_a_full_disk_leaves_nothing_half_written(runs: FeatureRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    original = run_files.os.fsync

    def full(handle: int) -> None:
        written.append(handle)
        if len(written) > 4:
            raise OSError(28, "No space left on device")
        original(handle)

    monkeypatch.setattr(run_files.os, "fsync", full)
    with pytest.raises(DiskFullError, match="nothing was written"):
        runs.append(random_rows(2, 100), epoch=2)
    monkeypatch.undo()
    assert runs.manifest().rows == 0
    assert not list(runs.folder.glob("bucket=*/*"))


def test_a_rebuild_replaces_all_rows_in_one_step(runs: FeatureRuns, tmp_path: Path) -> None:
    runs.append(random_rows(1, 100), epoch=1)
    other = FeatureRuns.create(tmp_path / "other", view="v", view_version="2", keys=["k"], features=FEATURES, buckets=8)
    other.append(random_rows(2, 30), epoch=1)
    after = runs.replace_with(other)
    assert (after.rows, after.view_version, after.buckets) == (30, "2", 8)
    assert runs.read().num_rows == 30
    assert not other.exists()
    assert after.origin != runs.read().num_rows


def test_wrong_rows_are_refused(runs: FeatureRuns) -> None:
    with pytest.raises(SchemaError, match=r"lack \['x'\]"):
        runs.append(random_rows(1, 5).drop_columns(["x"]), epoch=1)
    with pytest.raises(SchemaError, match="do not fit"):
        runs.append(random_rows(1, 1).set_column(1, "x", pa.array(["text"])), epoch=1)
    with pytest.raises(SchemaError, match="1 nulls"):
        runs.append(rows([None], [1], [1.0]), epoch=1)


def test_damage_and_absence_are_clear(runs: FeatureRuns, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="materialize"):
        FeatureRuns(tmp_path / "nothing").manifest()
    with pytest.raises(CommitConflictError, match="exists already"):
        FeatureRuns.create(runs.folder, view="v", view_version="1", keys=["k"], features=FEATURES)
    with pytest.raises(UsageError, match="power of two"):
        FeatureRuns.create(tmp_path / "w", view="v", view_version="1", keys=["k"], features=FEATURES, buckets=3)
    manifest = runs.append(random_rows(1, 100), epoch=1)
    (runs.folder / manifest.runs[0].path).write_bytes(b"ARROW1 not really")
    with pytest.raises(CorruptDataError, match="cannot be read"):
        runs.read()
    (runs.folder / manifest.runs[0].path).unlink()
    with pytest.raises(CorruptDataError, match="missing"):
        runs.read()
    runs._manifest_path(manifest.generation).write_text('{"format": 99}')
    with pytest.raises(CorruptDataError, match="Upgrade Mercury"):
        runs.manifest()
    runs._manifest_path(manifest.generation).write_text("{")
    with pytest.raises(CorruptDataError, match="cannot be read"):
        runs.manifest()


def test_golden_bytes_of_a_run_and_a_manifest() -> None:
    """These bytes lie on disks: a change needs a new `FORMAT` and a reader for the old one."""
    data = rows(["a", "b"], [1, 2], [1.5, None]).append_column(EPOCH, pa.array([7, 7]))
    assert hashlib.sha256(run_bytes(data, "v")).hexdigest() == GOLDEN_RUN
    manifest = Manifest(
        "v", "abc", ("k",), 4, data.schema, "feed", 3, (layout.Run("bucket=1/run-x.arrow", 1, 2, 3),), {"job": 7}, {}
    )
    text = manifest.to_json()
    assert Manifest.from_json(text, "here") == manifest
    assert text.startswith(b'{"arrow_schema":"')
    assert text.endswith(GOLDEN_MANIFEST_END)


GOLDEN_RUN = "7aa9b89d39bac275ea973033cbfece58dd2afb84cff489bd6532d68c1cc483a3"
GOLDEN_MANIFEST_END = (
    b'"buckets":4,"format":1,"generation":3,"keys":["k"],"origin":"feed","runs":[["bucket=1/run-x.arrow",1,2,3]],'
    b'"schema":[["k","string"],["x","double"],["__event_time","timestamp[us, tz=UTC]"],'
    b'["__created_time","timestamp[us, tz=UTC]"],["__epoch","int64"]],"sources":{},"transactions":{"job":7},'
    b'"view":"v","view_version":"abc"}\n'
)
