"""The keyed shuffle gives what one pass over all rows gives, on any engine, with any key distribution."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.errors import DataError, DeadlineExceededError, SchemaError, UnavailableError, UsageError
from mercury.runtime.hashing import bucket_of
from mercury.runtime.session import RaySession
from mercury.runtime.shuffle import FileRange, file_ranges, shuffle


def events(seed: int, rows: int, *, users: int = 50, hot: float = 0.0) -> pa.Table:
    """Events of users, a share `hot` of which belongs to user 0; some users and amounts are null."""
    random = np.random.default_rng(seed)
    user = np.where(random.random(rows) < hot, 0, random.integers(0, users, rows))
    return pa.table(
        {
            "user": pa.array([f"u{value}" for value in user], pa.string(), mask=random.random(rows) < 0.01),
            "at": pa.array(random.integers(0, 10**9, rows)),
            "amount": pa.array(random.integers(0, 1000, rows), mask=random.random(rows) < 0.1),
        }
    )


def positive(table: pa.Table) -> pa.Table:
    return table.filter(pc.greater(table["amount"], 10))


def sessions(table: pa.Table) -> pa.Table:
    """Gap of each event to the one before of its user: needs all rows of a user together."""
    return duckdb.sql(
        """SELECT "user", "at", amount, "at" - lag("at") OVER (PARTITION BY "user" ORDER BY "at", amount) AS gap
        FROM "table" ORDER BY "user", "at", amount"""
    ).to_arrow_table()


def rows_of(tables: list[pa.Table]) -> list[tuple[object, ...]]:
    rows = [tuple(row.values()) for table in tables for row in table.to_pylist()]
    return sorted(rows, key=repr)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(0, 200), min_size=1, max_size=4),
    users=st.integers(1, 60),
    hot=st.sampled_from([0.0, 0.5, 1.0]),
    partitions=st.integers(1, 9),
)
def test_equals_the_kernels_on_one_table(seed: int, sizes: list[int], users: int, hot: float, partitions: int) -> None:
    inputs = [events(seed + i, size, users=users, hot=hot) for i, size in enumerate(sizes)]
    results = shuffle(inputs, positive, ["user"], sessions, partitions=partitions)
    assert len(results) == partitions
    assert rows_of(results) == rows_of([sessions(positive(pa.concat_tables(inputs)))])
    for p, result in enumerate(results):
        assert set(bucket_of([result["user"]], partitions).tolist()) <= {p}


@pytest.mark.ray
@pytest.mark.parametrize(("hot", "users"), [(0.0, 500), (0.6, 500), (0.0, 2)])
def test_ray_equals_the_process_bit_for_bit(ray_local: RaySession, hot: float, users: int) -> None:
    inputs = [events(seed, 20_000, users=users, hot=hot) for seed in range(3)]
    expected = shuffle(inputs, positive, ["user"], sessions, partitions=8, engine="process")
    got = shuffle(inputs, positive, ["user"], sessions, partitions=8, engine="ray", deadline=120)
    assert [table.schema for table in got] == [table.schema for table in expected]
    assert all(one.equals(two) for one, two in zip(got, expected, strict=True))
    if users == 2:
        assert sum(table.num_rows == 0 for table in got) >= 5
    one_partition = shuffle(inputs, positive, ["user"], sessions, partitions=1, engine="ray", deadline=120)
    assert rows_of(one_partition) == rows_of(expected)


@pytest.mark.ray
def test_a_worker_that_is_killed_is_replaced(ray_local: RaySession, tmp_path: Path) -> None:
    inputs = [events(seed, 1_000) for seed in range(3)]
    marks = tmp_path / "map", tmp_path / "reduce"

    def dies_once(mark: Path) -> None:
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def mapping(table: pa.Table) -> pa.Table:
        dies_once(marks[0])
        return positive(table)

    def reducing(table: pa.Table) -> pa.Table:
        dies_once(marks[1])
        return sessions(table)

    got = shuffle(inputs, mapping, ["user"], reducing, partitions=4, engine="ray", deadline=120)
    assert all(mark.exists() for mark in marks)
    expected = shuffle(inputs, positive, ["user"], sessions, partitions=4)
    assert all(one.equals(two) for one, two in zip(got, expected, strict=True))


@pytest.mark.ray
def test_errors_come_back_as_they_were(ray_local: RaySession) -> None:
    def broken(table: pa.Table) -> pa.Table:
        raise DataError("row 3 is bad")

    def endless(table: pa.Table) -> pa.Table:
        import threading

        threading.Event().wait(60)
        return table

    def deadly(table: pa.Table) -> pa.Table:
        os.kill(os.getpid(), signal.SIGKILL)
        return table

    inputs = [events(1, 10)]
    for engine in ("ray", "process"):
        with pytest.raises(DataError, match="row 3 is bad"):
            shuffle(inputs, broken, ["user"], sessions, partitions=2, engine=engine)
        with pytest.raises(SchemaError, match="Did you mean 'user'"):
            shuffle(inputs, positive, ["uzer"], sessions, partitions=2, engine=engine)
    with pytest.raises(DeadlineExceededError, match=r"longer than 0\.5 s"):
        shuffle(inputs, endless, ["user"], sessions, partitions=2, engine="ray", deadline=0.5)
    with pytest.raises(UnavailableError, match="died on every attempt"):
        shuffle(inputs, deadly, ["user"], sessions, engine="ray", task_options={"max_retries": 1}, deadline=120)


def test_files_are_read_by_row_groups(tmp_path: Path) -> None:
    tables = [events(seed, 3_000) for seed in range(2)]
    paths = [tmp_path / f"{i}.parquet" for i in range(2)]
    for table, path in zip(tables, paths, strict=True):
        pq.write_table(table, path, row_group_size=1_000)
    group = pq.read_metadata(paths[0]).row_group(0).total_byte_size
    ranges = file_ranges(paths, range_bytes=int(2.5 * group))
    assert [(Path(each.path).name, each.row_groups) for each in ranges] == [
        ("0.parquet", (0, 1)),
        ("0.parquet", (2,)),
        ("1.parquet", (0, 1)),
        ("1.parquet", (2,)),
    ]
    assert ranges[0].bytes == pytest.approx(2 * group, rel=0.05)
    assert pa.concat_tables(each.read() for each in ranges).equals(pa.concat_tables(tables))
    assert rows_of(shuffle(ranges, positive, ["user"], sessions, partitions=3)) == rows_of(
        shuffle(tables, positive, ["user"], sessions, partitions=3)
    )
    assert FileRange(str(paths[0]), columns=("at",)).read().column_names == ["at"]


def test_what_is_no_shuffle_is_refused() -> None:
    for inputs, keys, partitions in (([], ["user"], 1), ([events(1, 1)], [], 1), ([events(1, 1)], ["user"], 0)):
        with pytest.raises(UsageError):
            shuffle(inputs, positive, keys, sessions, partitions=partitions)
    with pytest.raises(UsageError, match="list is no input"):
        shuffle([[1]], positive, ["user"], sessions)  # type: ignore[list-item]
