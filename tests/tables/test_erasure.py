"""Erasure leaves no trace in the table's folder, and its proof fails when there is one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.errors import PartialError, SchemaError, UsageError
from mercury.tables import ErasureCertificate, Table, Transaction
from mercury.tables.proof import DecodedFile, Finding

SCHEMA = pa.schema([("user", pa.string()), ("n", pa.int64()), ("note", pa.string())])
GONE = ["user-17", "user-03", "somebody-who-never-was"]


def rows(first: int, count: int = 10) -> pa.Table:
    ids = range(first, first + count)
    return pa.table({"user": [f"user-{i:02d}" for i in ids], "n": list(ids), "note": ["x"] * count}, schema=SCHEMA)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Three files, an update in the change feed, a compaction, and a leftover of a writer that died."""
    table = Table.create(tmp_path / "t", SCHEMA)
    for n in range(3):
        table.append(rows(10 * n), transaction=Transaction("job", n))
    table.upsert(rows(17, 1).set_column(2, "note", pa.array(["changed"])), ["user"])
    table.compact()
    table.append(rows(30))
    pq.write_table(rows(17, 1), Path(table.uri) / "part-9.parquet#1")
    return table


def test_erased_ids_are_in_no_byte_of_the_folder(table: Table) -> None:
    folder = Path(table.uri)
    assert any(b"user-17" in path.read_bytes() for path in folder.rglob("*") if path.is_file())

    certificate = table.erase("user", GONE)

    assert (certificate.proven, certificate.rows, certificate.ids) == (True, 2, 3)
    for path in folder.rglob("*"):
        assert not path.is_file() or not any(name.encode() in path.read_bytes() for name in GONE), path
    for path in [*folder.rglob("*.parquet")]:
        assert not any(name in str(pq.read_table(path).to_pylist()) for name in GONE)


def test_table_lives_on_after_erasure(table: Table) -> None:
    table.erase("user", GONE)
    reopened = Table.open(table.uri)

    assert sorted(reopened.read()["n"].to_pylist()) == [i for i in range(40) if i not in (3, 17)]
    assert reopened.transaction_version("job") == 2
    assert reopened.append(rows(0), transaction=Transaction("job", 2)).skipped
    reopened.append(rows(50, 1))
    assert reopened.read(where="user = 'user-50'").num_rows == 1
    assert sorted(reopened.changes(reopened.version - 1)["n"].to_pylist()) == [50]


def test_certificate_lists_every_file_that_is_left_and_no_id(table: Table) -> None:
    certificate = table.erase("user", GONE)

    left = {path.relative_to(table.uri).as_posix() for path in Path(table.uri).rglob("*") if path.is_file()}
    document = json.loads(certificate.to_json())
    assert {file["path"] for file in document["decoded"]} == left
    assert {file["kind"] for file in document["decoded"]} == {"data", "log", "checkpoint"}
    assert document["proven"] is True and document["format"] == 1
    assert not any(name in certificate.to_json() for name in GONE)
    assert all(len(file["sha256"]) == 64 for file in document["decoded"])


def test_erasing_again_is_proven_again(table: Table) -> None:
    table.erase("user", GONE)

    again = table.erase("user", GONE)

    assert (again.rows, again.proven) == (0, True)


def _data(folder: Path) -> None:
    pq.write_table(rows(17, 1), folder / "left.parquet")


def _change_data(folder: Path) -> None:
    (folder / "_change_data").mkdir(exist_ok=True)
    pq.write_table(rows(17, 1), folder / "_change_data" / "left.parquet")


def _hidden_upload(folder: Path) -> None:
    (folder / "_temporary").mkdir()
    pq.write_table(rows(17, 1), folder / "_temporary" / "part.parquet#2")


def _other_column(folder: Path) -> None:
    pq.write_table(pa.table({"referrer": ["user-17"]}), folder / "left.parquet")


def _statistics(folder: Path) -> None:
    stats = json.dumps({"numRecords": 1, "minValues": {"user": "user-17"}, "maxValues": {"user": "user-18"}})
    (folder / "_delta_log" / f"{0:020d}.json").write_text(json.dumps({"add": {"path": "a", "stats": stats}}))


def _predicate(folder: Path) -> None:
    info = {"operation": "DELETE", "operationParameters": {"predicate": "[\"user = 'user-17'\"]"}}
    (folder / "_delta_log" / f"{0:020d}.json").write_text(json.dumps({"commitInfo": info}))


def _checkpoint(folder: Path) -> None:
    stats = json.dumps({"maxValues": {"user": "user-17"}})
    add = pa.array([{"path": "a", "stats": stats}])
    pq.write_table(pa.table({"add": add}), folder / "_delta_log" / f"{1:020d}.checkpoint.parquet")


def _unreadable(folder: Path) -> None:
    (folder / "left.parquet").write_bytes(b"PAR1 and then nothing")


def _unknown(folder: Path) -> None:
    (folder / "notes.bin.gz").write_bytes(b"\x1f\x8b\xff\xfe")


@pytest.mark.parametrize(
    "leave",
    [_data, _change_data, _hidden_upload, _other_column, _statistics, _predicate, _checkpoint, _unreadable, _unknown],
)
def test_proof_fails_when_something_is_left(table: Table, leave: Callable[[Path], None]) -> None:
    table.erase("user", GONE)
    assert table.prove_erased("user", GONE).proven

    leave(Path(table.uri))

    certificate = table.prove_erased("user", GONE)
    assert not certificate.proven
    assert len(certificate.findings) >= 1
    assert not any(name in certificate.to_json() for name in GONE)


def test_erasure_that_cannot_be_proven_raises_and_names_the_file(table: Table) -> None:
    hidden = Path(table.uri) / "_backup"
    hidden.mkdir()
    shutil.copy(table.files("user = 'user-17'")[0], hidden / "copy.parquet")

    with pytest.raises(PartialError, match=r"2 rows were deleted, but .*not clean.*_backup/copy\.parquet"):
        table.erase("user", GONE)


def test_integer_ids_are_erased_and_proven(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.int64()), ("n", pa.int64())])
    table = Table.create(tmp_path / "t", schema)
    table.append(pa.table({"id": [7, 8, 9], "n": [7, 7, 7]}, schema=schema))

    certificate = table.erase("id", [7, 9])

    assert certificate.rows == 2
    assert table.read().to_pylist() == [{"id": 8, "n": 7}]
    pq.write_table(pa.table({"id": [9]}), tmp_path / "t" / "left.parquet")
    assert not table.prove_erased("id", [7, 9]).proven


def test_new_statistics_leave_the_id_column_out(table: Table) -> None:
    table.erase("user", GONE)
    table.append(rows(60))

    entry = (Path(table.uri) / "_delta_log" / f"{table.version:020d}.json").read_text()
    assert '\\"n\\"' in entry and "user-6" not in entry


def test_erase_refuses_what_it_cannot_do(table: Table, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"no column 'usr'.*'user'"):
        table.erase("usr", ["a"])
    with pytest.raises(SchemaError, match="an id does not fit column 'n' of type int64"):
        table.erase("n", ["secret"])
    with pytest.raises(UsageError, match="NULL"):
        table.erase("user", [None])
    parted = Table.create(tmp_path / "p", SCHEMA, partition_by=["user"])
    with pytest.raises(UsageError, match="partition column"):
        parted.erase("user", ["a"])


def test_certificate_has_a_fixed_format() -> None:
    certificate = ErasureCertificate(
        "lake/t", "user", 2, 1, 7, (DecodedFile("a.parquet", "data", 3, "00"),), (Finding("b.gz", "cannot be decoded"),)
    )

    assert certificate.to_json() == GOLDEN


GOLDEN = """{
  "column": "user",
  "decoded": [
    {
      "entries": 3,
      "kind": "data",
      "path": "a.parquet",
      "sha256": "00"
    }
  ],
  "findings": [
    {
      "path": "b.gz",
      "reason": "cannot be decoded"
    }
  ],
  "format": 1,
  "ids": 2,
  "proven": false,
  "rows": 1,
  "uri": "lake/t",
  "version": 7
}"""
