"""Tables of awkward columns, and how the tests draw them."""

from __future__ import annotations

import math

import pyarrow as pa
from hypothesis import strategies as st

AWKWARD = [0.0, -0.0, 1.0, 1.5, -3.0, 1e-300, 1e300, math.inf, -math.inf, math.nan, None]
WORDS = ["", "a", "b", "Ω", "zz", None]


def tables(max_rows: int = 60) -> st.SearchStrategy[pa.Table]:
    """Tables of a column of numbers and one of text, with all that is awkward."""
    numbers = st.one_of(st.sampled_from(AWKWARD), st.floats(-50, 50))
    row = st.tuples(numbers, st.sampled_from(WORDS))
    return st.lists(row, max_size=max_rows).map(table)


def table(rows: list[tuple[float | None, str | None]]) -> pa.Table:
    """A table of such rows."""
    numbers, words = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"x": pa.array(numbers, pa.float64()), "s": pa.array(words, pa.string())})
