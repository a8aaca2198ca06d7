"""Rows on which engines are known to differ, a spec of every aggregate over them, and when two states agree."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from mercury.definitions import (
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
    Variance,
)
from mercury.summaries import SCALARS, Summary, SummarySpec

UTC = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    {
        "g": pa.string(),
        "h": pa.int8(),
        "f": pa.float64(),
        "i": pa.int64(),
        "big": pa.int64(),
        "b": pa.bool_(),
        "d": pa.date32(),
        "t": UTC,
        "s": pa.string(),
    }
)

TEXTS = [
    None,
    "",
    " ",
    "a",
    "A",
    "ab",
    "é",
    "e\u0301",
    "ß",
    "日本",
    "\U0001f680",
    "'",
    '"',
    "\\",
    "NULL",
    "nan",
    "\uffff",
]
FLOATS = [
    None,
    np.nan,
    -np.nan,
    np.inf,
    -np.inf,
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.5,
    5e-324,
    -5e-324,
    1e120,
    -1e120,
    1e-9,
    15.0,
    0.1,
]
EXTREMES = [None, 2**63 - 1, -(2**63), 0, -1, 2**53 + 1, 2**53]
TIMES = [None, 0, -1, 1, -62_135_596_800_000_000, -1_000_000_000_001, 951_827_459_500_000, 4_102_444_800_000_000]
DAYS = [
    None,
    datetime.date(1, 1, 1),
    datetime.date(1969, 12, 31),
    datetime.date(1970, 1, 1),
    datetime.date(2000, 2, 29),
]

EVERYTHING = {
    "rows": Count(),
    "seen": Count("f"),
    "late": Count("f", where="i > 0"),
    "total": Sum("i"),
    "share": Mean("b"),
    "average": Mean("i"),
    "f_sum": Sum("f"),
    "f_mean": Mean("f"),
    "f_var": Variance("f", ddof=0),
    "i_std": StdDev("i"),
    "f_size": Sum("abs(f)"),
    "f_squares": Sum("f * f"),
    "i_squares": Sum("cast(i AS double) * i"),
    "f_least": Min("f"),
    "f_most": Max("f"),
    "s_least": Min("s"),
    "s_most": Max("s"),
    "big_least": Min("big"),
    "big_most": Max("big"),
    "b_most": Max("b"),
    "d_least": Min("d"),
    "t_most": Max("t"),
    "s_first": First("s"),
    "f_last": Last("f"),
    "big_last": Last("big", where="b"),
    "t_first": First("t"),
    "s_kinds": CountDistinct("s", exact=True),
    "f_kinds": CountDistinct("f", exact=True),
    "s_about": CountDistinct("s", precision=4),
    "big_about": CountDistinct("big"),
    "t_about": CountDistinct("t", precision=18),
    "d_about": CountDistinct("d"),
    "b_about": CountDistinct("b"),
    "f_median": Quantile("f"),
    "big_p90": Quantile("big", 0.9, accuracy=0.001),
    "f_bars": Histogram("f", edges=[-1e100, -1, 0, 1e-9, 0.1, 15]),
    "i_bars": Histogram("i", edges=[-3, 0, 3]),
    "s_top": TopK("s", 3),
    "f_top": TopK("f", 2),
}

SPEC = SummarySpec(["g"], EVERYTHING, time="t", where="h IS NULL OR h <> 7")
TWO_KEYS = SummarySpec({"kind": "f", "odd": "i % 2 = 1", "day": "d"}, {"n": Count(), "last": Last("s")}, time="t")
NO_KEYS = SummarySpec([], EVERYTHING, time="t")

# How large the terms are that a float came from: what rounding is relative to.
_SCALES = {
    "f_sum": "f_size",
    "f_mean__sum": "f_size",
    "f_size": "f_size",
    "f_squares": "f_squares",
    "i_squares": "i_squares",
    "f_var__mean": "f_size",
    "f_var__m2": "f_squares",
    "i_std__mean": "i_squares",
    "i_std__m2": "i_squares",
}


def tables(max_size: int = 30) -> st.SearchStrategy[pa.Table]:
    """Tables of `SCHEMA`."""
    row = st.tuples(
        st.sampled_from(TEXTS[:6]),
        st.sampled_from([None, 1, 7]),
        st.one_of(st.sampled_from(FLOATS), st.floats(-1e6, 1e6)),
        st.one_of(st.none(), st.integers(-5, 5)),
        st.one_of(st.sampled_from(EXTREMES), st.integers(-(2**63), 2**63 - 1)),
        st.sampled_from([None, True, False]),
        st.sampled_from(DAYS),
        st.sampled_from(TIMES),
        st.sampled_from(TEXTS),
    )
    return st.lists(row, max_size=max_size).map(_table)


def random_rows(rows: int, seed: int) -> pa.Table:
    """A larger table of `SCHEMA`."""
    rng = np.random.default_rng(seed)

    def pick(values: list[Any]) -> list[Any]:
        return [values[place] for place in rng.integers(0, len(values), rows)]

    floats = np.where(rng.random(rows) < 0.5, rng.normal(0, 1e3, rows), rng.lognormal(0, 5, rows))
    rare = rng.random(rows) < 0.05
    odd = [value if rare[row] else float(floats[row]) for row, value in enumerate(pick(FLOATS))]
    return pa.table(
        [
            pick(TEXTS),
            pick([None, 1, 2, 7]),
            odd,
            pick([None, *range(-100, 100)]),
            pick([*EXTREMES, *(int(value) for value in rng.integers(-(2**62), 2**62, 200))]),
            pick([None, True, False]),
            pick([*DAYS, *(datetime.date(1900, 1, 1) + datetime.timedelta(day) for day in range(0, 50_000, 77))]),
            pa.array(pick([*TIMES, *(int(at) for at in rng.integers(-(2**50), 2**50, 300))]), UTC),
            pick([*TEXTS, *(f"ключ{place}" for place in range(500))]),
        ],
        schema=SCHEMA,
    )


def assert_agree(left: Summary, right: Summary) -> None:
    """The same groups and types; floats that were added up to 1e-9 of what was added, everything else to the bit."""
    assert left.spec == right.spec
    mine, theirs = left.sorted().tables, right.sorted().tables
    assert {name: table.schema for name, table in mine.items()} == {n: table.schema for n, table in theirs.items()}
    for name in mine:
        if name != SCALARS:
            assert_same(mine[name], theirs[name])
    for column in mine[SCALARS].column_names:
        ours, other = mine[SCALARS][column], theirs[SCALARS][column]
        if column not in _SCALES:
            assert_same(ours, other)
            continue
        scale = mine[SCALARS][_SCALES[column]].fill_null(0.0).to_numpy()
        a, b = ours.to_numpy(), other.to_numpy()
        assert (np.isnan(a) == np.isnan(b)).all() and ours.is_null().equals(other.is_null()), column
        with np.errstate(invalid="ignore"):
            near = (a == b) | np.isnan(a) | (np.abs(a - b) <= 1e-9 * np.where(np.isfinite(scale), scale, 0.0))
        assert near.all(), (column, a[~near], b[~near])


def assert_same(left: pa.Table | pa.ChunkedArray, right: pa.Table | pa.ChunkedArray) -> None:
    """Equal to the bit, NaN equal to itself."""
    assert repr(left.to_pylist()) == repr(right.to_pylist())


def _table(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
