"""Spellings of one condition have one form, and whatever has one form means the same on every row."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.expressions import Expression, evaluate
from mercury.privacy.canonical import canonical, conjuncts

ROWS = pa.table(
    {
        "x": pa.array([None, 0.0, 1.0, math.nan, math.inf, -2.0] * 6, pa.float64()),
        "y": pa.array([number for number in (None, 0.0, 1.0, math.nan, -1.0, 3.0) for _ in range(6)], pa.float64()),
        "s": pa.array(["a", "b", None] * 12, pa.string()),
    }
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "1=x"),
        ("x > 1", "(1 < (x))"),
        ("x >= y and s = 'a'", "'a' = s AND y <= x"),
        ("x = 1 OR y = 2 OR s = 'a'", "s = 'a' OR (y = 2 OR x = 1)"),
        ("x = 1 AND x = 1", "x = 1"),
        ("NOT x = 1", "x <> 1"),
        ("NOT (NOT s = 'a')", "s = 'a'"),
        ("NOT x < y", "x >= y"),
        ("x IN (1, 2)", "x in (2, 1, 2)"),
        ("x IN (1)", "x = 1"),
        ("x NOT IN (1)", "x <> 1"),
        ("x + y > 1", "1 < y + x"),
        ("x IS NOT NULL", "NOT x IS NULL"),
        ("x > 1 -- comment", "x > 1"),
    ],
)
def test_spellings_of_one_condition(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.5"),
        ("x - y > 0", "y - x > 0"),
        ("x > 1", "x >= 1"),
        ("s = 'a'", "s = 'A'"),
        ("s = 's'", "s = s"),
        ("x = 1 AND y = 1", "x = 1 OR y = 1"),
        ("x = 1 OR (y = 1 AND s = 'a')", "(x = 1 OR y = 1) AND s = 'a'"),
        ("s LIKE 'a%'", "s LIKE 'a!%' ESCAPE '!'"),
        ("cast(x AS bigint) = 1", "cast(x AS double) = 1"),
        ("x BETWEEN 0 AND 1", "x BETWEEN 1 AND 0"),
    ],
)
def test_conditions_that_differ(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


def test_what_must_hold_for_all_to_hold() -> None:
    assert canonical("x IS NOT NULL") in conjuncts("s = 'a' AND (y > 1 AND NOT (x IS NULL))")
    assert canonical("x IS NOT NULL") not in conjuncts("s = 'a' OR x IS NOT NULL")
    assert conjuncts("x = 1") == {canonical("1 = x")}


def test_a_long_chain_is_no_deep_one() -> None:
    text = " AND ".join(f"x > {number}" for number in range(200))

    assert canonical(text) == canonical(" AND ".join(reversed(text.split(" AND "))))


values = st.sampled_from(["x", "y", "0", "1.0", "(x + y)", "(y * 2.0)"])
tests = st.builds(
    "{} {} {}".format, values, st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"]), values
) | st.sampled_from(["s = 'a'", "s IN ('a', 'b')", "s IN ('b')", "x IS NULL", "s NOT IN ('b', 'a', 'b')"])
conditions = st.recursive(
    tests,
    lambda part: (
        st.builds("({}) AND ({})".format, part, part)
        | st.builds("({}) OR ({})".format, part, part)
        | st.builds("NOT ({})".format, part)
    ),
    max_leaves=3,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(conditions, min_size=2, max_size=12))
def test_one_form_is_one_meaning(texts: list[str]) -> None:
    """Of random conditions and their negated negations, all that have one form agree on all rows, nulls included."""
    twins = [*texts, *(f"NOT (NOT ({text}))" for text in texts)]
    answers = evaluate({f"c{number}": Expression.parse(text) for number, text in enumerate(twins)}, ROWS)
    seen: dict[str, list[bool | None]] = {}
    for number, text in enumerate(twins):
        answer = answers[f"c{number}"].to_pylist()
        assert seen.setdefault(canonical(text), answer) == answer, text
