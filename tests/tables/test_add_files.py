"""Files that somebody else wrote into the table's folder become part of it in one commit."""

from __future__ import annotations

import json
import math
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.errors import CorruptDataError, NotFoundError, SchemaError, UsageError
from mercury.tables import Table, Transaction

SCHEMA = pa.schema(
    [("id", pa.int64()), ("name", pa.string()), ("at", pa.timestamp("us", tz="UTC")), ("f", pa.float64())]
)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table.create(tmp_path / "t", SCHEMA)


def rows(first: int, count: int) -> pa.Table:
    ids = list(range(first, first + count))
    at = pa.array([i * 1_000_001 for i in ids], pa.int64()).cast(SCHEMA.field("at").type)
    return pa.table({"id": ids, "name": [f"n{i}" for i in ids], "at": at, "f": [i / 2 for i in ids]}, schema=SCHEMA)


def staged(table: Table, name: str, data: pa.Table, **options: object) -> str:
    path = Path(table.uri) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(data, path, **options)
    return str(path)


def statistics(table: Table) -> dict[str, object]:
    entry = Path(table.uri) / "_delta_log" / f"{table.version:020d}.json"
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    return json.loads(next(action["add"]["stats"] for action in actions if "add" in action))


def test_files_are_added_once_with_their_rows(table: Table) -> None:
    paths = [staged(table, f"data-job-1/part {n}é.parquet", rows(10 * n, 5)) for n in range(3)]

    commit = table.add_files(paths, transaction=Transaction("job", 1), provenance={"run": "r1"})

    assert (commit.rows, commit.version) == (15, 1)
    assert table.add_files(paths, transaction=Transaction("job", 1)).skipped
    assert table.read().sort_by("id").equals(pa.concat_tables([rows(0, 5), rows(10, 5), rows(20, 5)]))
    assert table.history(1)[0].provenance == {"run": "r1"}
    assert len(table.files("id >= 20")) == 1


def test_statistics_agree_with_the_rows(table: Table) -> None:
    data = rows(3, 7).set_column(1, "name", pa.array(["b", "a", None, "z" * 50, "é", None, "a"]))
    table.add_files([staged(table, "x.parquet", data, row_group_size=2)])

    assert statistics(table) == {
        "numRecords": 7,
        "minValues": {"id": 3, "name": "a", "at": "1970-01-01T00:00:03.000Z", "f": 1.5},
        "maxValues": {"id": 9, "name": "é", "at": "1970-01-01T00:00:09.001Z", "f": 4.5},
        "nullCount": {"id": 0, "name": 2, "at": 0, "f": 0},
    }


def test_long_texts_and_infinities_are_cut_so_that_bounds_hold(table: Table) -> None:
    data = pa.table(
        {"id": [1, 2], "name": ["y" * 60, "z" * 60], "at": pa.nulls(2, SCHEMA.field("at").type), "f": [1.0, math.inf]}
    )
    table.add_files([staged(table, "x.parquet", data)])

    got = statistics(table)
    assert got["minValues"] == {"id": 1, "name": "y" * 32, "f": 1.0}
    assert got["maxValues"] == {"id": 2, "name": "z" * 32 + "\U0010ffff"}
    assert table.read(where=f"name = '{'z' * 60}'").num_rows == 1
    assert table.read(where="f > 1e300").num_rows == 1


def test_other_libraries_files_are_added(table: Table, tmp_path: Path) -> None:
    path = Path(table.uri) / "duck.parquet"
    duckdb.connect().execute(
        "COPY (SELECT 1::BIGINT AS id, 'a' AS name, TIMESTAMPTZ '2013-01-01 00:00:00Z' AS at) "
        f"TO '{path}' (FORMAT PARQUET)"
    )

    assert table.add_files([path]).rows == 1
    assert table.read(["id", "f"]).to_pylist() == [{"id": 1, "f": None}]


def test_times_in_sparks_int96_are_read_as_utc(table: Table) -> None:
    path = staged(table, "spark.parquet", rows(5, 2), use_deprecated_int96_timestamps=True)

    table.add_files([path])

    assert table.read(["at"])["at"].cast(pa.int64()).to_pylist() == [5_000_005, 6_000_006]
    assert table.changes(0)["at"].cast(pa.int64()).to_pylist() == [5_000_005, 6_000_006]


def test_partition_values_come_from_the_folders(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.int64()), ("day", pa.date32()), ("carrier", pa.string())])
    table = Table.create(tmp_path / "p", schema, partition_by=["day", "carrier"])
    data = pa.table({"id": [1, 2]})
    paths = [
        staged(table, "day=2013-01-01/carrier=U%2FA/a.parquet", data),
        staged(table, "day=2013-01-02/carrier=__HIVE_DEFAULT_PARTITION__/a.parquet", data),
    ]

    table.add_files(paths)

    assert {(str(row["day"]), row["carrier"]) for row in table.read().to_pylist()} == {
        ("2013-01-01", "U/A"),
        ("2013-01-02", None),
    }
    assert table.files("day = '2013-01-01'") == [paths[0]]
    with pytest.raises(SchemaError, match="in no folder 'carrier="):
        table.add_files([staged(table, "day=2013-01-03/b.parquet", data)])


def test_nothing_is_added_unless_every_file_is_whole_and_fits(table: Table, tmp_path: Path) -> None:
    good = staged(table, "good.parquet", rows(0, 2))
    half = Path(table.uri) / "half.parquet"
    half.write_bytes(Path(good).read_bytes()[:-20])
    wrong = staged(table, "wrong.parquet", pa.table({"id": ["a"]}))
    extra = staged(table, "extra.parquet", pa.table({"id": [1], "gate": ["A"]}))
    outside = tmp_path / "outside.parquet"
    pq.write_table(rows(0, 1), outside)

    with pytest.raises(CorruptDataError, match=r"half\.parquet.*not a whole Parquet"):
        table.add_files([good, half])
    with pytest.raises(SchemaError, match="'id' of type string, but the table has int64"):
        table.add_files([good, wrong])
    with pytest.raises(SchemaError, match="column 'gate' that the table does not have"):
        table.add_files([good, extra])
    with pytest.raises(UsageError, match="not in the table's folder"):
        table.add_files([good, outside])
    with pytest.raises(NotFoundError, match=r"no file .*none\.parquet"):
        table.add_files([good, "none.parquet"])
    with pytest.raises(UsageError, match="in the table already"):
        table.add_files([good, good])
    assert table.refresh().version == 0
