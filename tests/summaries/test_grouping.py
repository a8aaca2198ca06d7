"""Numbers of groups and their order: the fast way is the naive one."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.summaries.engines import kernels
from mercury.summaries.engines.grouping import as_numbers, group_rows, plain, row_order

COLUMNS = {
    "text": (pa.string(), ["", "a", "b", "é", "\uffff", "\U0001f680"]),
    "integers": (pa.int64(), [0, -1, 7, 2**63 - 1, -(2**63), 2**62]),
    "floats": (pa.float64(), [0.0, -0.0, 1.5, -math.inf, math.inf, math.nan, -math.nan, 5e-324]),
    "times": (pa.timestamp("us", tz="UTC"), [0, -1, 10**15]),
    "days": (pa.date32(), [datetime.date(1969, 12, 31), datetime.date(2013, 1, 1)]),
    "booleans": (pa.bool_(), [True, False]),
    "nothing": (pa.null(), [None]),
}


@st.composite
def columns(draw: st.DrawFn) -> list[pa.Array]:
    rows = draw(st.integers(0, 40))
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4))
    nulls = draw(st.booleans())
    out = []
    for kind in kinds:
        type_, values = COLUMNS[kind]
        value = st.sampled_from([None, *values] if nulls else values)
        out.append(pa.array(draw(st.lists(value, min_size=rows, max_size=rows)), type_))
    return out


def seen(value: Any) -> Any:
    """A value as groups tell it apart."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value


@settings(max_examples=200, deadline=None)
@given(columns())
def test_rows_get_the_number_of_their_first_equal(keys: list[pa.Array]) -> None:
    rows = [tuple(map(seen, row)) for row in zip(*(key.to_pylist() for key in keys), strict=True)]

    groups = group_rows(keys, len(rows))

    numbers: dict[Any, int] = {}
    assert groups.number.tolist() == [numbers.setdefault(row, len(numbers)) for row in rows]
    assert groups.first.tolist() == [rows.index(row) for row in numbers]
    assert groups.count == len(numbers)


@settings(max_examples=200, deadline=None)
@given(columns())
def test_rows_are_ordered_with_nan_and_null_last(keys: list[pa.Array]) -> None:
    rows = [tuple(map(seen, row)) for row in zip(*(key.to_pylist() for key in keys), strict=True)]
    distinct = [rows.index(row) for row in dict.fromkeys(rows)]
    keys = [key.take(pa.array(distinct, pa.int64())) for key in keys]
    rows = [rows[place] for place in distinct]

    def rank(value: Any) -> tuple[int, Any]:
        return (2, 0) if value is None else (1, 0) if value == "NaN" else (0, value)

    expected = sorted(range(len(rows)), key=lambda place: tuple(map(rank, rows[place])))
    assert row_order(keys).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 9)), max_size=60))
def test_hashed_numbers_are_dense_numbers(values: list[int]) -> None:
    codes = np.array(values, np.int64)
    distinct, small = np.unique(codes, return_inverse=True)

    hashed, dense = kernels.number_hashed(codes), kernels.number_dense(small, len(distinct))

    assert [part.tolist() for part in hashed] == [part.tolist() for part in dense]


def test_many_distinct_values_far_apart_are_told_apart() -> None:
    values = np.arange(300_000, dtype=np.int64) * (2**40 + 2**20)

    groups = group_rows([pa.array(np.r_[values, values[::-1]])], 600_000)

    assert groups.count == 300_000
    assert (groups.number == np.r_[np.arange(300_000), np.arange(300_000)[::-1]]).all()


@pytest.mark.parametrize("kind", sorted(set(COLUMNS) - {"nothing"}))
def test_numbers_order_as_values_do(kind: str) -> None:
    type_, values = COLUMNS[kind]
    array = plain(pa.array([value for value in values if value == value], type_))

    numbers = as_numbers(array)

    held = array.to_pylist()
    for one in range(len(held)):
        for other in range(len(held)):
            assert (numbers[one] < numbers[other]) == (held[one] < held[other])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-1e15, 1e15)), max_size=50))
def test_compensated_sums_are_correctly_rounded_but_for_an_ulp(pairs: list[tuple[int, float]]) -> None:
    group = np.array([number for number, _ in pairs], np.int64)
    values = np.array([value for _, value in pairs], np.float64)

    sums = kernels.sum_floats(group, values, 4)

    for number in range(4):
        own = [value for other, value in pairs if other == number]
        exact = math.fsum(own)
        assert abs(sums[number] - exact) <= math.ulp(exact) + 1e-28 * sum(map(abs, own))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=6), max_size=6))
def test_merged_moments_are_those_of_all_values(parts: list[list[float]]) -> None:
    def moments(values: list[float]) -> tuple[int, float, float]:
        mean = float(np.mean(values)) if values else 0.0
        return len(values), mean, float(np.sum((np.array(values) - mean) ** 2))

    n, mean, m2 = (np.array(column) for column in zip(*map(moments, [*parts, []]), strict=True))
    count, average, squares = kernels.merge_moments(np.zeros(len(n), np.int64), n, mean, m2, 1)

    together = moments([value for part in parts for value in part])
    scale = sum(value * value for part in parts for value in part)
    assert count[0] == together[0]
    assert average[0] == pytest.approx(together[1], rel=1e-12, abs=1e-12 * math.sqrt(scale))
    assert squares[0] == pytest.approx(together[2], rel=1e-9, abs=1e-12 * scale)
