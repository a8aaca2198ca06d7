"""Tables of values on which engines are known to disagree, and the Spark side of a comparison."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mercury.expressions import Expression

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

INTS = [None, 0, 1, -1, 2, 3, -3, 7, -7, 10, 2**31, -(2**31), 2**53 + 1, 2**62, 2**63 - 1, -(2**63), -(2**63) + 1]

FLOATS = [
    *(None, math.nan, math.inf, -math.inf, 0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, -7.0, 2.675, -2.675),
    *(0.1, 1 / 3, 0.49999999999999994, 1e15 + 0.5, 4503599627370497.5, -4503599627370495.5, 2.0**53, 1e16, 9.3e18),
    *(-(2.0**63), 2.0**63, 1e308, -1e308, 5e-324, 1e-300),
]

TEXTS = [
    *(None, "", " ", "a", "A", "b", "a ", " a", "aB", "ab%", "a_b", "a\\b", "a\nb", "a!b", "$a", "${x}", "'", '"', "`"),
    *(
        "\t x \n",
        "é",
        "É",
        "ß",
        "ẞ",
        "ΑΣ",
        "ΑΣ.",
        "İi",
        "ŉ",
        "ﬁ",
        "ǆ",
        "日本語",
        "🤦🏼\u200d♂️",
        "e\u0301",
        "\u00a0x",
        "\U0010ffff",
        "\uffff",
    ),
    *("0", "1", "-1", "+5", " 12 ", "1.5", "1e3", "1_000", "0x10", "9223372036854775807", "9223372036854775808"),
    *("-9223372036854775808", "00012", "1e999", "1e-999", ".5", "5.", ".", "1d", "1f", "nan", "NaN", "-nan", "inf"),
    *("-Infinity", "12\n", "1 2", "true", "TRUE", "t", "f", "no", "Yes", "2013-01-31", "2013-02-30", "2013-1-1"),
    *("0000-01-01", "0001-01-01", "9999-12-31", "2013-01-31 12:30", "2013-01-31T12:30:59.123456Z", "20130131"),
    *("2013-01-31 12:30:59.1234567", "2013-01-31 12:30:00+05:30", "2013-01-31 24:00:00", "2013-01-31 23:59:60"),
    *("1969-12-31 23:59:59.5", "infinity", "epoch", "today", "2012-02-29", "2013-02-29 00:00:00"),
]

TIMES = [
    None,
    *(EPOCH + timedelta(microseconds=shift) for shift in (0, 1, -1, 999_999, -999_999, -1_000_000, 86_399_999_999)),
    *(datetime(y, m, d, h, 30, 59, 500_000, tzinfo=UTC) for y, m, d, h in (
        (1, 1, 1, 0), (1500, 2, 28, 23), (1582, 10, 10, 5), (1900, 2, 28, 0), (1960, 1, 3, 1), (1969, 12, 31, 23),
        (2000, 2, 29, 12), (2008, 12, 29, 0), (2010, 1, 3, 0), (2012, 12, 31, 23), (2013, 3, 31, 2), (2024, 12, 30, 0),
        (9999, 12, 31, 23),
    )),
]  # fmt: skip

DATES = [None, *(date.fromisoformat(text) for text in (
    "0001-01-01", "1500-02-28", "1582-10-10", "1969-12-31", "1970-01-01", "2000-02-29", "2012-12-30", "2013-01-06",
    "9999-12-31",
))]  # fmt: skip


def pairs(values: Sequence[Any], type_: pa.DataType) -> tuple[pa.Array, pa.Array]:
    """Two columns that hold every ordered pair of the values."""
    left, right = zip(*itertools.product(values, values), strict=True)
    return pa.array(left, type_), pa.array(right, type_)


def table() -> pa.Table:
    """Every pair of integers, floats, texts, times, dates and booleans, cycled to one length."""
    columns: dict[str, pa.Array] = {}
    for name, values, type_ in (
        ("i", INTS, pa.int64()),
        ("f", FLOATS, pa.float64()),
        ("t", TIMES, pa.timestamp("us", tz="UTC")),
        ("d", DATES, pa.date32()),
        ("b", [None, True, False], pa.bool_()),
    ):
        columns[name], columns[name + "2"] = pairs(values, type_)
    columns["s"] = pa.array(TEXTS)
    columns["s2"] = pa.array([*TEXTS[7:], *TEXTS[:7]])
    columns["small"] = pa.array([None, 0, 1, -1, 2**31 - 1, -(2**31)], pa.int32())
    columns["single"] = pa.array([None, 0.1, math.nan, math.inf, -0.0, 16777217.0], pa.float32())
    columns["k"] = pa.array([0, 1, 2, 3, -1, -2, -3, -9, 9, None, 2**40, -(2**40)], pa.int64())
    length = max(len(column) for column in columns.values())
    cycled = {
        name: column.take(pa.array([row % len(column) for row in range(length)])) for name, column in columns.items()
    }
    return pa.table(cycled)


def on_spark(
    spark: SparkSession, expressions: Mapping[str, str], rows: pa.Table, folder: Path
) -> dict[str, list[object]]:
    """The expressions' values on Spark, row by row; times as microseconds."""
    path = folder / "rows.parquet"
    pq.write_table(rows.append_column("row", pa.array(range(rows.num_rows))), path, store_schema=False)
    frame = spark.read.option("datetimeRebaseMode", "CORRECTED").parquet(str(path))
    answer: dict[str, list[object]] = {}
    names = list(expressions)
    for start in range(0, len(names), 40):
        part = names[start : start + 40]
        selected = []
        for place, name in enumerate(part):
            parsed = Expression.parse(expressions[name])
            sql = parsed.sql("spark", rows.schema)
            if pa.types.is_timestamp(parsed.check(rows.schema)):
                sql = f"unix_micros({sql})"
            selected.append(f"{sql} AS c{place}")
        collected = sorted(frame.selectExpr("row", *selected).collect(), key=lambda row: row[0])
        for place, name in enumerate(part):
            answer[name] = [row[place + 1] for row in collected]
    return answer


def plain(column: pa.ChunkedArray) -> list[object]:
    """Values of an Arrow column; times as microseconds."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return list(column.to_pylist())


def same(left: object, right: object, tolerance: float = 0.0) -> bool:
    """Equality of type and value, where NaN is NaN, floats may differ by a relative tolerance."""
    if isinstance(left, float) and isinstance(right, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right or (tolerance > 0 and math.isclose(left, right, rel_tol=tolerance, abs_tol=1e-320))
    return type(left) is type(right) and left == right
