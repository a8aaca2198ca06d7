"""Trailing windows against brute force over events, for every aggregate, in one call and in many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mercury import (
    Count,
    CountDistinct,
    Entity,
    FeatureView,
    First,
    Histogram,
    Kafka,
    Last,
    Max,
    Mean,
    Min,
    Quantile,
    StdDev,
    Stream,
    Sum,
    TopK,
    Variance,
)
from mercury.definitions import Aggregate, BatchTable
from mercury.errors import DefinitionError
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.layout import CREATED_TIME, EVENT_TIME
from mercury.features.windows import PANE, aggregates, feature_rows, pane_spec, pane_window
from mercury.summaries import Summary, SummarySpec, finish, partial
from mercury.time import HOUR, MINUTE, duration

STREAM = Stream(
    "events",
    source=Kafka("events"),
    schema={"ts": "timestamp", "k": "string", "j": "int64", "x": "float64", "n": "int64", "s": "string"},
    event_time="ts",
    lateness="2h",
)

ALL: dict[str, Aggregate] = {
    "count": Count(over="3h"),
    "count_x": Count("x", over="6h"),
    "big": Count(where="n > 3", over="3h"),
    "sum_n": Sum("n", over="6h"),
    "sum_x": Sum("x", over="3h"),
    "mean": Mean("x", over="6h"),
    "share": Mean("x > 0", over="90m"),
    "var": Variance("x", over="6h"),
    "std": StdDev("x", over="3h"),
    "least": Min("x", over="6h"),
    "most": Max("s", over="90m"),
    "first": First("n", over="6h"),
    "last": Last("n", over="3h"),
    "distinct": CountDistinct("n", exact=True, over="6h"),
    "about": CountDistinct("s", over="3h"),
    "p90": Quantile("x", 0.9, over="6h"),
    "top": TopK("s", 2, over="3h"),
    "bars": Histogram("x", edges=[-1.0, 1.0], over="90m"),
}


def view(features: dict[str, Aggregate] = ALL, keys: tuple[str, ...] = ("k",), hop: str = "1h") -> FeatureView:
    return FeatureView("v", Entity("e", keys), STREAM, features, hop=hop)


def events(seed: int, count: int, keys: int = 4, span: int = 60 * HOUR) -> pa.Table:
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    x = random.normal(size=count)
    return pa.table(
        {
            "ts": pa.array(random.integers(-span // 2, span // 2, count), UTC_MICROSECONDS),
            "k": pa.array([f"k{number}" for number in random.integers(0, keys, count)]),
            "j": random.integers(0, 2, count),
            "x": pa.array(x, mask=random.random(count) < 0.2),
            "n": random.integers(0, 9, count),
            "s": pa.array([f"s{number}" for number in random.integers(0, 6, count)]),
        }
    )


def panes_of(rows: pa.Table, of: FeatureView, end: int | None = None) -> Summary:
    times = rows["ts"].cast(pa.int64()).to_numpy()
    starts = times - times % of.hop_length
    tagged = rows.append_column(PANE, pa.array(starts, UTC_MICROSECONDS))
    if end is not None:
        tagged = tagged.filter(pa.array(starts + of.hop_length <= end))
    return partial(pane_spec(of), tagged)


def brute(rows: pa.Table, of: FeatureView, keys: dict[str, Any], moment: int, name: str) -> Any:
    """The aggregate over the events of ``[floor(t - over), floor(t))``."""
    part, hop = aggregates(of)[name], of.hop_length
    begin, end = moment - duration(part.over or ""), moment
    begin, end = begin - begin % hop, end - end % hop
    times = rows["ts"].cast(pa.int64()).to_numpy()
    inside = (times >= begin) & (times < end)
    for key, value in keys.items():
        inside &= pc.equal(rows[key], value).to_numpy()
    chosen = rows.filter(pa.array(inside))
    spec = SummarySpec([], {name: type(part)(**{**part.__dict__, "over": None})}, time="ts")
    return finish(partial(spec, chosen))[name].to_pylist()[0]


def check(rows: pa.Table, of: FeatureView, out: pa.Table, sample: int, seed: int = 1) -> int:
    assert of.entity is not None
    chosen = np.random.default_rng(seed).permutation(out.num_rows)[:sample]
    for row in out.take(pa.array(chosen)).to_pylist():
        moment = int(row[EVENT_TIME].timestamp() * 1e6)
        for name in of.columns:
            want = brute(rows, of, {key: row[key] for key in of.entity.keys}, moment, name)
            got = row[name]
            if isinstance(want, float):
                assert got == pytest.approx(want, rel=1e-9, abs=1e-12), name
            else:
                assert got == want, (name, row)
    return len(chosen)


def test_every_aggregate_equals_brute_force_over_the_events() -> None:
    rows = events(3, 900)
    out = feature_rows(panes_of(rows, view()), view(), until=40 * HOUR)
    assert check(rows, view(), out, 40) == 40


def test_two_keys_and_sparse_events_with_windows_that_empty_again() -> None:
    rows = events(4, 60, keys=5, span=400 * HOUR)
    of = view(keys=("k", "j"))
    out = feature_rows(panes_of(rows, of), of, until=10**15)
    assert check(rows, of, out, 50) == 50
    last = out.filter(pc.equal(out[EVENT_TIME], pc.max(out[EVENT_TIME])))
    assert (last["count"][0].as_py(), last["sum_n"][0].as_py(), last["p90"][0].as_py()) == (0, None, None)


def test_a_row_stands_at_every_boundary_and_nowhere_else() -> None:
    rows = pa.table(
        {"ts": pa.array([10 * HOUR + 5], UTC_MICROSECONDS), "k": ["a"], "j": [0], "x": [1.0], "n": [1], "s": [""]}
    )
    of = view({"short": Count(over="90m"), "long": Count(over="3h")})
    out = feature_rows(panes_of(rows, of), of, until=10**12)
    found = [
        (time // MINUTE, short, long)
        for time, short, long in zip(
            out[EVENT_TIME].cast(pa.int64()).to_pylist(), out["short"].to_pylist(), out["long"].to_pylist(), strict=True
        )
    ]
    assert found == [(660, 1, 1), (750, 0, 1), (840, 0, 0)]
    delay = pc.subtract(out[CREATED_TIME].cast(pa.int64()), out[EVENT_TIME].cast(pa.int64()))
    assert set(delay.to_pylist()) == {2 * HOUR}


def test_between_boundaries_the_value_is_that_of_brute_force() -> None:
    """The step function is right at any time, not only where it has rows."""
    rows = events(5, 200)
    of = view()
    out = feature_rows(panes_of(rows, of), of, until=10**15)
    times = out[EVENT_TIME].cast(pa.int64()).to_numpy()
    keys = np.array(out["k"].to_pylist())
    for moment in np.random.default_rng(6).integers(-20 * HOUR, 40 * HOUR, 60).tolist():
        for key in ("k0", "k1"):
            known = np.flatnonzero((keys == key) & (times <= moment))
            if not len(known):
                continue
            place = int(known[np.argmax(times[known])])
            for name in ("count", "share", "sum_n", "last", "bars", "top"):
                want = brute(rows, of, {"k": key}, moment, name)
                got = out[name][place].as_py()
                assert got == (pytest.approx(want, rel=1e-9) if isinstance(want, float) else want), name


@pytest.mark.parametrize(
    "cuts", [[-5 * HOUR], [-20 * HOUR, -20 * HOUR, 0, 7 * HOUR], list(range(-30 * HOUR, 40 * HOUR, HOUR))]
)
def test_any_number_of_increments_gives_the_same_rows_as_one_call(cuts: list[int]) -> None:
    rows = events(7, 500)
    of = view()
    once = feature_rows(panes_of(rows, of), of, until=42 * HOUR)
    parts, since = [], None
    for until in [*cuts, 42 * HOUR]:
        parts.append(feature_rows(panes_of(rows, of, end=until), of, since=since, until=until))
        since = until
    order = [("k", "ascending"), (EVENT_TIME, "ascending")]
    assert pa.concat_tables(parts).sort_by(order).combine_chunks().equals(once.sort_by(order).combine_chunks())


def test_old_panes_are_not_needed_again() -> None:
    rows = events(8, 500)
    of = view()
    once = feature_rows(panes_of(rows, of), of, since=5 * HOUR, until=20 * HOUR)
    recent = rows.filter(pa.array(rows["ts"].cast(pa.int64()).to_numpy() >= 5 * HOUR - 6 * HOUR - HOUR))
    assert feature_rows(panes_of(recent, of), of, since=5 * HOUR, until=20 * HOUR).equals(once)


def test_integers_and_floats_do_not_lose_digits_over_long_streams() -> None:
    count = 2_000
    x = np.full(count, 0.1)
    x[0] = 1e17  # what a difference of running sums would never recover from
    rows = pa.table(
        {
            "ts": pa.array(np.arange(count) * HOUR, UTC_MICROSECONDS),
            "k": ["a"] * count,
            "j": [0] * count,
            "x": x,
            "n": np.full(count, 2**53 + 1),
            "s": [""] * count,
        }
    )
    of = view({"sum_x": Sum("x", over="3h"), "sum_n": Sum("n", over="6h"), "var": Variance("x", over="3h")})
    out = feature_rows(panes_of(rows, of), of, until=2_000 * HOUR).slice(1_000)
    assert out["sum_x"][0].as_py() == pytest.approx(0.3, rel=1e-12)
    assert out["sum_n"][0].as_py() == 6 * (2**53 + 1)
    assert out["var"][0].as_py() == pytest.approx(0.0, abs=1e-15)


def test_no_panes_give_no_rows_of_the_right_schema() -> None:
    rows = events(9, 50)
    empty = panes_of(rows.slice(0, 0), view())
    out = feature_rows(empty, view(), until=10**15)
    full = feature_rows(panes_of(rows, view()), view(), until=10**15)
    assert (out.num_rows, out.schema) == (0, full.schema)


def test_the_panes_are_those_that_the_stream_keeps() -> None:
    from mercury.streaming.windows import PaneWindow

    assert PaneWindow.of_view(view()).spec.hash == pane_spec(view()).hash
    assert PaneWindow.of_view(view()).size == view().hop_length
    assert pane_window(view()).size == "1h"


def test_a_view_over_a_table_has_no_panes() -> None:
    source = BatchTable("t", schema={"k": "string", "ts": "timestamp"}, event_time="ts")
    with pytest.raises(DefinitionError, match="only a view over a stream"):
        pane_window(FeatureView("v", Entity("e", "k"), source, ["ts"]))
