"""What may be checked: CSV and Parquet files, folders, globs, Delta tables; and what a broken one is told as."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.errors import CorruptDataError, NotFoundError, SchemaError, UsageError
from mercury.quality import Report, Result, Verdict
from mercury.quality.opening import open_source
from mercury.quality.run import as_source, check
from mercury.tables import Table
from tests.quality.contracts import contract_of


def one(report: Report, name: str) -> Result:
    (found,) = [result for result in report.results if result.check == name]
    return found


CSV = """code,count,share,at,free
007,1,0.5,2013-01-01T05:00:00Z,12
"a,
b",2,NA,2013-01-02T05:00:00Z,x
NA,3,1,,7
"""

TYPED = """
- {name: code, logicalType: string, required: true}
- {name: count, logicalType: integer, logicalTypeOptions: {maximum: 2}}
- {name: share, logicalType: number, required: true}
- {name: at, logicalType: timestamp, required: true}
"""


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv"])
def test_csv_is_typed_as_the_contract_says(tmp_path: Path, suffix: str) -> None:
    text = CSV.replace(",", "\t").replace('"a\t\n', '"a,\n') if suffix == ".tsv" else CSV
    path = tmp_path / f"t{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    contract = contract_of(tmp_path, TYPED)
    source = as_source(str(path), contract)
    assert {field.name: str(field.type) for field in source.schema} == {
        "code": "string",
        "count": "int64",
        "share": "double",
        "at": "timestamp[us, tz=UTC]",
        "free": "string",
    }
    report = check(source, contract)
    assert report.rows == 3
    for name in ("code: required", "share: required", "at: required", "count: range"):
        assert one(report, name).failed == 1, name
    assert one(report, "count: range").sample[0].position.row == 2
    assert all(one(report, f"{name}: type").verdict is Verdict.PASS for name in ("code", "count", "share", "at"))


def test_a_cell_of_another_type_makes_its_column_text_and_breaks_its_type(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,1\n" * 1000 + "oops,2\n")
    report = check(str(tmp_path / "t.csv"), contract_of(tmp_path, "- {name: a, logicalType: integer}\n- {name: b}"))
    assert one(report, "a: type").verdict is Verdict.FAIL
    assert "string" in one(report, "a: type").message
    assert report.rows == 1_001


def test_a_column_that_is_not_in_the_header_is_missing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,cuont\n1,2\n")
    contract = contract_of(tmp_path, "- {name: a}\n- {name: count, logicalType: integer, required: true}")
    report = check(str(tmp_path / "t.csv"), contract)
    assert one(report, "count: present").verdict is Verdict.FAIL
    assert "Did you mean 'cuont'?" in one(report, "count: present").message
    assert one(report, "count: required").verdict is Verdict.NOT_EVALUATED


def test_conditions_see_columns_that_the_contract_does_not_list(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,extra\n1,5\n2,0\n")
    rule = "- {name: c, type: custom, engine: mercury, implementation: 'extra > a'}"
    report = check(str(tmp_path / "t.csv"), contract_of(tmp_path, "- {name: a, logicalType: integer}", rule))
    assert one(report, "c").failed == 1


def test_folders_globs_and_files_are_one_source_with_file_names_in_samples(tmp_path: Path) -> None:
    for name, values in [("a", [1, 2]), ("b", [3, -4])]:
        pq.write_table(pa.table({"x": values}), tmp_path / f"{name}.parquet")
    contract = contract_of(tmp_path, "- {name: x, logicalType: integer, logicalTypeOptions: {minimum: 0}}")
    for source in (str(tmp_path), str(tmp_path / "*.parquet"), str(tmp_path / "[ab].parquet")):
        report = check(source, contract)
        sample = one(report, "x: range").sample[0]
        assert report.rows == 4
        assert sample.to_dict(report.files)["file"].endswith("b.parquet") and sample.position.row == 1


def test_a_file_that_lacks_a_column_is_told_though_others_have_it(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1], "y": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "b.parquet")
    report = check(str(tmp_path), contract_of(tmp_path, "- {name: y, required: true}"))
    assert one(report, "y: present").verdict is Verdict.FAIL
    assert "b.parquet" in one(report, "y: present").message
    assert one(report, "y: required").failed == 2


def test_files_of_different_types_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": ["1"]}), tmp_path / "b.parquet")
    with pytest.raises(SchemaError, match="'x' is string here and int64 before"):
        open_source(tmp_path)


def test_a_delta_table_is_read_at_its_version_with_partition_columns(tmp_path: Path) -> None:
    uri = str(tmp_path / "table")
    schema = pa.schema({"month": pa.int64(), "origin": pa.string(), "x": pa.int64()})
    table = Table.create(uri, schema, partition_by=["month", "origin"])
    table.append(pa.table({"month": [1, 1, 2], "origin": ["EWR", "J K", "EWR"], "x": [1, 2, -3]}, schema=schema))
    table.append(pa.table({"month": [2, None], "origin": ["LGA", None], "x": [4, 5]}, schema=schema))
    properties = """
- {name: month, logicalType: integer, required: true, logicalTypeOptions: {maximum: 1}}
- name: origin
  logicalType: string
  quality: [{name: set, metric: invalidValues, arguments: {validValues: [EWR, J K]}, mustBe: 0}]
- {name: x, logicalType: integer, logicalTypeOptions: {minimum: 0}}
"""
    report = check(uri, contract_of(tmp_path, properties))
    assert (report.source_kind, report.rows) == ("delta", 5)
    assert report.source_version == Table.open(uri).version
    assert one(report, "month: range").failed == 2
    assert one(report, "month: required").failed == 1
    assert one(report, "set").failed == 1
    assert one(report, "x: range").failed == 1


def test_a_delta_table_after_a_rewrite_counts_only_its_own_rows(tmp_path: Path) -> None:
    uri = str(tmp_path / "table")
    table = Table.create(uri, pa.schema({"id": pa.int64(), "x": pa.int64()}))
    table.append(pa.table({"id": [1, 2, 3], "x": [1, 2, 3]}))
    table.upsert(pa.table({"id": [2], "x": [-7]}), ["id"])
    report = check(uri, contract_of(tmp_path, "- {name: x, logicalType: integer, logicalTypeOptions: {minimum: 0}}"))
    assert report.rows == 3
    assert one(report, "x: range").failed == 1


def test_large_row_groups_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mercury.quality import parquet_source

    monkeypatch.setattr(parquet_source, "WHOLE_GROUP_ROWS", 100)
    monkeypatch.setattr(parquet_source, "BLOCK_ROWS", 64)
    words = [f"w{number % 7}" for number in range(1_000)]
    pq.write_table(pa.table({"x": range(1_000), "w": words}), tmp_path / "t.parquet", row_group_size=500)
    source = open_source(tmp_path / "t.parquet")
    starts = [start for part in source.ranges() for start, _ in source.read(part, ["x", "w"])]
    assert len(starts) > 14 and starts[0] == 0 and 500 in starts
    rules = "- {name: x, unique: true}\n- name: w\n  quality: [{name: d, type: custom, engine: mercury, "
    contract = contract_of(tmp_path, rules + "implementation: {check: distinct, mustBe: 7}}]")
    assert one(check(source, contract), "d").verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("t.parquet", b"not parquet", CorruptDataError),
        ("t.parquet", b"PAR1 half a file", CorruptDataError),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", CorruptDataError),
        ("t.csv", b"", CorruptDataError),
        ("t.xlsx", b"PK", UsageError),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, content: bytes, error: type[Exception]) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=name):
        check(str(tmp_path / name), contract_of(tmp_path, "- {name: a}"))


@pytest.mark.parametrize("name", ["none.csv", "none/*.parquet", "empty"])
def test_what_is_not_there_is_not_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError):
        open_source(tmp_path / name)


def test_files_without_rows_and_tables_without_files_are_empty(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, "- {name: x, logicalType: integer, required: true, unique: true}")
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "t.parquet")
    Table.create(str(tmp_path / "table"), pa.schema({"x": pa.int64()}))
    (tmp_path / "t.csv").write_text("x\n")
    for name in ("t.parquet", "table", "t.csv"):
        report = check(str(tmp_path / name), contract)
        assert (report.rows, report.verdict) == (0, Verdict.PASS), name


def test_columns_that_the_contract_does_not_list_are_named(tmp_path: Path) -> None:
    report = check(pa.table({"x": [1], "new": [2]}), contract_of(tmp_path, "- {name: x}"))
    assert report.unlisted == ("new",)
    assert report.verdict is Verdict.PASS
