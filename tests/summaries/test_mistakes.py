"""Mistakes with summaries: each is one clear error, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    Quantile,
    StdDev,
    Sum,
    TopK,
)
from mercury.errors import DefinitionError, ExpressionError, MercuryError, SchemaError, SpecMismatchError, UsageError
from mercury.summaries import SummarySpec, empty, merge, partial

ROWS = pa.table(
    {
        "k": ["a"],
        "x": [1],
        "f": [1.5],
        "b": [True],
        "t": pa.array([0], pa.timestamp("us", tz="UTC")),
        "list": [[1]],
        "wide": pa.array([1], pa.uint64()),
    }
)

MISTAKES: list[tuple[dict[str, Any], type[MercuryError], str]] = [
    ({"keys": ["kk"]}, ExpressionError, "no column 'kk'.*Did you mean 'k'"),
    ({"keys": {"key": "lower(x)"}}, ExpressionError, "lower"),
    ({"keys": ["list"]}, ExpressionError, "list"),
    ({"aggregates": {"n": Sum("xx")}}, ExpressionError, "no column 'xx'"),
    ({"aggregates": {"n": Count(where="xx > 1")}}, ExpressionError, "no column 'xx'"),
    ({"aggregates": {"n": Count(where="x + 1")}}, ExpressionError, "'x \\+ 1' is of type int64, not a condition"),
    ({"where": "x"}, ExpressionError, "'x' is of type int64, not a condition"),
    ({"where": "y > 1"}, ExpressionError, "no column 'y'"),
    ({"time": "x", "aggregates": {"n": First("x")}}, SchemaError, "time='x' is not a timestamp"),
    ({"time": "tt", "aggregates": {"n": First("x")}}, ExpressionError, "no column 'tt'"),
    ({"aggregates": {"n": Sum("wide")}}, ExpressionError, "wide"),
    ({"aggregates": {"n": CountDistinct("f")}}, SchemaError, "approximate CountDistinct 'n' is of a float"),
    *(
        ({"aggregates": {"n": aggregate}}, SchemaError, f"{aggregate.kind} 'n' is of string. Give a number")
        for aggregate in (Sum("k"), Mean("k"), StdDev("k"), Quantile("k"), Histogram("k", edges=[0]))
    ),
    *(
        ({"aggregates": {"n": aggregate}}, SchemaError, f"{aggregate.kind} 'n' is of timestamp")
        for aggregate in (Sum("t"), Mean("t"), StdDev("t"))
    ),
]


@pytest.mark.parametrize(("change", "kind", "message"), MISTAKES)
def test_a_spec_that_does_not_fit_the_rows(change: dict[str, Any], kind: type[MercuryError], message: str) -> None:
    spec = SummarySpec(**{"keys": ["k"], "aggregates": {"n": Count()}, **change})

    for act in (
        lambda: partial(spec, ROWS),
        lambda: partial(spec, ROWS, engine="duckdb"),
        lambda: partial(spec, ROWS.slice(0, 0)),
    ):
        with pytest.raises(kind, match=message):
            act()


def test_a_mistake_in_a_condition_is_shown_in_what_was_written() -> None:
    spec = SummarySpec([], {"n": Sum("x", where="x > 1 AND kk = 'a'")})

    with pytest.raises(ExpressionError) as failure:
        partial(spec, ROWS)

    excerpt = (failure.value.excerpt or "").splitlines()
    assert excerpt[0].strip() == "x > 1 AND kk = 'a'"
    assert excerpt[1].index("^") == excerpt[0].index("kk")


SPECS: list[tuple[Callable[[], object], str]] = [
    (lambda: SummarySpec([], {}), "a summary of nothing. Give a key or an aggregate"),
    (lambda: SummarySpec(["k"], {"n": "count"}), "'n' is 'count', not an aggregate. Write it as Count"),  # type: ignore[dict-item]
    (lambda: SummarySpec([], {"n": Last("x")}), "Last 'n' needs the time of rows. Give time='ts'"),
    (lambda: SummarySpec([], {"n": First("x")}), "First 'n' needs the time of rows"),
    (lambda: SummarySpec(["k"], {"k": Count()}), "'k' is the name of two columns"),
    (lambda: SummarySpec(["k"], {"k": TopK("x")}), "'k' is the name of two columns"),
    (lambda: SummarySpec(["k", "k"], {"n": Count()}), r"keys=\['k', 'k'\] names a column twice"),
    (lambda: SummarySpec([], {"m": Mean("x"), "m__n": Count()}), "'m__n' is the name of two columns"),
    (lambda: SummarySpec(["p__bin"], {"p": Quantile("x")}), "'p__bin' is the name of two columns"),
    (lambda: SummarySpec([], {"scalars": TopK("x")}), "an aggregate may not be called 'scalars'"),
    (lambda: SummarySpec("k", {"n": Count()}), "keys='k' is text"),
]


@pytest.mark.parametrize(("act", "message"), SPECS)
def test_a_spec_that_contradicts_itself(act: Callable[[], object], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        act()


def test_an_aggregate_called_scalars_without_a_sketch_is_fine() -> None:
    state = partial(SummarySpec(["k"], {"scalars": Count()}), ROWS)

    assert state.tables["scalars"].to_pylist() == [{"k": "a", "scalars": 1}]


def test_states_whose_columns_have_two_types_do_not_merge() -> None:
    spec = SummarySpec(["k"], {"s": Sum("x")})
    floats = partial(spec, pa.table({"k": ["a"], "x": [1.5]}))
    untyped = partial(spec, pa.table({"k": [None], "x": [1]}))

    for other, message in ((floats, "'s' of a summary is int64 here and double there"), (untyped, "'k' .* null there")):
        with pytest.raises(SchemaError, match=message + r"\. Cast it in the definition"):
            merge([partial(spec, ROWS), other])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda spec: merge([]), "there is nothing to merge"),
        (lambda spec: partial(spec, [{"x": 1}]), "the arrow engine cannot read list. Give an Arrow table"),
        (lambda spec: partial(spec, ROWS, engine="polars"), "'polars' is not an engine of summaries"),
        (
            lambda spec: partial(spec, ROWS, engine="spark"),
            "the spark engine cannot read Table. Give a Spark DataFrame",
        ),
    ],
)
def test_wrong_arguments(act: Callable[[SummarySpec], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        act(SummarySpec([], {"n": Count()}))


@pytest.mark.parametrize("aggregate", [Min("x"), Sum("x"), TopK("x"), CountDistinct("x"), Quantile("x")])
def test_a_column_of_no_type_holds_no_value(aggregate: Aggregate) -> None:
    rows = pa.table({"x": pa.nulls(2)})
    spec = SummarySpec([], {"n": aggregate, "rows": Count(), "max": Max("x")})

    for engine in ("arrow", "duckdb"):
        state = partial(spec, rows, engine=engine)
        assert state.tables["scalars"].select(["rows", "max"]).to_pylist() == [{"rows": 2, "max": None}]
        assert merge([state, empty(spec, rows.schema)]).equals(state)


def test_large_integers_are_rounded_where_floats_are_kept() -> None:
    rows = pa.table({"x": [2**53 + 1, -(2**63)]})
    spec = SummarySpec(
        [], {"sd": StdDev("x"), "p": Quantile("x", 1.0, accuracy=0.0001), "h": Histogram("x", edges=[0])}
    )

    for engine in ("arrow", "duckdb"):
        assert partial(spec, rows, engine=engine).tables["h"]["h__count"].to_pylist() == [1, 1]


def test_specs_of_two_definitions_say_which() -> None:
    one, other = SummarySpec([], {"n": Count()}), SummarySpec([], {"n": Count("x")})

    with pytest.raises(SpecMismatchError, match=f"{one.hash} and {other.hash} do not merge"):
        merge([partial(one, ROWS), partial(other, ROWS)])
