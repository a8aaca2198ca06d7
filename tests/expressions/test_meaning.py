"""What expressions mean: values by hand and by the standard library, in process."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercury.expressions import evaluate
from tests.expressions.awkward import same

INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
FLOATS = st.floats()
TIMES = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC))
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


def one(expression: str, **values: object) -> object:
    """The value of an expression over one row."""
    types = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_(), date: pa.date32()}
    types[datetime] = pa.timestamp("us", tz="UTC")
    columns = {name: pa.array([value], types[type(value)]) for name, value in values.items()}
    return evaluate({"x": expression}, pa.table(columns or {"unused": pa.array([1])})).column("x")[0].as_py()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 / 0", None),
        ("1.0 / 0.0", None),
        ("0 / 0", None),
        ("7 / 2", 3.5),
        ("6 / 2", 3.0),
        ("7 // 2", 3),
        ("-7 // 2", -3),
        ("1 // 0", None),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ("5 % 0", None),
        ("-9223372036854775808 % -1", 0),
        ("-9223372036854775808 // -1", None),
        ("9223372036854775807 + 1", None),
        ("-(-9223372036854775808)", None),
        ("abs(-9223372036854775808)", None),
        ("4611686018427387904 * 2", None),
        ("0.1 + 0.2", 0.1 + 0.2),
        ("round(2.5)", 3.0),
        ("round(-2.5)", -3.0),
        ("round(0.49999999999999994)", 0.0),
        ("round(2.345, 1)", 2.3),
        ("floor(-0.5)", -1.0),
        ("ceil(1e300)", 1e300),
        ("trunc(-1.9)", -1.0),
        ("floor(7)", 7),
        ("sqrt(-1)", None),
        ("ln(0)", None),
        ("ln(-1)", None),
        ("log10(1000)", 3.0),
        ("power(0, -1)", None),
        ("power(-8, 0.5)", None),
        ("2 ** 10", 1024.0),
        ("exp(1000)", math.inf),
        ("sign(-3.5)", -1),
        ("NULL + 1", None),
        ("NULL = NULL", None),
        ("NULL IS NOT DISTINCT FROM NULL", True),
        ("NULL AND FALSE", False),
        ("NULL OR TRUE", True),
        ("NULL AND TRUE", None),
        ("NOT NULL", None),
        ("1 IN (2, NULL)", None),
        ("1 IN (1, NULL)", True),
        ("1 NOT IN (2, NULL)", None),
        ("cast('nan' AS double) = cast('nan' AS double)", True),
        ("cast('nan' AS double) > cast('inf' AS double)", True),
        ("greatest(1, NULL, cast('nan' AS double))", math.nan),
        ("least(1, NULL, cast('nan' AS double))", 1.0),
        ("coalesce(NULL, 2.5, 1)", 2.5),
        ("nullif(1, 1)", None),
        ("CASE WHEN NULL THEN 1 END", None),
        ("if(1 > 2, 'a', 'b')", "b"),
        ("cast(1.9 AS bigint)", 1),
        ("cast(-1.9 AS bigint)", -1),
        ("cast(1e30 AS bigint)", None),
        ("cast(' 12 ' AS bigint)", 12),
        ("cast('1.5' AS bigint)", None),
        ("cast('12a' AS double)", None),
        ("cast('1e3' AS double)", 1000.0),
        ("cast('yes' AS bool)", True),
        ("cast('maybe' AS bool)", None),
        ("cast(TRUE AS int) + 1", 2),
        ("cast(12 AS text) || 'x'", "12x"),
        ("'a' < 'B'", False),
        ("'Z' < 'a'", True),
        ("'a ' = 'a'", False),
        ("'é' < 'z'", False),
        ("length('🤦🏼')", 2),
        ("upper('straße')", "STRAẞE"),
        ("lower('ΑΣ')", "ασ"),
        ("substr('abc', 2)", "bc"),
        ("substr('abc', 0, 2)", "a"),
        ("substr('abc', -2, 1)", "b"),
        ("substr('abc', 1, -1)", ""),
        ("concat('a', NULL)", None),
        ("'a' || 'b' || 'c'", "abc"),
        ("trim('  a\t ')", "a\t"),
        ("replace('aXbX', 'X', '-')", "a-b-"),
        ("'a%b' LIKE 'a!%b' ESCAPE '!'", True),
        ("'axb' LIKE 'a!%b' ESCAPE '!'", False),
        ("'a\\b' LIKE 'a\\b'", True),
        ("'a\nb' LIKE 'a_b'", True),
        ("DATE '2013-01-01' < TIMESTAMP '2013-01-01 00:00:01'", True),
        ("epoch(TIMESTAMP '1970-01-01 00:00:01.5') - epoch(TIMESTAMP '1969-12-31 23:00:00')", 3601.5),
        ("epoch(TIMESTAMP '2013-01-01T00:00:00+05:30')", 1356978600.0),
        ("extract(dow FROM DATE '2013-01-06')", 0),
        ("extract(isodow FROM DATE '2013-01-06')", 7),
        ("extract(week FROM DATE '2012-12-31')", 1),
        ("extract(second FROM TIMESTAMP '1969-12-31 23:59:59.9')", 59),
        ("cast(TIMESTAMP '1969-12-31 23:59:59.9' AS date)", date(1969, 12, 31)),
    ],
)
def test_value(expression: str, value: object) -> None:
    assert same(one(expression), value)


@given(INT64, INT64)
def test_integers_are_exact_or_null(a: int, b: int) -> None:
    def fits(value: int) -> int | None:
        return value if -(2**63) <= value < 2**63 else None

    columns = {"sum": "a + b", "difference": "a - b", "product": "a * b", "whole": "a // b", "rest": "a % b"}
    found = evaluate(columns, pa.table({"a": pa.array([a]), "b": pa.array([b])})).to_pylist()[0]
    whole = None if b == 0 else int(Fraction(a, b))
    assert found == {
        "sum": fits(a + b),
        "difference": fits(a - b),
        "product": fits(a * b),
        "whole": None if whole is None else fits(whole),
        "rest": None if whole is None else a - b * whole,
    }


@given(FLOATS)
def test_float_literals_keep_every_bit(value: float) -> None:
    if math.isfinite(value):
        assert same(one(repr(value)), value)


@given(FLOATS)
def test_rounding_functions_match_exact_arithmetic(value: float) -> None:
    found = evaluate({n: f"{n}(x)" for n in ("floor", "ceil", "trunc", "round")}, pa.table({"x": [value]})).to_pylist()
    if not math.isfinite(value):
        expected = dict.fromkeys(("floor", "ceil", "trunc", "round"), value)
    else:
        away = math.floor(abs(Fraction(value)) + Fraction(1, 2))
        expected = {
            "floor": float(math.floor(value)),
            "ceil": float(math.ceil(value)),
            "trunc": float(math.trunc(value)),
            "round": float(away if value > 0 else -away),
        }
    assert all(same(found[0][name], expected[name]) for name in expected), (found, expected)


@given(TEXT, TEXT)
def test_text_is_compared_by_code_point_and_literals_keep_every_character(a: str, b: str) -> None:
    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    row = pa.table({"a": [a], "b": [b]})
    columns = {"less": "a < b", "equal": f"a = {quoted(a)}", "joined": f"a || {quoted(b)}", "length": "length(a)"}
    assert evaluate(columns, row).to_pylist() == [{"less": a < b, "equal": True, "joined": a + b, "length": len(a)}]


@given(TIMES)
def test_calendar_matches_the_standard_library(moment: datetime) -> None:
    parts = ("year", "month", "day", "dow", "isodow", "doy", "week", "hour", "minute", "second")
    columns = {part: f"extract({part} FROM t)" for part in parts}
    columns |= {f"to_{unit}": f"date_trunc('{unit}', t)" for unit in ("hour", "day", "week", "month", "year")}
    columns |= {"us": "epoch_us(t)"}
    found = evaluate(columns, pa.table({"t": pa.array([moment], pa.timestamp("us", tz="UTC"))})).to_pylist()[0]
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    assert found == {
        "year": moment.year,
        "month": moment.month,
        "day": moment.day,
        "dow": moment.isoweekday() % 7,
        "isodow": moment.isoweekday(),
        "doy": moment.timetuple().tm_yday,
        "week": moment.isocalendar().week,
        "hour": moment.hour,
        "minute": moment.minute,
        "second": moment.second,
        "to_hour": day.replace(hour=moment.hour),
        "to_day": day,
        "to_week": day - timedelta(days=day.weekday()) if day.toordinal() > 7 else found["to_week"],
        "to_month": day.replace(day=1),
        "to_year": day.replace(day=1, month=1),
        "us": (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1),
    }
