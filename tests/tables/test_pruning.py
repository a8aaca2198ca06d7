"""Leaving files out never changes an answer, and does leave files out."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mercury.errors import ExpressionError
from mercury.expressions import evaluate
from mercury.tables import Table

SCHEMA = pa.schema(
    [
        ("i", pa.int64()),
        ("f", pa.float64()),
        ("g", pa.float32()),
        ("s", pa.string()),
        ("t", pa.timestamp("us", tz="UTC")),
        ("d", pa.date32()),
        ("b", pa.bool_()),
        ("row", pa.int64()),
    ]
)
LONG = "x" * 40
INTEGERS = [None, -(2**63), -1, 0, 7, 2**53 + 1, 2**53 + 3, 2**63 - 1]
FLOATS = [None, math.nan, math.inf, -math.inf, -0.0, 0.0, 0.1, 5.0, 1e300, 9007199254740996.0]
TEXTS = [None, "", "a", "B", "é", "\ue000", "\U0001f600", LONG, LONG + "a", LONG + "\U0010ffff"]
TIMES = [None, -1_000_001, -1, 0, 1, 999, 1_000, 1_001, 86_400_000_000]
DAYS = [None, -1, 0, 1, 15_706]

rows = st.lists(
    st.tuples(
        st.sampled_from(INTEGERS),
        st.sampled_from(FLOATS),
        st.sampled_from([None, math.nan, 0.1, -2.5, 3.0]),
        st.sampled_from(TEXTS),
        st.sampled_from(TIMES),
        st.sampled_from(DAYS),
        st.sampled_from([None, True, False]),
    ),
    max_size=4,
)


def sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


comparison = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
literals = {
    "i": st.sampled_from(["0", "7", "-1", "9007199254740993", "9007199254740996.0", "6.5", "9223372036854775807"]),
    "f": st.sampled_from(["0", "-0.0", "5", "5.0", "0.1", "1e300", "9007199254740993"]),
    "g": st.sampled_from(["0.1", "3", "-2.5"]),
    "s": st.sampled_from([sql_text(text) for text in TEXTS if text is not None]),
    "t": st.sampled_from(
        [
            "'1970-01-01'",
            "'1970-01-01 00:00:00.000001'",
            "timestamp '1970-01-01 00:00:00.001'",
            "'1969-12-31 23:59:59.999999'",
            "date '1970-01-02'",
        ]
    ),
    "d": st.sampled_from(["'1970-01-01'", "date '1970-01-02'", "'1970-01-01 12:00:00'", "timestamp '1970-01-01'"]),
}


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(sorted(literals)))
    literal, other, op = draw(literals[name]), draw(literals[name]), draw(comparison)
    return draw(
        st.sampled_from(
            [
                f"{name} {op} {literal}",
                f"{literal} {op} {name}",
                f"{name} BETWEEN {literal} AND {other}",
                f"{name} IN ({literal}, {other})",
                f"{name} IS NULL",
                f"{name} IS NOT NULL",
                "b",
                "isnan(f)",
            ]
        )
    )


conditions = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        inner.map(lambda p: f"NOT ({p})"),
        inner.map(lambda p: f"coalesce({p}, FALSE)"),
    ),
    max_leaves=4,
)


def as_table(values: list[tuple[object, ...]], first: int) -> pa.Table:
    columns = list(zip(*values, strict=True)) if values else [()] * 7
    arrays = [
        pa.array(columns[place], pa.int64()).cast(field.type)
        if pa.types.is_timestamp(field.type)
        else pa.array(columns[place], pa.int32()).cast(field.type)
        if pa.types.is_date(field.type)
        else pa.array(columns[place], field.type)
        for place, field in enumerate(list(SCHEMA)[:7])
    ]
    return pa.table([*arrays, pa.array(range(first, first + len(values)), pa.int64())], schema=SCHEMA)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(rows, min_size=1, max_size=4),
    wheres=st.lists(conditions, min_size=1, max_size=6),
    partition_by=st.sampled_from([(), ("i",), ("d", "b"), ("t",)]),
    added=st.booleans(),
)
def test_pruned_read_equals_the_filter_over_all_rows(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[list[tuple[object, ...]]],
    wheres: list[str],
    partition_by: tuple[str, ...],
    added: bool,
) -> None:
    folder = tmp_path_factory.mktemp("pruning") / "t"
    table = Table.create(folder, SCHEMA, partition_by=partition_by)
    parts = []
    for place, values in enumerate(files):
        part = as_table(values, 1000 * place)
        parts.append(part)
        if added and not partition_by:
            pq.write_table(part, folder / f"{place}.parquet", row_group_size=2)
            table.add_files([f"{place}.parquet"])
        else:
            table.append(part)
    everything = pa.concat_tables(parts)
    for where in wheres:
        expected = sorted(evaluate({"row": "row"}, everything, where=where).column("row").to_pylist())
        assert sorted(table.read(["row"], where=where).column("row").to_pylist()) == expected, where


@pytest.fixture
def days(tmp_path: Path) -> Table:
    """Ten files of a day each."""
    table = Table.create(tmp_path / "t", pa.schema([("n", pa.int64()), ("s", pa.string()), ("f", pa.float64())]))
    for n in range(10):
        table.append(pa.table({"n": [10 * n, 10 * n + 9], "s": [f"k{n}", None], "f": [float(n), n + 0.5]}))
    return table


@pytest.mark.parametrize(
    ("where", "files"),
    [
        ("n = 25", 1),
        ("n >= 70", 3),
        ("25 > n", 3),
        ("n BETWEEN 15 AND 34", 3),
        ("n IN (1, 99)", 2),
        ("n = 1 OR n = 55", 2),
        ("n >= 70 AND abs(n) > 0", 3),
        ("s = 'k4'", 1),
        ("f < 2", 2),
        ("f > 8", 10),  # a NaN would be greater, and is in no statistic
        ("n IS NULL", 0),
        ("s IS NULL", 10),
        ("n % 2 = 0", 10),
        ("NOT n = 3", 10),
    ],
)
def test_files_that_cannot_match_are_left_out(days: Table, where: str, files: int) -> None:
    assert len(days.files(where)) == files


def test_partition_values_prune_exactly(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", pa.schema([("v", pa.int64()), ("p", pa.string())]), partition_by=["p"])
    table.append(pa.table({"v": [1, 2, 3, 4], "p": ["a*[b]?", "ü 1=2/3", None, "a*[b]?"]}))

    assert len(table.files("p = 'ü 1=2/3'")) == 1
    assert len(table.files("p IS NULL")) == 1
    assert sorted(table.read(["v"], where="p = 'a*[b]?'")["v"].to_pylist()) == [1, 4]


def test_condition_on_an_unknown_column_is_refused(days: Table) -> None:
    with pytest.raises(ExpressionError, match="no column 'm'"):
        days.read(where="m = 1")


def test_nan_is_found_although_statistics_leave_it_out(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", pa.schema([("f", pa.float64())]))
    table.append(pa.table({"f": [1.0, math.nan, None]}))

    assert table.read(where="f > 5").num_rows == 1
    assert table.query("SELECT count(*) FILTER (isnan(f)) AS n, max(f) AS most FROM self").to_pylist()[0]["n"] == 1
