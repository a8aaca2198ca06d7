"""Files as a source: exact ranges, broken lines, files that appear later."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.errors import NotFoundError, SchemaError, UsageError
from mercury.streaming import FileSource


def values(table: pa.Table) -> list[bytes]:
    return table.column("value").to_pylist()


@settings(max_examples=50, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"")), max_size=8),
    end=st.booleans(),
    data=st.data(),
)
def test_a_line_is_a_value_and_its_number_the_offset(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bool, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.ndjson"
    path.write_bytes(b"\n".join(lines) + (b"\n" if end and lines else b""))
    # Without the last line's end, an empty last line is no line.
    known = lines if end or not lines or lines[-1] else lines[:-1]
    reader = FileSource.of(path).open()
    low = data.draw(st.integers(0, len(known)))
    high = data.draw(st.integers(low, len(known)))

    assert reader.bounds() == ({0: 0}, {0: len(known)})
    table = reader.read({0: (low, high)})[0]

    assert values(table) == known[low:high]
    assert table.column("offset").to_pylist() == list(range(low, high))


def test_each_ndjson_file_of_a_folder_is_a_partition(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(b"2\r\n3\r\n")
    (tmp_path / "a.ndjson").write_bytes(b"1\n")
    reader = FileSource.of(tmp_path).open()

    read = reader.read({0: (0, 1), 1: (0, 2)})

    assert (values(read[0]), values(read[1])) == ([b"1"], [b"2", b"3"])


def record_file(path: Path, partition: list[int], offset: list[int]) -> None:
    table = {"partition": partition, "offset": offset, "value": [b"%d" % o for o in offset]}
    pq.write_table(pa.table(table), path, row_group_size=2)


def test_parquet_records_are_found_by_partition_and_offset(tmp_path: Path) -> None:
    record_file(tmp_path / "a.parquet", [0, 1, 0, 1, 0], [0, 0, 1, 1, 2])
    reader = FileSource.of(tmp_path).open()

    assert reader.bounds() == ({0: 0, 1: 0}, {0: 3, 1: 2})
    assert values(reader.read({0: (1, 3)})[0]) == [b"1", b"2"]


def test_a_file_that_is_added_is_read(tmp_path: Path) -> None:
    record_file(tmp_path / "a.parquet", [0], [0])
    reader = FileSource.of(tmp_path).open()
    record_file(tmp_path / "b.parquet", [0, 0], [1, 2])

    assert reader.bounds()[1] == {0: 3}
    assert values(reader.read({0: (0, 3)})[0]) == [b"0", b"1", b"2"]


def test_a_parquet_file_without_offsets_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"value": [b"x"]}), tmp_path / "a.parquet")

    with pytest.raises(SchemaError, match="partition, offset and value"):
        FileSource.of(tmp_path).open()


def test_files_of_two_kinds_are_refused(tmp_path: Path) -> None:
    record_file(tmp_path / "a.parquet", [0], [0])
    (tmp_path / "b.ndjson").write_bytes(b"1\n")

    with pytest.raises(UsageError, match="cannot be replayed together"):
        FileSource.of(tmp_path).open()


def test_no_files_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file or folder"):
        FileSource.of(tmp_path / "nowhere").open()
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        file.write(b"1\n")
    with pytest.raises(NotFoundError, match=r"no \.parquet or \.ndjson files"):
        FileSource.of(tmp_path).open()
