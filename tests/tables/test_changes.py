"""The change feed: replaying it onto an empty table gives the table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from mercury.errors import NotFoundError, UsageError
from mercury.tables import Table

SCHEMA = pa.schema([("id", pa.int64()), ("p", pa.string()), ("v", pa.float64())])


def rows(*values: tuple[int, str | None, float]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, value, strict=True)) for value in values], schema=SCHEMA)


def replayed(changes: pa.Table) -> Counter[tuple[object, ...]]:
    """Rows after applying the changes in order; deletes come before inserts within a version."""
    state: Counter[tuple[object, ...]] = Counter()
    for row in changes.to_pylist():
        sign = -1 if row["_change_type"] in ("delete", "update_preimage") else 1
        state[tuple(row[name] for name in SCHEMA.names)] += sign
    return +state


@pytest.mark.parametrize("partition_by", [(), ("p",)])
def test_changes_add_up_to_the_table_at_every_version(tmp_path: Path, partition_by: tuple[str]) -> None:
    table = Table.create(tmp_path / "t", SCHEMA, partition_by=partition_by)
    table.append(rows((1, "x y/ü%=", 1.0), (2, None, 2.0), (3, "b", 3.0)))
    table.upsert(rows((1, "x y/ü%=", 10.0), (4, "b", 4.0)), ["id"])
    table.overwrite(rows((9, "b", 9.0)), where="p = 'b'")
    table.compact()
    table.append(rows((5, "b", 5.0)))

    for version in range(table.version + 1):
        expected = Counter(tuple(row.values()) for row in table.read(version=version).to_pylist())
        assert replayed(table.changes(-1, version)) == expected


def test_updates_carry_both_images_version_and_time(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA)
    table.append(rows((1, "a", 1.0)))
    table.upsert(rows((1, "a", 2.0)), ["id"])

    got = table.changes(1)

    assert sorted(zip(got["_change_type"].to_pylist(), got["v"].to_pylist(), strict=True)) == [
        ("update_postimage", 2.0),
        ("update_preimage", 1.0),
    ]
    assert got["_commit_version"].to_pylist() == [2, 2]
    assert got["_commit_timestamp"].cast(pa.int64())[0].as_py() == table.history(1)[0].timestamp


def test_compaction_changes_nothing_and_nothing_new_is_empty(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA)
    table.append(rows((1, "a", 1.0)))
    table.append(rows((2, "a", 1.0)))
    table.compact()

    assert table.changes(2).num_rows == 0
    assert table.changes(table.version).schema.names[:3] == SCHEMA.names


def test_columns_that_came_later_are_null_in_earlier_changes(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA)
    table.append(rows((1, "a", 1.0)))
    table.append(rows((2, "a", 1.0)).append_column("gate", pa.array(["A1"])), evolve=True)

    assert table.changes(-1)["gate"].to_pylist() == [None, "A1"]


def test_changes_that_were_vacuumed_are_named_as_gone(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA)
    table.append(rows((1, "a", 1.0)))
    table.overwrite(rows((2, "a", 1.0)))
    table.vacuum("0s")

    with pytest.raises(NotFoundError, match="was vacuumed"):
        table.changes(-1)


def test_table_without_a_change_feed_says_so(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA, properties={"delta.enableChangeDataFeed": "false"})

    with pytest.raises(UsageError, match="keeps no change feed"):
        table.changes(0)
