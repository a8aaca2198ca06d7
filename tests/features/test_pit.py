"""The point-in-time join against a naive twin, against DuckDB and pandas where they are right, and on every trap."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.errors import DataError, SchemaError, UsageError
from mercury.features.pit import JoinOptions, ViewRows, join

US = pa.timestamp("us", tz="UTC")


def table(times: list[Any], *, unit: str = "us", tz: str | None = "UTC", **columns: list[Any]) -> pa.Table:
    return pa.table({**columns, "event_time": pa.array(times, pa.int64()).cast(pa.timestamp(unit, tz=tz))})


def joined(
    labels: pa.Table, rows: pa.Table, options: JoinOptions | None = None, *, keys: tuple[str, ...] = ("k",), **view: Any
) -> list[Any]:
    out = join(
        labels, [ViewRows("v", rows, keys, ["x"], **view)], event_time="event_time", options=options or JoinOptions()
    )
    assert out.num_rows == labels.num_rows
    assert out.select(labels.column_names).equals(labels)
    return out["x"].to_pylist()


def naive(
    labels: list[tuple[Any, int | None]],
    rows: list[tuple[Any, int | None, int | None, Any]],
    *,
    inclusive: bool,
    known_time: bool,
    skip_null: bool,
    ttl: int | None,
    delay: int,
    embargo: int,
) -> list[Any]:
    """The join as its definition reads, O(n m)."""
    out = []
    for key, moment in labels:
        best: tuple[int, int] | None = None
        answer = None
        for other, event, created, value in rows:
            if key is None or key != other or event is None or moment is None or (skip_null and value is None):
                continue
            known = event if created is None else created
            horizon = moment - delay - embargo
            if not (event <= horizon if inclusive else event < horizon):
                continue
            if known_time and known + embargo > moment:
                continue
            if best is None or (event, known) >= best:
                best, answer = (event, known), (value, moment - event)
        out.append(None if answer is None or (ttl is not None and answer[1] > ttl) else answer[0])
    return out


keys = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))
moments = st.one_of(st.none(), st.integers(-20, 20))


@settings(max_examples=400, deadline=None)
@given(
    labels=st.lists(st.tuples(keys, moments), max_size=12),
    rows=st.lists(st.tuples(keys, moments, moments, st.one_of(st.none(), st.integers(0, 99))), max_size=25),
    inclusive=st.booleans(),
    known_time=st.booleans(),
    skip_null=st.booleans(),
    ttl=st.one_of(st.none(), st.integers(0, 15)),
    delay=st.integers(0, 6),
    embargo=st.integers(0, 6),
)
def test_join_equals_its_definition(
    labels: list[Any],
    rows: list[Any],
    inclusive: bool,
    known_time: bool,
    skip_null: bool,
    ttl: int | None,
    delay: int,
    embargo: int,
) -> None:
    asked = pa.table(
        {"k": pa.array([k for k, _ in labels], pa.string()), "event_time": pa.array([t for _, t in labels], US)}
    )
    given_rows = pa.table(
        {
            "k": pa.array([row[0] for row in rows], pa.string()),
            "event_time": pa.array([row[1] for row in rows], US),
            "created": pa.array([row[2] for row in rows], US),
            "x": pa.array([row[3] for row in rows], pa.int64()),
        }
    )
    options = JoinOptions(inclusive=inclusive, known_time=known_time, skip_null=skip_null, embargo=embargo)
    got = joined(asked, given_rows, options, created_time="created", ttl=ttl, delay=delay)
    # Of rows that tie in event and created time the last one given counts, in both.
    want = naive(
        labels, rows, inclusive=inclusive, known_time=known_time, skip_null=skip_null, ttl=ttl, delay=delay,
        embargo=embargo,
    )  # fmt: skip
    assert got == want


@settings(max_examples=150, deadline=None)
@given(
    labels=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["x", "y", None]), st.integers(0, 20)), max_size=10),
    rows=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["x", "y", None]), st.integers(0, 20)), max_size=25),
)
def test_two_key_columns_of_different_types_join_like_one(labels: list[Any], rows: list[Any]) -> None:
    asked = pa.table(
        {
            "k": pa.array([a for a, _, _ in labels], pa.int32()),
            "j": pa.array([b for _, b, _ in labels], pa.string()).dictionary_encode(),
            "event_time": pa.array([t for _, _, t in labels], US),
        }
    )
    source = pa.table(
        {
            "k": pa.array([a for a, _, _ in rows], pa.int64()),
            "j": pa.array([b for _, b, _ in rows], pa.large_string()),
            "event_time": pa.array([t for _, _, t in rows], US),
            "x": pa.array(range(len(rows)), pa.int64()),
        }
    )
    want = naive(
        [((a, b) if b is not None else None, t) for a, b, t in labels],
        [((a, b), t, None, x) for x, (a, b, t) in enumerate(rows)],
        inclusive=True, known_time=True, skip_null=False, ttl=None, delay=0, embargo=0,
    )  # fmt: skip
    assert joined(asked, source, keys=("k", "j")) == want


def test_past_ttl_is_null_and_the_edge_is_inside() -> None:
    rows = table([0], k=["a"], x=[1.0])
    assert joined(table([10, 11], k=["a", "a"]), rows, ttl=10) == [1.0, None]


def test_ttl_of_zero_means_the_same_instant_and_none_means_for_ever() -> None:
    rows = table([0], k=["a"], x=[1.0])
    labels = table([0, 1], k=["a", "a"])
    assert joined(labels, rows, ttl=0) == [1.0, None]
    assert joined(labels, rows, ttl=None) == [1.0, 1.0]


def test_a_value_of_the_labels_own_instant_counts_unless_strict() -> None:
    rows = table([5], k=["a"], x=[1.0])
    labels = table([5, 6], k=["a", "a"])
    assert joined(labels, rows) == [1.0, 1.0]
    assert joined(labels, rows, JoinOptions(inclusive=False)) == [None, 1.0]


def test_equal_labels_stay_two_rows() -> None:
    assert joined(table([5, 5], k=["a", "a"]), table([1], k=["a"], x=[7.0])) == [7.0, 7.0]


def test_null_key_matches_nothing_and_leaves_other_keys_alone() -> None:
    labels = table([5, 5], k=["a", None])
    assert joined(labels, table([1, 2], k=["a", None], x=[1.0, 2.0])) == [1.0, None]


def test_ties_go_to_the_latest_created_whatever_the_file_order() -> None:
    rows = pa.table(
        {
            "k": ["a", "a"],
            "x": [2.0, 1.0],
            "event_time": pa.array([1, 1], US),
            "created": pa.array([9, 3], US),
        }
    )
    assert joined(table([10], k=["a"]), rows, created_time="created") == [2.0]


def test_a_correction_counts_from_when_it_was_known() -> None:
    rows = pa.table(
        {"k": ["a", "a"], "x": [1.0, 2.0], "event_time": pa.array([1, 1], US), "created": pa.array([1, 8], US)}
    )
    labels = table([7, 8], k=["a", "a"])
    assert joined(labels, rows, created_time="created") == [1.0, 2.0]
    assert joined(labels, rows, JoinOptions(known_time=False), created_time="created") == [2.0, 2.0]


def test_unordered_rows_join_like_ordered_ones() -> None:
    labels = table([3, 1], k=["a", "a"])
    assert joined(labels, table([3, 1, 2], k=["a", "a", "a"], x=[3.0, 1.0, 2.0])) == [3.0, 1.0]


def test_rows_out_of_validity_are_closed_by_a_row_of_nulls() -> None:
    """A slowly changing dimension with valid_to: the end of validity is a row whose value is null."""
    rows = table([1, 5], k=["a", "a"], x=[1.0, None])
    assert joined(table([4, 5], k=["a", "a"]), rows) == [1.0, None]


def test_a_null_value_is_a_value_unless_skipped() -> None:
    rows = table([1, 2], k=["a", "a"], x=[1.0, None])
    labels = table([3], k=["a"])
    assert joined(labels, rows) == [None]
    assert joined(labels, rows, JoinOptions(skip_null=True)) == [1.0]


@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)])
@pytest.mark.parametrize("label_unit", ["s", "ms", "us", "ns"])
def test_units_mix(unit: str, per_second: int, label_unit: str) -> None:
    scale = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[label_unit]
    rows = table([2 * per_second], unit=unit, k=["a"], x=[1.0])
    assert joined(table([2 * scale, 1 * scale], unit=label_unit, k=["a", "a"]), rows) == [1.0, None]


def test_lost_precision_never_lets_a_feature_look_older() -> None:
    feature = table([1_001], unit="ns", k=["a"], x=[1.0])
    assert joined(table([1], k=["a"]), feature) == [None]
    assert joined(table([2], k=["a"]), feature) == [1.0]
    label = table([1_999], unit="ns", k=["a"])
    assert joined(label, table([2], k=["a"], x=[1.0])) == [None]


def test_dates_are_known_at_their_end_and_asked_at_their_start() -> None:
    rows = pa.table({"k": ["a"], "x": [1.0], "event_time": [date(2013, 1, 1)]})
    noon = datetime(2013, 1, 1, 12, tzinfo=UTC)
    labels = pa.table({"k": ["a", "a"], "event_time": pa.array([noon, noon + timedelta(hours=12)], US)})
    assert joined(labels, rows) == [None, 1.0]
    days = pa.table({"k": ["a", "a"], "event_time": [date(2013, 1, 1), date(2013, 1, 2)]})
    assert joined(days, rows) == [None, 1.0]


def test_times_without_a_zone_are_refused_unless_one_is_assumed() -> None:
    rows = table([0], unit="s", tz=None, k=["a"], x=[1.0])
    labels = table([5 * 3600, 5 * 3600 - 1], unit="s", k=["a", "a"])
    with pytest.raises(SchemaError, match="without a time zone"):
        joined(labels, rows)
    assert joined(labels, rows, JoinOptions(assume_tz="America/New_York")) == [1.0, None]


def test_empty_inputs_and_null_columns() -> None:
    nothing = table([], k=pa.array([], pa.string()), x=pa.array([], pa.float64()))
    assert joined(table([1], k=["a"]), nothing) == [None]
    assert joined(table([], k=pa.array([], pa.string())), table([1], k=["a"], x=[1.0])) == []
    assert joined(table([1], k=pa.nulls(1)), table([1], k=["a"], x=[1.0])) == [None]
    assert joined(table([1], k=["a"]), table([1], k=pa.nulls(1), x=[1.0])) == [None]
    assert joined(table([1], k=["a"]), table([1], k=["a"], x=pa.nulls(1))) == [None]
    assert joined(table([1], k=["a"]), table([None], k=["a"], x=[1.0])) == [None]


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.int64(), pa.uint32(), pa.uint64()])
def test_integer_keys_of_any_width_are_equal(kind: pa.DataType) -> None:
    labels = table([5], k=pa.array([3], pa.int64()))
    assert joined(labels, table([1], k=pa.array([3], kind), x=[1.0])) == [1.0]


def test_text_and_number_keys_are_refused() -> None:
    with pytest.raises(SchemaError, match="text and numbers are never equal"):
        joined(table([5], k=["3"]), table([1], k=[3], x=[1.0]))


def test_times_at_the_ends_of_int64_do_not_overflow() -> None:
    low, high = -(2**63) + 2, 2**63 - 1
    rows = table([low, high], k=["a", "a"], x=[1.0, 2.0])
    labels = table([high, high - 1, low, low + 1], k=["a"] * 4)
    assert joined(labels, rows) == [2.0, 1.0, 1.0, 1.0]
    assert joined(labels, rows, ttl=10) == [2.0, None, 1.0, 1.0]
    assert joined(labels, rows, JoinOptions(embargo=5)) == [1.0, 1.0, None, None]


def test_seconds_beyond_microseconds_are_refused() -> None:
    with pytest.raises(DataError, match="outside the years"):
        joined(table([2**60], unit="s", k=["a"]), table([1], k=["a"], x=[1.0]))


def test_bad_columns_are_named() -> None:
    labels, rows = table([5], k=["a"]), table([1], k=["a"], x=[1.0])
    with pytest.raises(SchemaError, match="'z' is not in view 'v'"):
        join(labels, [ViewRows("v", rows, ["k"], ["z"])], event_time="event_time")
    with pytest.raises(SchemaError, match="is in the labels or another view already"):
        join(labels.append_column("x", [[1]]), [ViewRows("v", rows, ["k"], ["x"])], event_time="event_time")
    with pytest.raises(SchemaError, match="not a time"):
        join(labels, [ViewRows("v", rows, ["k"], ["x"])], event_time="k")
    with pytest.raises(UsageError, match="no key"):
        join(labels, [ViewRows("v", rows, [], ["x"])], event_time="event_time")


def test_timestamps_of_what_was_used_are_added_for_the_audit() -> None:
    rows = pa.table({"k": ["a"], "x": [1.0], "event_time": pa.array([3], US), "created": pa.array([4], US)})
    out = join(
        table([5, 2], k=["a", "a"]),
        [ViewRows("v", rows, ["k"], ["x"], created_time="created")],
        event_time="event_time",
        options=JoinOptions(timestamps=True),
    )
    assert out["v__ts"].cast(pa.int64()).to_pylist() == [3, None]
    assert out["v__created"].cast(pa.int64()).to_pylist() == [4, None]


@pytest.fixture(scope="module")
def random_rows() -> tuple[pa.Table, pa.Table]:
    seed = 7
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    labels = table(random.integers(0, 10**7, 5_000).tolist(), k=random.integers(0, 200, 5_000).tolist())
    times = random.permutation(10**7)[:50_000]
    rows = table(times.tolist(), k=random.integers(0, 220, 50_000).tolist(), x=random.normal(size=50_000).tolist())
    return labels, rows


def test_join_equals_duckdb_asof(random_rows: tuple[pa.Table, pa.Table]) -> None:
    labels, rows = random_rows
    labels = labels.append_column("i", pa.array(range(labels.num_rows)))
    con = duckdb.connect()
    con.register("l", labels)
    con.register("r", rows)
    want = con.sql(
        "SELECT r.x FROM l ASOF LEFT JOIN r ON l.k = r.k AND l.event_time >= r.event_time ORDER BY l.i"
    ).fetchall()
    assert joined(labels, rows) == [x for (x,) in want]


def test_join_equals_pandas_and_polars(random_rows: tuple[pa.Table, pa.Table]) -> None:
    labels, rows = random_rows
    left = labels.to_pandas().reset_index().sort_values("event_time", kind="stable")
    right = rows.to_pandas().sort_values("event_time")
    merged = pd.merge_asof(left, right, on="event_time", by="k", tolerance=pd.Timedelta("20ms")).sort_values("index")
    got = joined(labels, rows, ttl=20_000)
    assert got == [None if value != value else value for value in merged["x"].tolist()]
    asof = (
        pl.from_arrow(labels).with_row_index("i").sort("event_time")  # type: ignore[union-attr]
        .join_asof(pl.from_arrow(rows).sort("event_time"), on="event_time", by="k", tolerance="20ms")  # type: ignore[union-attr, arg-type]
        .sort("i")
    )  # fmt: skip
    assert got == asof["x"].to_list()
