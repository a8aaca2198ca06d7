"""What may be written into a table, and how its schema may grow."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mercury.errors import DataError, NotFoundError, SchemaError
from mercury.tables import Table

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int32(), nullable=False),
        ("delay", pa.float32()),
        ("carrier", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
    ]
)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    table = Table.create(tmp_path / "t", SCHEMA)
    table.append(one(1))
    return table


def one(id_: int, **columns: pa.Array) -> pa.Table:
    base = {"id": pa.array([id_], pa.int32()), "delay": pa.array([1.5], pa.float32()), "carrier": pa.array(["UA"])}
    return pa.table({**base, **columns})


def test_new_column_is_refused_with_name_type_and_nearest_column(table: Table) -> None:
    with pytest.raises(SchemaError, match=r"no column 'carier' of type string.*Did you mean 'carrier'\?"):
        table.append(one(2, carier=pa.array(["UA"])))
    assert table.refresh().version == 1


def test_changed_type_is_refused_with_both_types(table: Table) -> None:
    with pytest.raises(SchemaError, match="'delay' has the type string, but the table has float"):
        table.append(one(2, delay=pa.array(["late"])))
    with pytest.raises(SchemaError, match=r"'id' has the type int64.*int32.*evolve=True"):
        table.append(one(2, id=pa.array([2])))


def test_missing_nullable_column_is_null_and_missing_required_one_refused(table: Table) -> None:
    assert table.read().column("at").to_pylist() == [None]
    with pytest.raises(SchemaError, match="'id' of type int32 is missing"):
        table.append(pa.table({"carrier": ["UA"]}))


def test_null_in_a_required_column_is_refused(table: Table) -> None:
    with pytest.raises(DataError, match="'id' has 1 nulls"):
        table.append(one(2, id=pa.array([None], pa.int32())))


def test_other_arrow_forms_of_the_same_type_are_taken(table: Table) -> None:
    table.append(
        one(
            2,
            carrier=pa.array(["B6"]).dictionary_encode(),
            at=pa.array([1_000], pa.timestamp("ns", tz="Europe/Paris")),
            delay=pa.nulls(1),
        )
    )
    table.append(one(3, id=pa.array([3], pa.int8()), carrier=pa.array(["DL"], pa.large_string())))

    got = table.read().sort_by("id")
    assert got.schema.types == SCHEMA.types
    assert got.column("carrier").to_pylist() == ["UA", "B6", "DL"]
    assert got.column("at").cast(pa.int64()).to_pylist() == [None, 1, None]


def test_time_finer_than_microseconds_is_refused_not_cut(table: Table) -> None:
    with pytest.raises(SchemaError, match="'at'"):
        table.append(one(2, at=pa.array([1_001], pa.timestamp("ns", tz="UTC"))))


def test_evolve_adds_nullable_columns_and_old_rows_read_null(table: Table) -> None:
    table.append(one(2, gate=pa.array(["A1"]), stops=pa.array([[1, 2]])), evolve=True)

    assert table.schema.names == [*SCHEMA.names, "gate", "stops"]
    assert table.read(["id", "gate", "stops"]).sort_by("id").to_pylist() == [
        {"id": 1, "gate": None, "stops": None},
        {"id": 2, "gate": "A1", "stops": [1, 2]},
    ]
    assert table.read(version=1).column_names == SCHEMA.names
    table.append(one(3))
    assert sorted(table.read(["id"], where="gate IS NULL").column("id").to_pylist()) == [1, 3]


def test_stale_writer_without_the_new_column_still_fits(table: Table) -> None:
    stale = Table.open(table.uri)
    table.append(one(2, gate=pa.array(["A1"])), evolve=True)

    stale.append(one(3))

    assert stale.read(["gate"]).column("gate").to_pylist().count(None) == 2


def test_evolve_widens_integers_and_floats_and_keeps_values(table: Table) -> None:
    commit = table.append(one(2, id=pa.array([2**40]), delay=pa.array([0.1])), evolve=True)

    assert commit.rows == 1
    assert table.schema.field("id").type == pa.int64()
    assert not table.schema.field("id").nullable
    assert table.read(["id", "delay"]).sort_by("id").to_pydict() == {"id": [1, 2**40], "delay": [1.5, 0.1]}
    assert table.read(version=1).schema.field("id").type == pa.int32()


def test_evolve_refuses_what_could_change_values(table: Table) -> None:
    with pytest.raises(SchemaError, match="'id' has the type double"):
        table.append(one(2, id=pa.array([2.5])), evolve=True)
    with pytest.raises(SchemaError, match="'Carrier' differs from another in case only"):
        table.append(one(2, Carrier=pa.array(["x"])), evolve=True)


def test_types_that_delta_lacks_are_refused_at_creation(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"'n' has the type uint64.*int64"):
        Table.create(tmp_path / "u", pa.schema([("n", pa.uint64())]))
    with pytest.raises(SchemaError, match="case only"):
        Table.create(tmp_path / "u", pa.schema([("a", pa.int64()), ("A", pa.int64())]))
    with pytest.raises(NotFoundError, match="partition column 'day'"):
        Table.create(tmp_path / "u", SCHEMA, partition_by=["day"])


def test_empty_text_as_partition_value_is_refused(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "p", pa.schema([("id", pa.int64()), ("p", pa.string())]), partition_by=["p"])
    with pytest.raises(DataError, match="empty text, which Delta keeps as NULL"):
        table.append(pa.table({"id": [1], "p": [""]}))


def test_unknown_column_in_a_read_names_the_nearest(table: Table) -> None:
    with pytest.raises(SchemaError, match=r"no column 'dely'.*'delay'"):
        table.read(["dely"])
