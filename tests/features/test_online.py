"""The online store: order-free writes, replays, TTL and status at read, growth, keys, provenance, bytes."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury import BatchTable, Entity, FeatureService, FeatureView
from mercury.errors import CorruptDataError, NotFoundError, UsageError
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.layout import CREATED_TIME, EVENT_TIME
from mercury.features.online import OnlineReader, ShardWriter, Status, environment
from mercury.features.online.codec import FORMAT, Layout, decoder, encode_key, encode_rows
from mercury.features.online.environment import close

SOURCE = BatchTable("t", schema={"k": "string", "x": "float64", "n": "int64", "ts": "timestamp"}, event_time="ts")
VIEW = FeatureView("v", Entity("e", "k"), SOURCE, ["x", "n"], ttl="10us")
SERVICE = FeatureService("s", [VIEW])

Row = tuple[str, int, int, float | None]


def table(rows: list[Row]) -> pa.Table:
    return pa.table(
        {
            "k": pa.array([row[0] for row in rows], pa.string()),
            "x": pa.array([row[3] for row in rows], pa.float64()),
            "n": pa.array([row[1] for row in rows], pa.int64()),
            EVENT_TIME: pa.array([row[1] for row in rows], UTC_MICROSECONDS),
            CREATED_TIME: pa.array([row[2] for row in rows], UTC_MICROSECONDS),
        }
    )


def write(folder: Path, rows: list[Row], epoch: int = 1, **options: Any) -> int:
    return ShardWriter(folder).write(
        "v", VIEW.version, table(rows), keys=["k"], features=["x", "n"], epoch=epoch, **options
    )


def read(folder: Path, key: str | None, now: int = 100) -> list[Any]:
    view = OnlineReader(folder).lookup(SERVICE, [{"k": key}], now).views[0]
    return [view.statuses[0], *view.values[0]]


def test_the_newest_row_is_served_whatever_order_it_came_in(tmp_path: Path) -> None:
    write(tmp_path, [("a", 5, 5, 5.0)])
    assert write(tmp_path, [("a", 3, 9, 3.0)]) == 0
    assert read(tmp_path, "a", 9) == [Status.PRESENT, 5.0, 5]
    assert write(tmp_path, [("a", 5, 6, 5.5)]) == 1
    assert read(tmp_path, "a", 9) == [Status.PRESENT, 5.5, 5]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 5)), max_size=12, unique=True),
    st.randoms(use_true_random=False),
    st.integers(1, 4),
)
def test_writes_commute_and_repeat(
    tmp_path_factory: pytest.TempPathFactory, stamps: list[tuple[str, int, int]], random: Any, batches: int
) -> None:
    rows = [(key, event, created, float(10 * event + created)) for key, event, created in stamps]
    once, shuffled = tmp_path_factory.mktemp("once"), tmp_path_factory.mktemp("shuffled")
    write(once, rows)
    mixed = rows + rows[: len(rows) // 2]
    random.shuffle(mixed)
    for batch in range(batches):
        write(shuffled, mixed[batch::batches])
    try:
        for key in "abc":
            assert read(once, key) == read(shuffled, key)
    finally:
        close(once)
        close(shuffled)


def test_a_replayed_transaction_changes_nothing(tmp_path: Path) -> None:
    assert write(tmp_path, [("a", 5, 5, 5.0)], transaction=("job", 3)) == 1
    assert write(tmp_path, [("a", 9, 9, 9.0)], transaction=("job", 3)) == 0
    assert read(tmp_path, "a", 9)[1] == 5.0
    assert ShardWriter(tmp_path).transaction_version("job") == 3
    assert write(tmp_path, [("a", 5, 5, 5.0)]) == 0


def test_status_goes_by_the_time_of_the_request(tmp_path: Path) -> None:
    write(tmp_path, [("a", 10, 12, 1.0)])
    assert read(tmp_path, "a", 11) == [Status.MISSING, None, None]  # not known yet
    assert read(tmp_path, "a", 12) == [Status.PRESENT, 1.0, 10]
    assert read(tmp_path, "a", 20) == [Status.PRESENT, 1.0, 10]  # the edge of the ttl is inside
    assert read(tmp_path, "a", 21) == [Status.EXPIRED, None, None]
    assert read(tmp_path, "b", 12) == [Status.MISSING, None, None]
    assert read(tmp_path, None, 12) == [Status.MISSING, None, None]


def test_the_clock_is_used_when_no_time_is_given(tmp_path: Path) -> None:
    write(tmp_path, [("a", 10, 12, 1.0)])
    assert OnlineReader(tmp_path, clock=lambda: 15).lookup(SERVICE, [{"k": "a"}]).row(0) == {"x": 1.0, "n": 10}
    assert OnlineReader(tmp_path).lookup(SERVICE, [{"k": "a"}]).views[0].statuses == [Status.EXPIRED]


def test_null_values_are_present(tmp_path: Path) -> None:
    write(tmp_path, [("a", 5, 5, None)])
    assert read(tmp_path, "a", 5) == [Status.PRESENT, None, 5]


def test_hundreds_of_keys_come_in_one_read_in_order(tmp_path: Path) -> None:
    write(tmp_path, [(f"k{number}", number % 7, 7, float(number)) for number in range(600)])
    asked = [f"k{number}" for number in range(599, -1, -2)]
    found = OnlineReader(tmp_path).lookup(SERVICE, [{"k": key} for key in asked], 10)
    assert [found.row(row)["x"] for row in range(len(asked))] == [float(key[1:]) for key in asked]


def test_values_carry_epoch_version_and_sources(tmp_path: Path) -> None:
    write(tmp_path, [("a", 5, 6, 1.0)], epoch=42, sources={"table_version": 3})
    assert OnlineReader(tmp_path).lookup(SERVICE, [{"k": "a"}], 9).provenance(0) == {
        "v": {
            "status": "PRESENT",
            "event_time": 5,
            "created_time": 6,
            "epoch": 42,
            "view_version": VIEW.version,
            "sources": {"table_version": 3},
        }
    }


def test_a_changed_definition_clears_the_rows_of_the_old_one(tmp_path: Path) -> None:
    write(tmp_path, [("a", 5, 5, 1.0), ("b", 5, 5, 1.0)])
    ShardWriter(tmp_path).write("v", "other", table([("a", 1, 1, 2.0)]), keys=["k"], features=["x"], epoch=2)
    assert read(tmp_path, "a", 5) == [Status.PRESENT, 2.0, None]
    assert read(tmp_path, "b", 5)[0] is Status.MISSING


def test_the_map_grows_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 << 16)
    assert write(tmp_path, [(f"key number {number}", 5, 5, 1.0) for number in range(20_000)]) == 20_000
    assert read(tmp_path, "key number 19999", 5)[0] is Status.PRESENT


def test_a_reader_in_another_process_follows_the_writer(tmp_path: Path) -> None:
    write(tmp_path, [("a", 5, 5, 1.0)])
    program = (
        "import sys; from pathlib import Path; from tests.features.test_online import *\n"
        "reader = OnlineReader(Path(sys.argv[1]))\n"
        "for line in sys.stdin:\n"
        "    print(reader.lookup(SERVICE, [{'k': line.strip()}], 9).row(0)['x'], flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None and other.stdout is not None

        def ask(key: str) -> str:
            assert other.stdin is not None and other.stdout is not None
            other.stdin.write(key + "\n")
            other.stdin.flush()
            return other.stdout.readline().strip()

        assert ask("a") == "1.0"
        write(tmp_path, [("a", 6, 6, 2.0)])
        assert ask("a") == "2.0"
        # Beyond the map that the other process has.
        write(tmp_path, [("x" * 400 + str(number), 5, 5, 1.0) for number in range(150_000)])
        write(tmp_path, [("a", 7, 7, 3.0)])
        assert ask("a") == "3.0"
        other.stdin.close()
        assert other.wait(30) == 0


def test_readers_in_threads_never_see_half_a_batch(tmp_path: Path) -> None:
    write(tmp_path, [("a", 0, 0, 0.0), ("b", 0, 0, 0.0)])
    stop = threading.Event()
    torn: list[Any] = []

    def watch() -> None:
        reader = OnlineReader(tmp_path)
        while not stop.is_set():
            first, second = reader.lookup(SERVICE, [{"k": "a"}, {"k": "b"}], 10**6).views[0].event_times
            if first != second:
                torn.append((first, second))

    threads = [threading.Thread(target=watch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for stamp in range(1, 150):
        write(tmp_path, [("a", stamp, stamp, 1.0), ("b", stamp, stamp, 1.0)])
    stop.set()
    for thread in threads:
        thread.join()
    assert torn == []


@pytest.mark.parametrize(
    ("kind", "values", "other"),
    [
        (pa.int32(), [3, -7], "3"),
        (pa.string(), ["", "naïve ☃"], 3),
        (pa.bool_(), [True, False], "true"),
        (pa.binary(), [b"", b"\x00\xff"], "text"),
        (pa.timestamp("us", tz="UTC"), [datetime(2013, 1, 1, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC)], 1.5),
        (pa.string(), ["x" * 5000, "x" * 5001], None),
    ],
)
def test_keys_of_every_type_are_found(tmp_path: Path, kind: pa.DataType, values: list[Any], other: Any) -> None:
    source = pa.table(
        {
            "k": pa.array(values, kind),
            "x": [1.0, 2.0],
            EVENT_TIME: pa.array([1, 1], UTC_MICROSECONDS),
            CREATED_TIME: pa.array([1, 1], UTC_MICROSECONDS),
        }
    )
    ShardWriter(tmp_path).write("v", VIEW.version, source, keys=["k"], features=["x"], epoch=1)
    reader = OnlineReader(tmp_path)
    found = reader.lookup(SERVICE, [{"k": value} for value in values], 1)
    assert [found.row(row)["x"] for row in range(2)] == [1.0, 2.0]
    if other is not None:
        with pytest.raises(UsageError, match="key 'k' is"):
            reader.lookup(SERVICE, [{"k": other}], 1)


def test_features_of_every_type_come_back(tmp_path: Path) -> None:
    moment = datetime(2013, 5, 6, 7, tzinfo=UTC)
    source = pa.table(
        {
            "k": ["a", "b"],
            "text": ["☃", None],
            "list": [[1, 2], None],
            "when": pa.array([moment, None], UTC_MICROSECONDS),
            "flag": [True, None],
            "wide": pa.array([-(2**63), None], pa.int64()),
            EVENT_TIME: pa.array([1, 1], UTC_MICROSECONDS),
            CREATED_TIME: pa.array([1, 1], UTC_MICROSECONDS),
        }
    )
    names = ["text", "list", "when", "flag", "wide"]
    view = FeatureView(
        "v", Entity("e", "k"), BatchTable("t", schema={"k": "string", "ts": "timestamp"}, event_time="ts"), names
    )
    ShardWriter(tmp_path).write("v", view.version, source, keys=["k"], features=names, epoch=1)
    found = OnlineReader(tmp_path).lookup([view], [{"k": "a"}, {"k": "b"}], 1)
    micros = int(moment.timestamp()) * 1_000_000
    assert found.row(0) == {"text": "☃", "list": [1, 2], "when": micros, "flag": True, "wide": -(2**63)}
    assert found.row(1) == dict.fromkeys(names)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    reader = OnlineReader(tmp_path)
    with pytest.raises(UsageError, match=r"row 1 has no key 'k'.*Did you mean"):
        reader.lookup(SERVICE, [{"k": "a"}, {"kk": "a"}], 1)
    with pytest.raises(NotFoundError, match="materialize"):
        reader.stored("v")
    write(tmp_path, [("a", 1, 1, 1.0)])
    with pytest.raises(UsageError, match="key 'k' is 7"):
        reader.lookup(SERVICE, [{"k": 7}], 1)


def test_dropping_a_view_leaves_nothing_of_it(tmp_path: Path) -> None:
    write(tmp_path, [("a", 1, 1, 1.0), ("b", 1, 1, 1.0)])
    assert ShardWriter(tmp_path).drop("v") == 2
    assert read(tmp_path, "a", 1)[0] is Status.MISSING
    assert ShardWriter(tmp_path).drop("v") == 0


def test_golden_bytes_of_keys_and_rows() -> None:
    """These bytes lie on disks: a change needs a new `FORMAT` and a reader for the old one."""
    layout = Layout((("k", "text"), ("n", "int")), (("x", "float"), ("i", "int"), ("b", "bool")))
    assert encode_key(["a☃", -2], layout) == bytes.fromhex("730000000461e2988369fffffffffffffffe")
    rows = pa.table({"x": [1.5], "i": pa.array([None], pa.int64()), "b": [True]})
    stamps = [pa.array([value]).to_numpy() for value in (1, 2, 3)]
    fixed = encode_rows(rows, layout, *stamps)[0]
    head = "01010000000000000002000000000000000300000000000000"
    assert fixed.hex() == head + "02" + "000000000000f83f000000000000000001"
    assert decoder(layout)(fixed) == (1, 2, 3, [1.5, None, True])
    packed = Layout((("k", "text"),), (("t", "text"), ("x", "float")))
    mixed = encode_rows(pa.table({"t": ["a"], "x": [1.5]}), packed, *stamps)[0]
    assert mixed.hex() == head + "00" + "92a161cb3ff8000000000000"
    assert decoder(packed)(mixed) == (1, 2, 3, ["a", 1.5])
    with pytest.raises(CorruptDataError, match="format 9"):
        decoder(packed)(b"\x09" + mixed[1:])
    with pytest.raises(CorruptDataError, match="bytes, not"):
        decoder(layout)(fixed[:-1])
    assert FORMAT == 1
