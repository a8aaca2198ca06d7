"""Windows from panes against rows put into every window that holds them; closing is once and for good."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.definitions import Count, Entity, FeatureView, Kafka, Max, Mean, Stream, Sum, Window
from mercury.errors import DefinitionError
from mercury.streaming.watermarks import BEGINNING, END
from mercury.streaming.windows import PANE, PaneWindow
from mercury.summaries import empty, merge
from mercury.time import DAY, HOUR, SECOND

STREAM = Stream(
    "s", source=Kafka(topic="s"), schema={"t": "timestamp", "k": "string", "n": "int64"}, event_time="t", key=()
)
Row = tuple[int, str, int]
rows_ = st.lists(st.tuples(st.integers(-40, 40), st.sampled_from("ab"), st.integers(0, 9)), max_size=25)


def window(size: int, slide: int | None = None) -> PaneWindow:
    return PaneWindow.of(
        Window(
            "w",
            STREAM,
            keys="k",
            size=f"{size}s",
            slide=f"{slide}s" if slide else None,
            aggregates={"count": Count(), "sum": Sum("n"), "max": Max("n")},
        )
    )


def table(rows: list[Row]) -> pa.Table:
    return pa.table(
        {
            "t": pa.array([t * SECOND for t, _, _ in rows], pa.timestamp("us", tz="UTC")),
            "k": pa.array([k for _, k, _ in rows], pa.string()),
            "n": pa.array([n for _, _, n in rows], pa.int64()),
        }
    )


def naive(rows: list[Row], size: int, slide: int, after: int, until: int) -> list[tuple[int, int, str, int, int, int]]:
    """Windows with after < end <= until, by trying every start."""
    out = []
    for start in range(-60, 60):
        if start % slide == 0 and after < start + size <= until:
            for key in "ab":
                inside = [n for t, k, n in rows if k == key and start <= t < start + size]
                if inside:
                    out.append((start, start + size, key, len(inside), sum(inside), max(inside)))
    return out


def answers(kept: PaneWindow, panes: object, after: int, until: int) -> list[tuple[int, int, str, int, int, int]]:
    done = kept.finish(kept.closed(panes, after, until))  # type: ignore[arg-type]
    assert done.column_names == ["window_start", "window_end", "k", "count", "sum", "max"]
    starts = [value // SECOND for value in done["window_start"].cast(pa.int64()).to_pylist()]
    ends = [value // SECOND for value in done["window_end"].cast(pa.int64()).to_pylist()]
    return list(zip(starts, ends, *(done[name].to_pylist() for name in done.column_names[2:]), strict=True))


@settings(max_examples=120, deadline=None)
@given(rows=rows_, size=st.integers(1, 12), slide=st.integers(1, 12), marks=st.lists(st.integers(-45, 60), max_size=3))
def test_windows_are_the_rows_that_they_hold_and_close_once(
    rows: list[Row], size: int, slide: int, marks: list[int]
) -> None:
    slide = min(slide, size)
    kept = window(size, slide)
    panes, before, got = kept.summarize(table(rows)), BEGINNING, []
    for mark in [*sorted(marks), None]:
        watermark = mark * SECOND if mark is not None else END
        got += answers(kept, panes, before, watermark)
        panes, before = kept.open(panes, watermark), watermark

    assert sorted(got) == sorted(naive(rows, size, slide, -10_000, 10_000))
    assert panes.tables["scalars"].num_rows == 0


@settings(max_examples=60, deadline=None)
@given(rows=rows_, size=st.integers(1, 12), slide=st.integers(1, 12), mark=st.integers(-45, 60), cut=st.integers(0, 25))
def test_panes_of_parts_merge_to_the_panes_of_all(rows: list[Row], size: int, slide: int, mark: int, cut: int) -> None:
    slide = min(slide, size)
    kept = window(size, slide)
    parts = merge([kept.summarize(table(rows[:cut])), kept.summarize(table(rows[cut:]))])

    assert answers(kept, parts, BEGINNING, mark * SECOND) == answers(
        kept, kept.summarize(table(rows)), BEGINNING, mark * SECOND
    )


def test_a_pane_is_kept_while_a_window_needs_it() -> None:
    kept = window(10, 5)
    panes = kept.summarize(table([(3, "a", 1)]))

    assert kept.pane == 5 * SECOND
    assert kept.open(panes, 10 * SECOND - 1).tables["scalars"].num_rows == 1
    assert kept.open(panes, 10 * SECOND).tables["scalars"].num_rows == 0


def test_no_rows_give_no_windows() -> None:
    kept = window(10)

    none = empty(kept.spec, table([]).append_column(PANE, pa.array([], pa.timestamp("us", tz="UTC"))).schema)

    assert answers(kept, none, BEGINNING, END) == []


def test_a_feature_view_keeps_panes_of_its_hop_without_over() -> None:
    view = FeatureView(
        "v",
        entity=Entity("e", keys="k"),
        source=STREAM,
        features={"c": Count(over="1d"), "m": Mean("n", over="13h")},
        where="n > 1",
    )

    kept = PaneWindow.of_view(view)

    assert (kept.name, kept.size, kept.slide, view.hop_length) == ("v", HOUR, HOUR, HOUR)
    assert list(kept.spec.keys) == [PANE, "k"]
    assert all(part.over is None for part in kept.spec.aggregates.values())
    panes = kept.summarize(table([(0, "a", 1), (1, "a", 2), (3601, "a", 4)]))
    assert panes.tables["scalars"].num_rows == 2
    assert kept.closed(panes, BEGINNING, DAY).tables["scalars"].num_rows == 2


def test_a_column_may_not_take_a_window_columns_name() -> None:
    stream = Stream("s", source=Kafka(topic="s"), schema={"t": "timestamp", PANE: "int64"}, event_time="t")

    with pytest.raises(DefinitionError, match="'pane_start' is taken by windows"):
        PaneWindow.of(Window("w", stream, size="1h", aggregates={"n": Count()}))
