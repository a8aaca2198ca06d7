"""Upsert and overwrite, against a dictionary that does the same by hand."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mercury.errors import CommitConflictError, DataError, SchemaError
from mercury.tables import Table, Transaction

SCHEMA = pa.schema([("key", pa.string()), ("day", pa.string()), ("seq", pa.int64()), ("v", pa.float64())])


def rows(*values: tuple[str, str, int | None, float | None]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, value, strict=True)) for value in values], schema=SCHEMA)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table.create(tmp_path / "t", SCHEMA)


def content(table: Table) -> list[tuple[object, ...]]:
    return sorted(tuple(row.values()) for row in table.read().to_pylist())


def test_upsert_replaces_equal_keys_and_adds_the_rest(table: Table) -> None:
    table.append(rows(("a", "1", 1, 1.0), ("b", "1", 1, 2.0)))

    commit = table.upsert(rows(("b", "1", 2, 20.0), ("c", "1", 1, None)), ["key"], transaction=Transaction("u", 1))

    assert commit.rows == 2
    assert [row[0] for row in content(table)] == ["a", "b", "c"]
    assert content(table)[1] == ("b", "1", 2, 20.0)
    assert table.upsert(rows(("b", "1", 3, 0.0)), ["key"], transaction=Transaction("u", 1)).skipped


def test_upsert_refuses_null_and_doubled_keys(table: Table) -> None:
    with pytest.raises(DataError, match="key column 'key' has 1 nulls"):
        table.upsert(rows((None, "1", 1, 1.0)), ["key"])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"1 keys occur more than once.*'a'.*order_by"):
        table.upsert(rows(("a", "1", 1, 1.0), ("a", "1", 2, 1.0)), ["key"])
    with pytest.raises(SchemaError, match=r"no column 'kye'.*'key'"):
        table.upsert(rows(("a", "1", 1, 1.0)), ["kye"])


def test_upsert_of_nothing_commits_its_transaction(table: Table) -> None:
    table.upsert(rows(), ["key"], transaction=Transaction("u", 4))

    assert table.transaction_version("u") == 4


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), max_size=6), min_size=1, max_size=3
    ),
    seed=st.integers(0, 2**16),
)
def test_ordered_upserts_end_alike_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, int]]], seed: int
) -> None:
    expected: dict[str, int] = {}
    for key, seq in (item for batch in batches for item in batch):
        expected[key] = max(seq, expected.get(key, -1))
    shuffled = list(batches)
    random.Random(seed).shuffle(shuffled)
    for order in (batches, shuffled):
        table = Table.create(tmp_path_factory.mktemp("upsert") / "t", SCHEMA)
        for batch in order:
            table.upsert(rows(*((key, "1", seq, float(seq)) for key, seq in batch)), ["key"], order_by="seq")
        assert {row[0]: row[2] for row in content(table)} == expected


def test_overwrite_replaces_all_rows(table: Table) -> None:
    table.append(rows(("a", "1", 1, 1.0)))

    table.overwrite(rows(("z", "9", 1, 1.0)), transaction=Transaction("o", 1))

    assert content(table) == [("z", "9", 1, 1.0)]
    assert table.overwrite(rows(), transaction=Transaction("o", 1)).skipped
    table.overwrite(rows())
    assert content(table) == []


@pytest.mark.parametrize("partition_by", [(), ("day",)])
def test_overwrite_where_replaces_those_rows_and_leaves_other_files(tmp_path: Path, partition_by: tuple[str]) -> None:
    table = Table.create(tmp_path / "t", SCHEMA, partition_by=partition_by)
    table.append(rows(("a", "1", 1, 1.0), ("b", "1", 2, None)))
    table.append(rows(("c", "2", 1, 1.0)))
    other = table.files(where="day = '2'")

    table.overwrite(rows(("n", "1", 9, 9.0)), where="day = '1'")

    assert content(table) == [("c", "2", 1, 1.0), ("n", "1", 9, 9.0)]
    assert set(other) <= set(table.files())


def test_overwrite_where_keeps_rows_that_the_condition_leaves_open(table: Table) -> None:
    table.append(rows(("a", "1", 1, 1.0), ("b", "1", 2, None), ("c", "1", 3, float("nan"))))

    table.overwrite(rows(), where="v < 5")

    assert [row[0] for row in content(table)] == ["b", "c"]


def test_overwrite_refuses_rows_outside_its_condition(table: Table) -> None:
    with pytest.raises(DataError, match="1 of 2 rows do not meet"):
        table.overwrite(rows(("a", "1", 1, 1.0), ("b", "2", 1, 1.0)), where="day = '1'")
    assert table.refresh().version == 0


def test_overwrites_of_the_same_file_follow_each_other(table: Table) -> None:
    table.append(rows(("a", "1", 1, 1.0), ("b", "2", 1, 1.0)))
    late = Table.open(table.uri)

    table.overwrite(rows(("x", "1", 1, 1.0)), where="day = '1'")
    late.overwrite(rows(("y", "2", 1, 1.0)), where="day = '2'")

    assert [row[0] for row in content(late)] == ["x", "y"]


def test_merge_that_is_always_overtaken_gives_up_with_a_conflict(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    from deltalake.exceptions import CommitFailedError

    from mercury.tables import merging

    def overtaken(*_: object) -> None:
        raise CommitFailedError("Concurrent transaction failed.")

    monkeypatch.setattr(merging, "merge", overtaken)
    with pytest.raises(CommitConflictError, match="20 attempts"):
        table.upsert(rows(("a", "1", 1, 1.0)), ["key"])
