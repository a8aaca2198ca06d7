"""Rules on awkward values, against pandas, DuckDB and Python as oracles."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.errors import SchemaError
from mercury.quality.block import Block
from mercury.quality.metrics import RuleBreaks
from mercury.quality.results import Position
from mercury.quality.rules import Length, MultipleOf, OneOf, Pattern, Range, Rule

FLOATS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))
TEXTS = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=8))


def broken(rule: Rule, values: pa.Array) -> list[bool]:
    mask = RuleBreaks(rule).failing(Block(pa.table({rule.column: values}), Position(0, 0)))
    return [False] * len(values) if mask is None else mask.tolist()


@given(st.lists(FLOATS, max_size=30), st.floats(-10, 10), st.floats(-10, 10), st.booleans(), st.booleans())
def test_range_of_floats_agrees_with_python(
    values: list[float | None], low: float, high: float, open_low: bool, open_high: bool
) -> None:
    def bad(value: float | None) -> bool:
        if value is None:
            return False
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
        return not (above and below)

    rule = Range("x", low, high, open_low, open_high)
    assert broken(rule, pa.array(values, pa.float64())) == [bad(value) for value in values]


@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=30),
    st.one_of(st.integers(-(2**64), 2**64), st.floats(-1e18, 1e18)),
)
def test_range_of_integers_is_exact_at_any_size(values: list[int | None], bound: float) -> None:
    assert broken(Range("x", low=bound), pa.array(values, pa.int64())) == [v is not None and v < bound for v in values]
    assert broken(Range("x", high=bound, open_high=True), pa.array(values, pa.int64())) == [
        v is not None and v >= bound for v in values
    ]


@settings(max_examples=40)
@given(st.lists(TEXTS, max_size=30), st.lists(st.text(max_size=4), min_size=1, max_size=5), st.booleans())
def test_sets_agree_with_pandas_for_plain_and_dictionary_text(
    values: list[str | None], known: list[str], encoded: bool
) -> None:
    array = pa.array(values, pa.string())
    column = array.dictionary_encode() if encoded else array
    series = pd.Series(values, dtype=object)
    expected = (~series.isin(known) & series.notna()).tolist()
    assert broken(OneOf("x", tuple(known)), column) == expected


@settings(max_examples=40)
@given(st.lists(TEXTS, max_size=30), st.integers(0, 5), st.integers(0, 8))
def test_length_counts_code_points(values: list[str | None], low: int, high: int) -> None:
    expected = [value is not None and not low <= len(value) <= high for value in values]
    assert broken(Length("x", low, high), pa.array(values, pa.string()).dictionary_encode()) == expected


@pytest.mark.parametrize("pattern", ["^[A-Z]{3}$", "a", "é+", r"\d", "^$", "(?i)ewr"])
def test_pattern_is_searched_as_by_python(pattern: str) -> None:
    values = ["EWR", "ewr", "EWR1", "", None, "é", "naïve café", "7", "日本", "a\nEWR"]
    expected = [value is not None and re.search(pattern, value, re.ASCII) is None for value in values]
    assert broken(Pattern("x", pattern), pa.array(values)) == expected
    assert broken(Pattern("x", pattern), pa.array(values).dictionary_encode()) == expected


def test_pattern_agrees_with_duckdb_on_the_tail_numbers(flights: pa.Table) -> None:
    pattern = "^N[0-9]{3}[0-9A-Z]{2}$"
    connection = duckdb.connect()
    connection.register("flights", flights.select(["tailnum"]))
    query = "SELECT count(*) FROM flights WHERE NOT regexp_matches(tailnum, $p)"
    expected = connection.execute(query, {"p": pattern}).fetchall()[0][0]
    assert sum(broken(Pattern("tailnum", pattern), flights["tailnum"])) == expected > 0


@pytest.mark.parametrize(
    ("values", "step", "expected"),
    [
        (pa.array([0, 5, 7, -10, None]), 5, [False, False, True, False, False]),
        (pa.array([0.1, 0.3, 0.35, math.nan, math.inf, None]), 0.1, [False, False, True, True, True, False]),
        (pa.array([2, 3], pa.uint8()), 2, [False, True]),
        (pa.array([1, 2]), 0.5, [False, False]),
    ],
)
def test_multiple_of(values: pa.Array, step: float, expected: list[bool]) -> None:
    assert broken(MultipleOf("x", step), values) == expected


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_bounds_on_times_mean_the_same_instant_in_every_unit(unit: str, zone: str | None) -> None:
    moments = [datetime(2013, 1, 1), datetime(2012, 12, 31, 23, 59, 59), None, datetime(1960, 1, 1)]
    values = pa.array(moments, pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
    assert broken(Range("x", low="2013-01-01"), values) == [False, True, False, True]
    assert broken(Range("x", low="2013-01-01T00:00:00Z", open_low=True), values) == [True, True, False, True]


def test_a_bound_between_two_units_stays_exact() -> None:
    seconds = pa.array([datetime(2013, 1, 1, 0, 0, 0), datetime(2013, 1, 1, 0, 0, 1)], pa.timestamp("s"))
    assert broken(Range("x", low="2013-01-01T00:00:00.5Z"), seconds) == [True, False]
    assert broken(Range("x", high="2013-01-01T00:00:00.5Z", open_high=True), seconds) == [False, True]
    days = pa.array([date(2013, 1, 1), date(2013, 1, 2)])
    assert broken(Range("x", low="2013-01-01T12:00:00Z"), days) == [True, False]


def test_decimals_and_booleans_and_all_null_columns() -> None:
    prices = pa.array([Decimal("1.10"), Decimal("1.11"), None], pa.decimal128(10, 2))
    assert broken(Range("x", high=1.1), prices) == [False, True, False]
    assert broken(OneOf("x", (True,)), pa.array([True, False, None])) == [False, True, False]
    assert broken(Range("x", 0, 1), pa.array([None, None], pa.int64())) == [False, False]


def test_a_dictionary_value_that_no_row_uses_breaks_nothing() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, None, 0]), pa.array(["good", "unused"]))
    assert broken(OneOf("x", ("good",)), column) == [False, False, False]


def test_a_null_inside_the_dictionary_is_a_null() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1]), pa.array(["good", None]))
    block = Block(pa.table({"x": column}), Position(0, 0))
    assert block.column("x").nulls == 2
    assert broken(OneOf("x", ("good",)), column) == [False, False, False]


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (Range("x", 0), pa.array(["a"])),
        (Range("x", "2013-01-01"), pa.array([1])),
        (Pattern("x", "a"), pa.array([1])),
        (Length("x", 1), pa.array([1.0])),
        (OneOf("x", ("a",)), pa.array([1])),
    ],
)
def test_a_rule_that_does_not_fit_the_type_is_a_schema_error(rule: Rule, values: Any) -> None:
    with pytest.raises(SchemaError):
        broken(rule, values)


def test_nan_and_zero_signs() -> None:
    values = pa.array(np.array([0.0, -0.0, np.nan, np.inf]))
    assert broken(Range("x", 0, 10), values) == [False, False, True, True]
    assert broken(Range("x", low=0, open_low=True), values) == [True, True, True, False]
    assert broken(OneOf("x", (0.0,)), values) == [False, False, True, True]
