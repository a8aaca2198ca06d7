"""Appends, transactions, provenance, time travel: what a commit promises."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pytest

from mercury.errors import CommitConflictError, FencedError, NotFoundError, TableNotFoundError, UsageError
from mercury.tables import Table, Transaction
from mercury.time import to_iso

SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": list(ids), "name": [f"n{i}" for i in ids]}, schema=SCHEMA)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table.create(tmp_path / "t", SCHEMA)


def ids(table: Table, **options: object) -> list[int]:
    return sorted(table.read(["id"], **options).column("id").to_pylist())


def test_append_returns_version_and_rows(table: Table) -> None:
    commit = table.append(rows(1, 2))

    assert (commit.version, commit.rows, commit.skipped) == (1, 2, False)
    assert table.read().sort_by("id").to_pydict() == {"id": [1, 2], "name": ["n1", "n2"]}


def test_record_batches_and_readers_are_appended(table: Table) -> None:
    table.append(rows(1).to_batches()[0])
    table.append(rows(2, 3).to_reader())

    assert ids(table) == [1, 2, 3]


def test_replayed_and_older_transactions_are_skipped(table: Table) -> None:
    table.append(rows(1), transaction=Transaction("job", 5))

    assert table.append(rows(1), transaction=Transaction("job", 5)).skipped
    assert Table.open(table.uri).append(rows(9), transaction=Transaction("job", 3)).skipped
    assert not table.append(rows(2), transaction=Transaction("other", 3)).skipped
    assert ids(table) == [1, 2]
    assert table.transaction_version("job") == 5
    assert table.transaction_version("nobody") is None


def test_transaction_without_rows_is_committed_and_skipped_next_time(table: Table) -> None:
    first = table.append(rows(), transaction=Transaction("job", 1))

    assert (first.skipped, first.rows, table.transaction_version("job")) == (False, 0, 1)
    assert table.append(rows(1), transaction=Transaction("job", 1)).skipped
    assert table.files() == []


def test_lost_race_for_the_same_transaction_is_skipped_and_marked(table: Table) -> None:
    late = Table.open(table.uri)
    table.append(rows(1), transaction=Transaction("job", 1))

    commit = late.append(rows(1), transaction=Transaction("job", 1))

    assert commit.skipped and commit.raced
    assert ids(late) == [1]


def test_writer_behind_a_newer_incarnation_is_fenced(table: Table) -> None:
    late = Table.open(table.uri)
    table.append(rows(1), transaction=Transaction("job", 7))

    with pytest.raises(FencedError, match="at transaction 7, past 6"):
        late.append(rows(2), transaction=Transaction("job", 6))
    assert ids(table) == [1]


def test_stale_handle_appends_on_top_of_others(table: Table) -> None:
    stale = Table.open(table.uri)
    for i in range(3):
        table.append(rows(i))

    assert stale.append(rows(10)).version == 4
    assert ids(stale) == [0, 1, 2, 10]


def test_provenance_comes_back_through_history(table: Table) -> None:
    given = {"inputs": {"flights": {"0": [0, 500]}}, "code": "abc", "übung": "é"}
    table.append(rows(1), provenance=given)
    table.append(rows(2))

    newest, first, _ = table.history()

    assert (first.version, first.provenance, first.rows, first.operation) == (1, given, 1, "WRITE")
    assert newest.provenance == {}
    assert [commit.version for commit in table.history(limit=1)] == [2]


def test_provenance_lies_in_the_log_as_canonical_json(table: Table) -> None:
    table.append(rows(1), transaction=Transaction("job", 3), provenance={"b": [1, 2], "a": {"é": None}})

    entry = (Path(table.uri) / "_delta_log" / f"{1:020d}.json").read_text()
    assert r'"mercury.provenance":"{\"a\":{\"é\":null},\"b\":[1,2]}"' in entry
    assert '{"txn":{"appId":"job","version":3' in entry


def test_provenance_that_is_not_json_is_refused(table: Table) -> None:
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        table.append(rows(1), provenance={"path": Path("x")})
    assert table.refresh().version == 0


def test_time_travel_by_version_and_by_time(table: Table) -> None:
    for i in range(3):
        table.append(rows(i))
    second = next(commit for commit in table.history() if commit.version == 2)

    assert ids(table, version=1) == [0]
    assert second.timestamp is not None
    assert ids(table, as_of=second.timestamp) in ([0, 1], [0, 1, 2])  # commits may share a millisecond
    assert ids(table, as_of=to_iso(second.timestamp + 60_000_000)) == [0, 1, 2]
    with pytest.raises(NotFoundError, match=r"version 9 does not exist.*newest is 3"):
        table.read(version=9)
    with pytest.raises(NotFoundError, match="no version at 2001"):
        table.read(as_of="2001-01-01")


def test_create_refuses_an_existing_table_unless_told(table: Table) -> None:
    table.append(rows(1))

    with pytest.raises(CommitConflictError, match="already"):
        Table.create(table.uri, SCHEMA)
    assert Table.create(table.uri, SCHEMA, exist_ok=True).version == 1


def test_exists_and_not_found(tmp_path: Path, table: Table) -> None:
    assert Table.exists(table.uri)
    assert not Table.exists(tmp_path / "none")
    with pytest.raises(TableNotFoundError, match="no table at"):
        Table.open(tmp_path / "none")


def test_table_crosses_processes_as_its_address(table: Table) -> None:
    table.append(rows(4))

    assert ids(pickle.loads(pickle.dumps(table))) == [4]


def test_transaction_needs_a_name_and_a_natural_number() -> None:
    with pytest.raises(UsageError, match="application id"):
        Transaction("", 1)
    with pytest.raises(UsageError, match="-1 is not"):
        Transaction("job", -1)


def test_compaction_keeps_rows_and_makes_one_file(table: Table) -> None:
    for i in range(12):
        table.append(rows(i), transaction=Transaction("job", i))
    assert len(table.files()) == 12

    table.compact(provenance={"why": "small files"})

    assert len(table.files()) == 1
    assert ids(table) == list(range(12))
    assert table.history(1)[0].operation == "OPTIMIZE"
    assert table.history(1)[0].provenance == {"why": "small files"}
    assert table.transaction_version("job") == 11
    assert Table.open(table.uri).transaction_version("job") == 11


def test_vacuum_deletes_old_files_and_leftovers_but_not_the_table(table: Table) -> None:
    for i in range(3):
        table.append(rows(i))
    table.compact()
    folder = Path(table.uri)
    orphan = folder / "data-job-7" / "part-1.parquet"
    orphan.parent.mkdir()
    orphan.write_bytes(b"half")
    upload = folder / "part-2.parquet#1"
    upload.write_bytes(b"half")

    assert table.vacuum("7d") == []
    kept = table.vacuum("0s", dry_run=True)
    removed = table.vacuum("0s")

    assert len(kept) == len(removed) == 5
    assert not orphan.exists() and not upload.exists()
    assert ids(table) == [0, 1, 2]
    with pytest.raises(Exception, match="not there"):
        table.read(version=1)


def test_query_runs_duckdb_over_the_table(table: Table) -> None:
    table.append(rows(1, 2, 3))

    assert table.query("SELECT sum(id) AS total FROM self", where="id > 1").to_pydict()["total"] == [5]
    with pytest.raises(UsageError, match="query cannot run"):
        table.query("SELECT nothing FROM self")


def test_log_is_checkpointed_and_expired(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA, properties={"delta.logRetentionDuration": "interval 0 seconds"})
    for i in range(5):
        table.append(rows(i))

    table.expire_log()

    assert ids(Table.open(table.uri)) == [0, 1, 2, 3, 4]
    assert len(list((tmp_path / "t" / "_delta_log").glob("*.json"))) < 6
