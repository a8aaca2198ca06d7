"""A table that was dropped and made anew at its address is another table, whatever its version number."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from mercury.errors import CommitConflictError, TableNotFoundError
from mercury.tables import Table, Transaction

SCHEMA = pa.schema([("x", pa.int64())])


def make(folder: Path, commits: int, first: int) -> Table:
    shutil.rmtree(folder, ignore_errors=True)
    table = Table.create(folder, SCHEMA)
    for number in range(commits):
        table.append(pa.table({"x": [first + number]}))
    return table


@pytest.mark.parametrize("commits", [0, 1, 3, 5])
def test_an_open_table_sees_the_one_that_took_its_place(tmp_path: Path, commits: int) -> None:
    old = make(tmp_path / "t", 3, 0)
    before = old.snapshot
    new = make(tmp_path / "t", commits, 100)

    assert sorted(old.read()["x"].to_pylist()) == [100 + number for number in range(commits)]
    assert old.snapshot == new.snapshot
    assert old.snapshot.version == commits
    assert old.snapshot.id != before.id


def test_the_identity_stays_with_the_table_through_its_writes_and_upkeep(tmp_path: Path) -> None:
    table = make(tmp_path / "t", 3, 0)
    first = table.snapshot
    again = pickle.loads(pickle.dumps(table))

    table.compact()
    table.overwrite(pa.table({"x": [9]}))
    table.append(pa.table({"x": [10], "y": ["new"]}), evolve=True)
    table.vacuum("0s")
    for number in range(8):
        table.append(pa.table({"x": [number], "y": [None]}, schema=pa.schema([*SCHEMA, ("y", pa.string())])))
    table.trim_log(2)

    assert table.refresh().snapshot.id == first.id
    assert again.refresh().snapshot == table.snapshot
    assert Table.open(table.uri).snapshot == table.snapshot
    assert table.append(pa.table({"x": [1]})).version == table.version


@pytest.mark.parametrize("commits", [1, 3, 5])
def test_a_writer_does_not_continue_the_log_of_another_table(tmp_path: Path, commits: int) -> None:
    old = make(tmp_path / "t", 3, 0)
    new = make(tmp_path / "t", commits, 100)

    with pytest.raises(CommitConflictError, match="dropped and made anew"):
        old.append(pa.table({"x": [4]}), transaction=Transaction("job", 1))

    assert sorted(new.read()["x"].to_pylist()) == [100 + number for number in range(commits)]
    assert old.append(pa.table({"x": [4]})).version == commits + 1  # the error was seen: from now on it is that table


def test_nothing_is_written_where_the_table_was_dropped(tmp_path: Path) -> None:
    table = make(tmp_path / "t", 3, 0)
    shutil.rmtree(tmp_path / "t")

    with pytest.raises(TableNotFoundError):
        table.append(pa.table({"x": [4]}))
    with pytest.raises(TableNotFoundError):
        table.read()

    assert not (tmp_path / "t").exists()
