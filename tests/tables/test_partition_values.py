"""Values of partition columns come back as they were written, by every verb, or are refused."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mercury.errors import DataError, SchemaError
from mercury.tables import Table
from mercury.tables.scanning import scan

UTC = dt.UTC
KINDS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "instants": (
        pa.timestamp("us", tz="UTC"),
        [dt.datetime(2013, 1, 1, 5, 0, 0, 123456, tzinfo=UTC), dt.datetime(2013, 1, 2, tzinfo=UTC), None],
    ),
    "far instants": (
        pa.timestamp("us", tz="UTC"),
        [dt.datetime(1, 1, 1, tzinfo=UTC), dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), None],
    ),
    "local times": (pa.timestamp("us"), [dt.datetime(2013, 1, 1, 5), dt.datetime(2013, 1, 2, 0, 0, 0, 5), None]),
    "doubles": (pa.float64(), [1.5, -0.1, None]),
    "odd doubles": (pa.float64(), [1e18, math.inf, 123456.789]),
    "floats": (pa.float32(), [0.5, 1e20, None]),
    "dates": (pa.date32(), [dt.date(2013, 1, 1), dt.date(9999, 12, 31), None]),
    "decimals": (pa.decimal128(20, 2), [Decimal("1.00"), Decimal("12345678901234567.89"), None]),
    "booleans": (pa.bool_(), [True, False, None]),
    "integers": (pa.int64(), [2**63 - 1, -1, None]),
    "texts": (pa.string(), ["a/b=c d%", "é\U0001f680 ..", None]),
}


def make(folder: Path, kind: str) -> tuple[Table, pa.Table]:
    type_, values = KINDS[kind]
    table = Table.create(folder, pa.schema([("k", type_), ("id", pa.int64())]), partition_by=["k"])
    rows = pa.table({"k": pa.array(values, type_), "id": [1, 2, 3]})
    table.append(rows)
    return table, rows


def by_id(rows: pa.Table) -> dict[int, Any]:
    return dict(zip(rows["id"].to_pylist(), rows["k"].to_pylist(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_verb_gives_the_values_that_were_written(tmp_path: Path, kind: str) -> None:
    table, rows = make(tmp_path / "t", kind)
    wanted = by_id(rows)

    assert by_id(table.read()) == wanted
    assert by_id(table.changes(0)) == wanted
    table.overwrite(rows.slice(1, 1), where="id = 2")
    table.upsert(rows.slice(0, 2), ["id"])
    table.compact()
    assert by_id(table.read()) == wanted
    assert by_id(table.read(version=1)) == wanted
    table.erase("id", [3])
    assert by_id(table.read()) == {row: wanted[row] for row in (1, 2)}


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_scanned_with_the_values_of_the_log(tmp_path: Path, kind: str) -> None:
    table, rows = make(tmp_path / "t", kind)
    table.append(rows.set_column(1, "id", pa.array([4, 5, 6])))

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        text = scan(connection, table.data_files(), table.schema, "t")
        found = connection.sql(f"SELECT * FROM ({text}) WHERE id > 1").to_arrow_table()

    values = rows["k"].to_pylist()
    assert by_id(found.cast(table.schema)) == {2: values[1], 3: values[2], 4: values[0], 5: values[1], 6: values[2]}


@pytest.mark.parametrize(
    ("type_", "value", "said"),
    [
        (pa.string(), "", "an empty text"),
        (pa.string(), "__HIVE_DEFAULT_PARTITION__", "the text '__HIVE_DEFAULT_PARTITION__'"),
        (pa.string(), "x" * 300, "too long for a folder's name"),
        (pa.float64(), 1e300, "too long for a folder's name"),
    ],
)
@pytest.mark.parametrize("verb", ["append", "overwrite", "upsert"])
def test_values_that_would_come_back_as_others_are_refused(
    tmp_path: Path, verb: str, type_: pa.DataType, value: Any, said: str
) -> None:
    table = Table.create(tmp_path / "t", pa.schema([("k", type_), ("id", pa.int64())]), partition_by=["k"])
    rows = pa.table({"k": pa.array([value], type_), "id": [1]})

    with pytest.raises(DataError, match=said):
        table.upsert(rows, ["id"]) if verb == "upsert" else getattr(table, verb)(rows)

    assert table.refresh().version == 0


def test_bytes_and_nested_values_are_no_partitions(tmp_path: Path) -> None:
    for type_ in (pa.binary(), pa.list_(pa.int64())):
        with pytest.raises(SchemaError, match="partition column 'k' has the type"):
            Table.create(tmp_path / "t", pa.schema([("k", type_), ("id", pa.int64())]), partition_by=["k"])


FLOATS = st.sampled_from([0.0, -0.0, math.nan, -math.nan, 1.5, math.inf])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(FLOATS, min_size=1, max_size=6), min_size=1, max_size=3))
def test_upserts_tell_float_keys_apart_by_the_rule_of_equality(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[float]]
) -> None:
    table = Table.create(tmp_path_factory.mktemp("t") / "t", pa.schema([("k", pa.float64()), ("n", pa.int64())]))
    wanted: dict[Any, int] = {}
    count = 0
    for batch in batches:
        numbers = list(range(count, count + len(batch)))
        count += len(batch)
        table.upsert(pa.table({"k": pa.array(batch, pa.float64()), "n": numbers}), ["k"], order_by="n")
        for key, number in zip(batch, numbers, strict=True):
            wanted["NaN" if math.isnan(key) else key] = number

    held = table.read()
    found = {"NaN" if math.isnan(k) else k: n for k, n in zip(*(c.to_pylist() for c in held.columns), strict=True)}
    assert found == wanted
    assert held.num_rows == len(wanted)
