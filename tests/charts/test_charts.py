"""Charts put values where their axes say, and pages load nothing from anywhere."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.charts import Mark, Series, Span, chart, facts, page, section, table
from mercury.charts.scales import number_axis, time_axis
from mercury.errors import UsageError


def drawn(html: str) -> ET.Element:
    return ET.fromstring(html)


def picture(html: str, width: str) -> ET.Element:
    (found,) = [element for element in drawn(html) if width in element.get("class", "").split()]
    return found


def of_class(html: str, name: str, width: str = "wide") -> list[ET.Element]:
    return [element for element in picture(html, width).iter() if name in element.get("class", "").split()]


def ticks(html: str, anchor: str) -> dict[str, float]:
    """Text of each tick to its place: x of those below, y of those at the left."""
    place = "x" if anchor == "middle" else "y"
    return {
        element.text or "": float(element.get(place, "nan")) - (4 if place == "y" else 0)
        for element in of_class(html, "tick")
        if element.get("text-anchor") == anchor
    }


def test_a_line_goes_through_its_values() -> None:
    html = chart([Series("a", [0, 10, 20], [0.0, 50.0, 100.0])], title="t")

    (line,) = of_class(html, "line")
    points = [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]
    across, up = ticks(html, "middle"), ticks(html, "end")
    assert points == [(across["0"], up["0"]), (across["10"], pytest.approx((up["40"] + up["60"]) / 2, abs=0.1)),
                      (across["20"], up["100"])]  # fmt: skip


def test_a_gap_breaks_the_line_and_a_lone_value_is_a_dot() -> None:
    html = chart([Series("a", range(6), [1.0, 2.0, None, 3.0, math.nan, 5.0])], title="t")

    assert [len(line.get("points", "").split()) for line in of_class(html, "line")] == [2]
    assert len(of_class(html, "dot")) == 2


def test_bars_stand_on_zero_and_have_room_for_each_series() -> None:
    html = chart([Series(name, ["x", "y"], [3.0, -2.0], form="bars") for name in "ab"], title="t")

    zero = ticks(html, "end")["0"]
    bars = of_class(html, "bar")
    assert [float(bar.get("y", 0)) + float(bar.get("height", 0)) for bar in bars[::2]] == pytest.approx([zero, zero])
    assert [float(bar.get("y", 0)) for bar in bars[1::2]] == pytest.approx([zero, zero])
    edges = sorted((float(bar.get("x", 0)), float(bar.get("width", 0))) for bar in bars)
    assert all(left + width <= right + 0.11 for (left, width), (right, _) in itertools.pairwise(edges))


def test_error_bars_and_bands_are_in_view() -> None:
    points = chart([Series("a", ["x"], [5.0], [1.0], [9.0], form="points")], title="t")
    band = chart([Series("a", [1, 2], [5.0, 6.0], [1.0, 2.0], [9.0, 11.0])], title="t")

    (whisker,) = of_class(points, "whisker")
    up = ticks(points, "end")
    assert float(re.findall(r"V([\d.]+)", whisker.get("d", ""))[0]) >= up["10"]
    assert {"0", "12"} <= set(ticks(band, "end")) or {"0", "15"} <= set(ticks(band, "end"))
    assert len(of_class(band, "band")) == 1


def test_marks_and_spans_lie_at_their_days() -> None:
    days = [dt.date(2013, 1, day) for day in (1, 11, 21, 31)]
    html = chart(
        [Series("a", days, [1.0, 2.0, 3.0, 4.0])],
        title="t",
        marks=[Mark(dt.date(2013, 1, 11), "alarm")],
        spans=[Span(dt.date(2013, 1, 21), dt.date(2013, 1, 31), "fault")],
    )

    (line,) = of_class(html, "line")
    across = [float(point.split(",")[0]) for point in line.get("points", "").split()]
    (mark,), (span,) = of_class(html, "mark"), of_class(html, "span")
    assert float(mark.get("x1", 0)) == across[1]
    assert (float(span.get("x", 0)), float(span.get("width", 0))) == pytest.approx((across[2], across[3] - across[2]))
    assert [note.text for note in of_class(html, "note")] == ["fault", "alarm"]


def test_a_narrow_page_has_a_picture_of_its_own_with_the_same_values() -> None:
    days = [dt.date(2013, 1, 1) + dt.timedelta(days=day) for day in range(365)]
    html = chart([Series("a", days, [float(day % 7) for day in range(365)])], title="t")

    for width, pixels in (("wide", 720), ("narrow", 360)):
        assert picture(html, width).get("viewBox") == f"0 0 {pixels} 240"
        (line,) = of_class(html, "line", width)
        assert len(line.get("points", "").split()) == 365
        below = [tick for tick in of_class(html, "tick", width) if tick.get("text-anchor") == "middle"]
        ends = [(float(tick.get("x", 0)), 6.6 * len(tick.text or "") / 2) for tick in below]
        assert len(ends) >= 2
        assert all(a + half <= b - other for (a, half), (b, other) in itertools.pairwise(ends))
        assert ends[0][0] - ends[0][1] >= 0 and ends[-1][0] + ends[-1][1] <= pixels


def test_long_names_are_slanted_where_they_have_no_room() -> None:
    names = ["conformity", "completeness", "accuracy", "consistency", "a name of twenty-one!", "coverage"]
    html = chart([Series("a", names, [1.0] * 6, form="bars")], title="t")

    assert [name.text for name in of_class(html, "name", "narrow")] == [*names[:4], "a name of twe…", "coverage"]
    for name in of_class(html, "name", "narrow"):
        along = 6.6 * len(name.text or "")
        assert float(name.get("x", 0)) - math.cos(math.radians(33)) * along >= 0
        assert float(name.get("y", 0)) + math.sin(math.radians(33)) * along <= 240
    lowest = max(float(bar.get("y", 0)) + float(bar.get("height", 0)) for bar in of_class(html, "bar", "narrow"))
    assert lowest < min(float(name.get("y", 0)) for name in of_class(html, "name", "narrow"))


def test_a_warning_stands_in_its_own_tile() -> None:
    rows, late = drawn(facts({"rows": "5", "late": "1"}, warnings={"late": "drift", "other": "unseen"}))

    assert [element.text for element in rows] == ["5", "rows"]
    found = [(element.text, element.get("class")) for element in late]
    assert found == [("1", None), ("late", None), ("drift", "badge")]


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
def test_a_number_axis_holds_its_data_between_few_ticks(low: float, size: float) -> None:
    axis = number_axis(low, low + size)

    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low <= low + slack and low + size <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 9
    assert (axis.ticks[0][0], axis.ticks[-1][0]) == (axis.low, axis.high)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ((2013, 1, 1), (2014, 1, 1), ["Jan 2013", "Mar", "May", "Jul", "Sep", "Nov", "Jan 2014"]),
        ((2013, 1, 1), (2013, 1, 12), ["1 Jan", "3 Jan", "5 Jan", "7 Jan", "9 Jan", "11 Jan"]),
        ((2013, 3, 4), (2013, 3, 5), ["4 Mar 00:00", "4 Mar 06:00", "4 Mar 12:00", "4 Mar 18:00", "5 Mar 00:00"]),
    ],
)
def test_a_time_axis_has_ticks_that_people_read(
    start: tuple[int, int, int], end: tuple[int, int, int], expected: list[str]
) -> None:
    low, high = (dt.datetime(*day, tzinfo=dt.UTC).timestamp() for day in (start, end))

    assert [text for _, text in time_axis(low, high).ticks] == expected


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(UsageError, match="there is nothing to draw in 't'"):
        chart([Series("a", [1], [None])], title="t")
    with pytest.raises(UsageError, match=r"'a' has 2 x and 1 y \(t\)"):
        chart([Series("a", [1, 2], [1.0])], title="t")


def test_a_page_needs_nothing_else_and_holds_texts_as_text() -> None:
    nasty = "<script>alert(1)</script>"
    html = page(
        nasty,
        [
            section(nasty, chart([Series(nasty, [nasty], [1.0], form="bars")], title=nasty, y=nasty), number="5",
                    caption=nasty, text=nasty),
            facts({nasty: nasty}, warnings={nasty: nasty}),
            table(["a", "n", "day"], [[nasty, "1,000", "2013-07-01"]], caption=nasty),
        ],
        lead=nasty,
        footer=nasty,
    )  # fmt: skip

    assert "<script" not in html
    assert not re.search(r"\b(src|href)\s*=|url\(|@import", html)
    assert "default-src 'none'" in html
    assert "<td class=n>1,000</td><td>2013-07-01</td>" in html
    assert "prefers-color-scheme: dark" in html and "@media print" in html
