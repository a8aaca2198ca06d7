"""Tables of awkward columns, and how the tests draw them."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from mercury.observability.order import SAMPLE

NUMBERS = [0.0, -0.0, 1.0, 1.5, -3.0, 1e-300, 1e300, math.inf, -math.inf, math.nan, None]
WORDS = ["", "a", "b", "Ω", "zz", None]


def tables(max_rows: int = 60) -> st.SearchStrategy[pa.Table]:
    """Tables of a column of numbers and one of text, with all that is awkward."""
    numbers = st.one_of(st.sampled_from(NUMBERS), st.floats(-50, 50))
    row = st.tuples(numbers, st.sampled_from(WORDS))
    return st.lists(row, max_size=max_rows).map(table)


def table(rows: list[tuple[float | None, str | None]]) -> pa.Table:
    """A table of such rows."""
    numbers, words = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"x": pa.array(numbers, pa.float64()), "s": pa.array(words, pa.string())})


ROWS = 6 * SAMPLE
RANDOM = np.random.default_rng(20131201)

AWKWARD = {
    "normal": RANDOM.normal(size=ROWS),
    "lognormal": RANDOM.lognormal(0, 3, ROWS),
    "heavy tails": RANDOM.standard_cauchy(ROWS) ** 3,
    "far from zero": 1.7e15 + RANDOM.normal(size=ROWS),
    "whole numbers": RANDOM.poisson(3.0, ROWS) * 1.0,
    "many whole numbers": np.round(RANDOM.normal(0, 1e4, ROWS)),
    "zeros for half": np.where(RANDOM.random(ROWS) < 0.5, -0.0, RANDOM.normal(size=ROWS)),
    "constant": np.full(ROWS, 7.0),
    "constant but for one": np.r_[np.full(ROWS, 7.0), 8.0],
    "rising": np.sort(RANDOM.exponential(size=ROWS)),
    "the greatest and the least": RANDOM.choice([1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 0.0], ROWS),
    "a sentinel far out": np.where(RANDOM.random(ROWS) < 0.01, 1e300, RANDOM.normal(size=ROWS)),
    "missing and infinite": RANDOM.choice([np.nan, np.inf, -np.inf, 1.0, 2.0, 3.5], ROWS),
    "few": np.array([3.0, 1.0, np.nan, 2.0, 2.0]),
    "one": np.array([-0.0]),
    "none": np.array([np.nan, np.inf]),
}
"""Columns long enough for every way in which numbers are counted and cut."""
