"""Snapshots: what is restored is what was live, bit for bit, and damage is found."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.errors import CorruptDataError, NotFoundError
from mercury.streaming import dedup
from mercury.streaming.checkpoint import Snapshots
from mercury.streaming.state import EpochDelta, Fold, JobState, initial
from mercury.streaming.watermarks import END, Watermarks
from mercury.streaming.windows import PaneWindow
from mercury.summaries import to_ipc
from mercury.time import MINUTE
from tests.streaming import batch_twin as twin

WINDOWS = tuple(PaneWindow.of(window) for window in twin.WINDOWS)
FOLD = Fold.of(twin.STREAM, WINDOWS)
Events = list[tuple[int, float]]


def delta(state: JobState, events: Events, drain: bool = False) -> EpochDelta:
    times = [twin.START + minute * MINUTE for minute, _ in events]
    rows = pa.table(
        {
            "id": pa.array([f"{time}" for time in times], pa.string()),
            "ts": pa.array(times, pa.timestamp("us", tz="UTC")),
            "city": pa.array(["a"] * len(times), pa.string()),
            "n": pa.array([1] * len(times), pa.int64()),
            "fare": pa.array([fare for _, fare in events], pa.float64()),
        }
    )
    marks = state.watermarks.advance({0: max(times)} if times else {}, [0], drain=drain)
    additions = rows.select(["id"]).append_column(dedup.REMEMBERED, pa.array(times, pa.int64()))
    return EpochDelta(
        state.epoch + 1,
        marks,
        {0: state.positions.get(0, 0) + len(times)},
        {window.name: window.summarize(rows) for window in WINDOWS} if times else {},
        {0: additions} if times else {},
    )


def bits(state: JobState) -> tuple[object, ...]:
    """A state as comparable bytes."""
    panes = {name: to_ipc(summary) for name, summary in sorted(state.panes.items())}
    memory = {partition: table.to_pylist() for partition, table in state.memory.items()}
    return state.epoch, state.watermarks, dict(state.positions), panes, memory


epochs = st.lists(st.lists(st.tuples(st.integers(0, 300), st.floats(-1e6, 1e6)), max_size=6), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(epochs, st.integers(1, 4))
def test_what_is_restored_is_what_was_live(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Events], every: int
) -> None:
    snapshots = Snapshots(tmp_path_factory.mktemp("snapshots"), fsync=False)
    state, name = initial(twin.STREAM), None
    for events in parts:
        change = delta(state, events)
        state, _ = FOLD.apply(state, change)
        base = name is None or state.epoch % every == 0
        name = snapshots.write(state, None if base else change, name, incarnation=1)

        assert bits(snapshots.restore(name, FOLD)) == bits(state)


def saved(folder: Path) -> tuple[Snapshots, list[str], JobState]:
    """A base and two deltas."""
    snapshots, state, names = Snapshots(folder), initial(twin.STREAM), []
    for minute in (0, 30, 200):
        change = delta(state, [(minute, 1.0)])
        state, _ = FOLD.apply(state, change)
        names.append(snapshots.write(state, change, names[-1] if names else None, incarnation=1))
    return snapshots, names, state


def test_a_snapshot_is_a_base_and_what_came_since(tmp_path: Path) -> None:
    snapshots, names, state = saved(tmp_path)

    assert names == ["000000000001-1.base", "000000000002-1.delta", "000000000003-1.delta"]
    assert bits(snapshots.restore(names[2], FOLD)) == bits(state)


def test_the_end_of_time_is_restored(tmp_path: Path) -> None:
    state, _ = FOLD.apply(initial(twin.STREAM), delta(initial(twin.STREAM), [(0, 1.0)], drain=True))
    snapshots = Snapshots(tmp_path)

    assert snapshots.restore(snapshots.write(state, None, None, 1), FOLD).watermarks.current == END


@pytest.mark.parametrize("at", [0, 9, 13, 40, 70, -1])
def test_a_damaged_snapshot_is_found(tmp_path: Path, at: int) -> None:
    snapshots, names, _ = saved(tmp_path)
    path = tmp_path / names[1]
    data = bytearray(path.read_bytes())
    data[at] ^= 0x41
    path.write_bytes(data)

    with pytest.raises(CorruptDataError, match=names[1]):
        snapshots.restore(names[2], FOLD)


def test_a_missing_snapshot_is_named(tmp_path: Path) -> None:
    snapshots, names, _ = saved(tmp_path)
    (tmp_path / names[0]).unlink()

    with pytest.raises(NotFoundError, match=names[0]):
        snapshots.restore(names[2], FOLD)


def test_forgetting_keeps_what_restoring_needs(tmp_path: Path) -> None:
    snapshots, names, state = saved(tmp_path)
    base = snapshots.write(replace(state, epoch=4), None, names[-1], incarnation=1)

    snapshots.forget(names[2])
    assert len(list(tmp_path.iterdir())) == 4
    snapshots.forget(base)
    assert [path.name for path in tmp_path.iterdir()] == [base]


def test_the_format_is_as_published(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    state = JobState(7, Watermarks(10, {0: 5}, -5), {0: 3}, {}, {})

    name = snapshots.write(state, None, None, incarnation=2)

    header = (
        b'{"epoch":7,"format":1,"kind":"base","lateness":10,"latest":{"0":5},"parent":null,"positions":{"0":3},'
        b'"sections":[],"watermark":-5}'
    )
    prefix = b"MERCSNAP" + len(header).to_bytes(4, "little") + zlib.crc32(header).to_bytes(4, "little")
    assert (tmp_path / name).read_bytes() == prefix + header
