"""`evaluate`: shapes, types, order, threads and cost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mercury.errors import ExpressionError
from mercury.expressions import Expression, evaluate


def test_rows_keep_their_order_and_where_drops_false_and_null() -> None:
    rows = pa.table({"x": [5, None, 3, 8, 1], "unused": [[1]] * 5})
    found = evaluate({"y": "x * 10", "x": Expression.parse("x")}, rows, where="x > 2")
    assert found.to_pydict() == {"y": [50, 30, 80], "x": [5, 3, 8]}
    assert found.schema == pa.schema({"y": pa.int64(), "x": pa.int64()})


def test_record_batches_work_like_tables() -> None:
    batch = pa.record_batch({"x": [1, 2]})
    assert evaluate({"y": "x + 1"}, batch).to_pydict() == {"y": [2, 3]}


def test_constants_have_one_value_per_row() -> None:
    rows = pa.table({"tags": [["a"], []]})
    assert evaluate({"one": "1", "yes": "TRUE"}, rows).to_pydict() == {"one": [1, 1], "yes": [True, True]}
    assert evaluate({"one": "1"}, rows, where="FALSE").num_rows == 0


def test_empty_table_gives_an_empty_table_of_the_right_types() -> None:
    rows = pa.schema({"x": pa.float32(), "t": pa.timestamp("us", tz="UTC")}).empty_table()
    found = evaluate({"y": "x / 2", "day": "cast(t AS date)", "nothing": "NULL"}, rows, where="x > 1")
    assert found.schema == pa.schema({"y": pa.float64(), "day": pa.date32(), "nothing": pa.null()})
    assert found.num_rows == 0


def test_no_columns_give_no_columns() -> None:
    assert evaluate({}, pa.table({"x": [1]})).num_columns == 0


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        ([1, None], pa.int8(), pa.int64()),
        ([1, None], pa.uint32(), pa.int64()),
        ([1.5, None], pa.float32(), pa.float64()),
        (["b", None], pa.large_string(), pa.string()),
        (["b", None], pa.string_view(), pa.string()),
        (["b", None], pa.dictionary(pa.int32(), pa.string()), pa.string()),
        ([datetime(2013, 1, 1, 5), None], pa.timestamp("us"), pa.timestamp("us", tz="UTC")),
        ([datetime(2013, 1, 1, 5, tzinfo=UTC), None], pa.timestamp("ms", tz="UTC"), pa.timestamp("us", tz="UTC")),
        (
            [datetime(2013, 1, 1, 5, tzinfo=UTC), None],
            pa.timestamp("ns", tz="Asia/Tokyo"),
            pa.timestamp("us", tz="UTC"),
        ),
        ([datetime(1969, 12, 31, 5), None], pa.timestamp("s"), pa.timestamp("us", tz="UTC")),
    ],
)
def test_columns_of_any_width_come_out_in_one_type(
    values: list[object], type_: pa.DataType, expected: pa.DataType
) -> None:
    rows = pa.table({"x": pa.array(values, type_)})
    found = evaluate({"x": "x", "again": "coalesce(x, x)"}, rows)
    assert found.schema == pa.schema({"x": expected, "again": expected})
    wanted = [value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for value in values]
    assert found.column("x").to_pylist() == wanted
    assert found.column("again").to_pylist() == wanted


def test_categories_are_compared_as_text_and_not_by_their_codes() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["b", "a"]))
    assert evaluate({"less": "x < 'b'"}, pa.table({"x": column})).to_pydict() == {"less": [False, True]}


def test_flights_match_polars(flights: pa.Table) -> None:
    found = evaluate(
        {
            "late": "dep_delay > 15",
            "speed": "distance / air_time",
            "route": "lower(origin) || '-' || dest",
            "hour": "extract(hour FROM time_hour)",
            "gain": "round(arr_delay - dep_delay)",
        },
        flights,
        where="origin <> 'JFK' AND month BETWEEN 3 AND 5",
    )
    frame = pl.DataFrame(flights.select([*_USED]))
    expected = frame.filter((pl.col("origin") != "JFK") & pl.col("month").is_between(3, 5)).select(
        late=pl.col("dep_delay") > 15,
        speed=pl.when(pl.col("air_time") != 0).then(pl.col("distance") / pl.col("air_time")),
        route=pl.col("origin").str.to_lowercase() + "-" + pl.col("dest"),
        hour=pl.col("time_hour").dt.hour().cast(pl.Int64),
        gain=(pl.col("arr_delay") - pl.col("dep_delay")).cast(pl.Int64),
    )
    assert found.num_rows == expected.height
    for name in expected.columns:
        column = found.column(name)
        assert column.to_pylist() == expected[name].to_list(), name


_USED = ("dep_delay", "distance", "air_time", "origin", "dest", "time_hour", "arr_delay", "month")


def test_threads_do_not_disturb_each_other() -> None:
    def work(number: int) -> bool:
        rows = pa.table({"x": np.arange(number * 10, number * 10 + 5000)})
        found = evaluate({"y": f"x * {number}"}, rows, where="x % 2 = 0")
        even = rows.filter(pc.equal(pc.bit_wise_and(rows.column("x"), 1), 0)).column("x")
        return bool(found.column("y").to_pylist() == pc.multiply(even, number).to_pylist())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))


def test_plain_columns_are_handed_through_without_a_copy() -> None:
    rows = pa.table({"x": np.arange(1000)})
    found = evaluate({"y": "x"}, rows)
    assert found.column("y").chunk(0).buffers()[1].address == rows.column("x").chunk(0).buffers()[1].address


def test_a_call_opens_no_database_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would cost sixteen times what the rest does."""
    rows = pa.table({"x": [1, 2], "y": [0.25, 0.75]})
    evaluate({"a": "x + 1"}, rows)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a database was opened")

    monkeypatch.setattr("duckdb.connect", refused)
    assert evaluate({"a": "x + 1", "b": "y > 0.5"}, rows).to_pydict() == {"a": [2, 3], "b": [False, True]}


def test_errors_come_before_any_work() -> None:
    rows = pa.table({"x": [1]})
    with pytest.raises(ExpressionError, match="no column 'z'"):
        evaluate({"y": "z"}, rows)
    with pytest.raises(ExpressionError, match="not a condition"):
        evaluate({"y": "x"}, rows, where="x")
