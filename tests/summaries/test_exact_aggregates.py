"""Exact aggregates against implementations of others: numpy, pandas, polars and DuckDB's own SQL."""

from __future__ import annotations

from collections import Counter
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mercury.definitions import (
    Aggregate,
    Count,
    CountDistinct,
    First,
    Histogram,
    Last,
    Max,
    Mean,
    Min,
    StdDev,
    Sum,
    TopK,
    Variance,
)
from mercury.summaries import Summary, SummarySpec, finish, merge, partial
from tests.summaries.awkward import random_rows

ROWS = random_rows(5_000, seed=11)


def pieces(spec: SummarySpec, rows: pa.Table) -> Summary:
    """The state by way of seven parts, since that is how states come about."""
    size = rows.num_rows // 7 + 1
    return merge([partial(spec, rows.slice(start, size)) for start in range(0, rows.num_rows, size)])


def answers(aggregate: Aggregate, rows: pa.Table, key: str = "g") -> dict[Any, Any]:
    """Group to answer."""
    table = finish(pieces(SummarySpec([key], {"answer": aggregate}, time="t"), rows))
    return dict(zip(table[key].to_pylist(), table["answer"].to_pylist(), strict=True))


def by_pandas(column: str, function: str, **options: Any) -> dict[Any, Any]:
    """Group to pandas' answer; NaN and None are left out of the values, null is a group."""
    frame = pd.DataFrame({"g": ROWS["g"].to_pylist(), "x": ROWS[column].to_pylist()})
    found = getattr(frame.groupby("g", dropna=False)["x"], function)(**options)
    return {None if pd.isna(key) else key: value for key, value in found.items()}


def by_polars(column: str, function: str) -> dict[Any, Any]:
    """Group to polars' answer; NaN is left out of the values, and there is one zero."""
    value = pl.col(column).fill_nan(None) + 0.0 if column == "f" else pl.col(column)
    frame = pl.DataFrame(pl.from_arrow(ROWS)).group_by("g")
    return dict(frame.agg(getattr(value.drop_nulls(), function)().alias("x")).iter_rows())


@pytest.mark.parametrize(
    ("aggregate", "function", "options"), [(Sum("i"), "sum", {"min_count": 1}), (Mean("i"), "mean", {})]
)
def test_sums_and_means_of_integers_are_those_of_pandas(
    aggregate: Aggregate, function: str, options: dict[str, Any]
) -> None:
    assert answers(aggregate, ROWS) == pytest.approx(by_pandas("i", function, **options), rel=1e-15)


def test_sums_of_floats_are_as_good_as_exact_ones() -> None:
    rng = np.random.default_rng(5)
    rows = pa.table({"g": rng.integers(0, 9, 90_000), "f": rng.lognormal(0, 9, 90_000) * rng.choice([-1, 1], 90_000)})
    table = finish(partial(SummarySpec(["g"], {"sum": Sum("f"), "size": Sum("abs(f)")}), rows))

    values, groups = rows["f"].to_numpy(), rows["g"].to_numpy()
    for key, total, size in zip(*(table[name].to_pylist() for name in ("g", "sum", "size")), strict=True):
        exact = float(sum(map(_fraction, values[groups == key])))
        assert abs(total - exact) <= 1e-15 * size


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_variance_and_deviation_are_those_of_numpy(ddof: int, offset: float) -> None:
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(40), np.arange(40))
    values = rng.normal(offset, 3.0, len(groups))
    rows = pa.table({"g": groups, "f": values, "t": pa.array(np.arange(len(groups)), pa.timestamp("us"))})

    variance, deviation = answers(Variance("f", ddof=ddof), rows), answers(StdDev("f", ddof=ddof), rows)

    for size in range(1, 40):
        own = values[groups == size]
        if size <= ddof:
            assert variance[size] is None and deviation[size] is None
        else:
            assert variance[size] == pytest.approx(np.var(own, ddof=ddof), rel=1e-9, abs=1e-12)
            assert deviation[size] == pytest.approx(np.std(own, ddof=ddof), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("column", ["s", "f", "big", "d", "t", "b"])
@pytest.mark.parametrize("function", ["min", "max"])
def test_extremes_are_those_of_polars(column: str, function: str) -> None:
    assert answers({"min": Min, "max": Max}[function](column), ROWS) == by_polars(column, function)


@pytest.mark.parametrize("column", ["s", "f", "big", "d", "t"])
def test_first_and_last_are_the_extremes_of_time_and_then_of_value(column: str) -> None:
    # Many times are equal, so that ties are decided.
    rows = ROWS.set_column(7, "t", pa.array([None if at is None else at.replace(hour=0) for at in _days()], _UTC))
    first, last = answers(First(column), rows), answers(Last(column), rows)

    seen: dict[Any, list[tuple[Any, Any]]] = {}
    for key, at, value in zip(*(rows[name].to_pylist() for name in ("g", "t", column)), strict=True):
        if at is not None and value is not None and value == value:
            seen.setdefault(key, []).append((at, value))
    assert first == {key: min(pairs)[1] for key, pairs in seen.items()}
    assert last == {key: max(pairs)[1] for key, pairs in seen.items()}


@pytest.mark.parametrize("column", ["s", "f", "big", "d", "t", "b"])
def test_counts_are_those_of_polars(column: str) -> None:
    assert answers(CountDistinct(column, exact=True), ROWS) == by_polars(column, "n_unique")
    if column != "f":
        assert answers(Count(column), ROWS) == by_polars(column, "count")


def test_a_count_counts_nan_and_leaves_out_null() -> None:
    rows = pa.table({"f": [1.0, float("nan"), None]})
    spec = SummarySpec(
        [], {"rows": Count(), "f": Count("f"), "over": Count(where="f > 0"), "kinds": CountDistinct("f", exact=True)}
    )

    # NaN is greater than every number, as in SQL.
    assert finish(partial(spec, rows)).to_pylist() == [{"rows": 3, "f": 2, "over": 2, "kinds": 1}]


def test_conditions_and_filters_are_those_of_sql(flights: pa.Table) -> None:
    spec = SummarySpec(
        {"carrier": "carrier", "winter": "month IN (12, 1, 2)"},
        {
            "late": Count(where="dep_delay > 15"),
            "late_share": Mean("dep_delay > 15"),
            "far_miles": Sum("distance", where="dest <> 'LAX'"),
            "planes": CountDistinct("tailnum", exact=True),
        },
        where="origin = 'JFK' AND NOT dep_delay IS NULL",
    )
    expected = duckdb.sql(
        """SELECT carrier, month IN (12, 1, 2), count(*) FILTER (dep_delay > 15), avg(if(dep_delay > 15, 1, 0)),
        sum(distance) FILTER (dest <> 'LAX')::BIGINT, count(DISTINCT tailnum) FROM flights
        WHERE origin = 'JFK' AND dep_delay IS NOT NULL GROUP BY ALL ORDER BY ALL"""
    ).fetchall()

    assert [tuple(row.values()) for row in finish(pieces(spec, flights)).to_pylist()] == expected


def test_top_k_is_the_counters_with_ties_to_the_lesser_value() -> None:
    for k in (1, 3, 1000):
        for column in ("s", "f", "i"):
            found = answers(TopK(column, k), ROWS)
            for key in set(ROWS["g"].to_pylist()):
                pairs = zip(ROWS["g"].to_pylist(), ROWS[column].to_pylist(), strict=True)
                counter = Counter(
                    value + 0.0 if column == "f" else value
                    for own, value in pairs
                    if own == key and value is not None and value == value
                )
                ranked = sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
                assert [tuple(pair.values()) for pair in found[key]] == ranked


@pytest.mark.parametrize("edges", [[0.0], [-1e-7, 0.0, 0.1, 1e3], [float(edge) for edge in range(-50, 50)]])
def test_a_histogram_is_that_of_numpy_with_open_ends(edges: list[float]) -> None:
    found = answers(Histogram("f", edges=edges), ROWS)

    for key in set(ROWS["g"].to_pylist()):
        pairs = zip(ROWS["g"].to_pylist(), ROWS["f"].to_pylist(), strict=True)
        values = [value for own, value in pairs if own == key and value is not None and value == value]
        # numpy closes the last bin; here that is at infinity, and all others are [edge, next edge).
        assert found[key] == np.histogram(values, [-np.inf, *edges, np.inf])[0].tolist()


def test_a_value_on_an_edge_falls_above_it() -> None:
    rows = pa.table({"f": [-1.0, 0.0, -0.0, 0.1, 15.0, 16.0, float("inf"), float("-inf"), float("nan"), None]})
    spec = SummarySpec([], {"bars": Histogram("f", edges=[0, 0.1, 15])})

    for engine in ("arrow", "duckdb"):
        assert finish(partial(spec, rows, engine=engine))["bars"].to_pylist() == [[2, 2, 1, 3]]


def test_answers_without_a_row_are_those_of_sql() -> None:
    nothing = ROWS.slice(0, 0)
    spec = SummarySpec(
        [],
        {"n": Count(), "sum": Sum("i"), "mean": Mean("f"), "std": StdDev("f"), "min": Min("s"), "last": Last("s")}
        | {
            "kinds": CountDistinct("s"),
            "exact": CountDistinct("s", exact=True),
            "top": TopK("s"),
            "bars": Histogram("f", edges=[0]),
        },
        time="t",
    )
    sql = (
        "SELECT count(*), sum(i), avg(f), stddev(f), min(s), max(s), count(DISTINCT s), count(DISTINCT s) FROM nothing"
    )
    (expected,) = duckdb.sql(sql).fetchall()

    for engine in ("arrow", "duckdb"):
        (row,) = finish(partial(spec, nothing, engine=engine)).to_pylist()
        assert tuple(row.values()) == (*expected, [], [0, 0])
        assert finish(partial(SummarySpec(["g"], {"n": Count()}), nothing, engine=engine)).to_pylist() == []


def test_keys_come_sorted_with_nan_and_null_last() -> None:
    rows = pa.table({"f": [None, float("nan"), 2.0, -0.0, 0.0, float("-inf"), float("nan")]})

    table = finish(partial(SummarySpec(["f"], {"n": Count()}), rows))

    assert repr(table.to_pydict()) == "{'f': [-inf, 0.0, 2.0, nan, None], 'n': [1, 2, 1, 2, 1]}"


_UTC = pa.timestamp("us", tz="UTC")


def _days() -> list[Any]:
    return [at and at.replace(minute=0, second=0, microsecond=0) for at in ROWS["t"].to_pylist()]


def _fraction(value: float) -> Any:
    from fractions import Fraction

    return Fraction(value)
