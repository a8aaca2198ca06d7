"""The reference implementation, delta-spark, reads what we wrote; we read what it appended, deleted and updated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.errors import UnavailableError
from mercury.tables import Table, Transaction
from tests.tables.spark_process import DeltaSpark, delta_spark

pytestmark = [pytest.mark.spark, pytest.mark.slow]

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("name", pa.string()),
        ("moment", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("f", pa.float64()),
    ]
)


@pytest.fixture(scope="module")
def spark() -> Iterator[DeltaSpark]:
    with delta_spark() as running:
        yield running


def rows(first: int, count: int) -> pa.Table:
    ids = list(range(first, first + count))
    return pa.table(
        {
            "id": ids,
            "name": [None if i % 3 == 0 else f"n{i} é" for i in ids],
            "moment": pa.array([i * 1_000_001 - 5 for i in ids], pa.int64()).cast(SCHEMA.field("moment").type),
            "day": pa.array([15_706 + i % 2 for i in ids], pa.int32()).cast(pa.date32()),
            "f": [float("nan") if i % 4 == 0 else i / 2 for i in ids],
        },
        schema=SCHEMA,
    )


AGGREGATES = (
    "SELECT count(*) AS n, sum(id) AS ids, count(name) AS names, sum(unix_micros(moment)) AS ats, "
    "count_if(isnan(f)) AS nans, min(day) AS first FROM {source}"
)


def by_spark(spark: DeltaSpark, table: Table, version: int | None = None) -> dict[str, object]:
    at = "" if version is None else f" VERSION AS OF {version}"
    return spark.sql(AGGREGATES.format(source=f"delta.`{table.uri}`{at}"))[0]


def by_us(table: Table, version: int | None = None) -> dict[str, object]:
    sql = AGGREGATES.format(source="self").replace("unix_micros", "epoch_us")
    got = table.query(sql, version=version).to_pylist()[0]
    return {name: str(value) if name == "first" else int(value) for name, value in got.items()}


@pytest.mark.parametrize("partition_by", [(), ("day", "name")])
def test_spark_reads_every_version_that_we_wrote(spark: DeltaSpark, tmp_path: Path, partition_by: tuple[str]) -> None:
    table = Table.create(tmp_path / "t", SCHEMA, partition_by=partition_by)
    table.append(rows(0, 10), transaction=Transaction("job", 1), provenance={"epoch": 1})
    table.append(rows(10, 10), transaction=Transaction("job", 2))
    table.upsert(rows(15, 10), ["id"])
    table.overwrite(rows(1, 1), where="id = 1")
    table.compact()
    if not partition_by:
        pq.write_table(rows(100, 10), Path(table.uri) / "added.parquet")
        table.add_files(["added.parquet"])

    for version in range(1, table.version + 1):
        assert by_spark(spark, table, version) == by_us(table, version)
    assert by_spark(spark, table) == by_us(table)


def test_spark_prunes_by_our_statistics_without_losing_rows(spark: DeltaSpark, tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA)
    for first in (0, 100, 200):
        pq.write_table(rows(first, 100), Path(table.uri) / f"{first}.parquet", row_group_size=30)
    table.add_files([f"{first}.parquet" for first in (0, 100, 200)])
    table.overwrite(rows(50, 1), where="id = 50")

    # Not "f > 120": Spark takes statistics at their word, which leave NaN out, and loses rows that are NaN.
    for where in (
        "id = 150",
        "name >= 'n2'",
        "moment > timestamp '1970-01-01 00:03:20.0001Z'",
        "name IS NULL",
        "f < 20",
    ):
        expected = spark.sql(f"SELECT count(*) AS n FROM delta.`{table.uri}` WHERE {where}")[0]["n"]
        assert table.read(["id"], where=where.replace("Z'", "+00:00'")).num_rows == expected


def test_spark_reads_our_change_feed_and_added_columns(spark: DeltaSpark, tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA)
    table.append(rows(0, 5))
    table.upsert(rows(3, 4), ["id"])
    table.append(rows(9, 1).append_column("gate", pa.array(["A1"])), evolve=True)

    feed = spark.sql(
        "SELECT _change_type AS t, _commit_version AS v, count(*) AS n "
        f"FROM table_changes_by_path('{table.uri}', 1, 2) GROUP BY 1, 2"
    )
    ours = table.changes(0, 2).group_by(["_change_type", "_commit_version"]).aggregate([([], "count_all")]).to_pylist()
    assert {(row["t"], row["v"], row["n"]) for row in feed} == {
        (row["_change_type"], row["_commit_version"], row["count_all"]) for row in ours
    }
    got = spark.sql(f"SELECT id, gate FROM delta.`{table.uri}` WHERE gate IS NOT NULL")
    assert got == [{"id": 9, "gate": "A1"}]


def test_we_read_what_spark_appends_updates_and_deletes(spark: DeltaSpark, tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA, partition_by=["day"])
    table.append(rows(0, 10), transaction=Transaction("job", 1))
    at = f"delta.`{table.uri}`"

    spark.sql(f"INSERT INTO {at} VALUES (50, 'spark', timestamp '2013-01-01 05:00:00.000007Z', date '2013-01-01', 0.5)")
    spark.sql(f"UPDATE {at} SET name = 'updated' WHERE id = 3")
    spark.sql(f"DELETE FROM {at} WHERE id = 4")

    assert by_us(table) == by_spark(spark, table)
    assert table.read(["name"], where="id IN (3, 4, 50)").num_rows == 2
    assert table.read(["moment"], where="id = 50")["moment"].cast(pa.int64()).to_pylist() == [1357016400000007]
    changed = table.changes(2)
    assert sorted(changed["_change_type"].to_pylist()) == ["delete", "update_postimage", "update_preimage"]
    assert table.append(rows(0, 10), transaction=Transaction("job", 1)).skipped
    table.append(rows(60, 1))
    assert by_us(table) == by_spark(spark, table)


def test_rows_behind_deletion_vectors_are_gone_for_us_too(spark: DeltaSpark, tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA)
    table.append(rows(0, 100))
    at = f"delta.`{table.uri}`"
    spark.sql(f"ALTER TABLE {at} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    spark.sql(f"DELETE FROM {at} WHERE id IN (5, 7)")
    spark.sql(f"INSERT INTO {at} SELECT id + 1000, name, moment, day, f FROM {at} WHERE id = 8")
    assert list(Path(table.uri).glob("deletion_vector*.bin"))

    assert by_us(table) == by_spark(spark, table)
    assert table.read(["id"], where="id BETWEEN 4 AND 8 OR id > 1000").sort_by("id")["id"].to_pylist() == [
        4,
        6,
        8,
        1008,
    ]
    with pytest.raises(UnavailableError, match="deletion vectors"):
        table.files()
    for rewrite in (
        lambda: table.overwrite(rows(1, 1), where="id = 1"),
        lambda: table.upsert(rows(1, 1), ["id"]),
        lambda: table.compact(),
        lambda: table.vacuum("0s"),
        lambda: table.erase("id", [5]),
    ):
        with pytest.raises(UnavailableError, match=r"deletion vectors.*PURGE"):
            rewrite()
    table.append(rows(2000, 1))
    assert by_us(table) == by_spark(spark, table)


def test_spark_reads_a_table_after_erasure(spark: DeltaSpark, tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA)
    for first in (0, 10):
        table.append(rows(first, 10), transaction=Transaction("job", first))
    spark.sql(f"INSERT INTO delta.`{table.uri}` SELECT id + 100, name, moment, day, f FROM delta.`{table.uri}`")
    assert table.erase("id", [3, 12, 103]).rows == 3

    assert by_spark(spark, table) == by_us(table)
    spark.sql(f"INSERT INTO delta.`{table.uri}` SELECT 99, name, moment, day, f FROM delta.`{table.uri}` LIMIT 1")
    assert by_us(table) == by_spark(spark, table)
    assert table.transaction_version("job") == 10


def test_spark_reads_a_long_log_with_checkpoints(spark: DeltaSpark, tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", SCHEMA, properties={"delta.checkpointInterval": "5"})
    for n in range(12):
        table.append(rows(n, 1), transaction=Transaction("job", n))

    assert list((Path(table.uri) / "_delta_log").glob("*.checkpoint.parquet"))
    assert by_spark(spark, table) == by_us(table)


def test_wider_columns_are_read_by_spark(spark: DeltaSpark, tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", pa.schema([("id", pa.int32()), ("f", pa.float32())]))
    table.append(pa.table({"id": pa.array([1], pa.int32()), "f": pa.array([0.5], pa.float32())}))
    table.append(pa.table({"id": [2**40], "f": [0.1]}), evolve=True)

    got = spark.sql(f"SELECT id, f FROM delta.`{table.uri}` ORDER BY id")
    assert got == [{"id": 1, "f": 0.5}, {"id": 2**40, "f": 0.1}]
    before = spark.sql(f"SELECT id FROM delta.`{table.uri}` VERSION AS OF 1")
    assert before == [{"id": 1}]
