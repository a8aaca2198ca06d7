"""Charts as SVG text: lines, bars, points with error bars, bands and marks on shared axes.

Colours are classes (``s0`` to ``s5``) that the style sheet of the page sets, so one picture suits light, dark and
paper. Each chart is drawn for a wide and for a narrow page, and the style sheet shows one of them: a picture that was
shrunk to a phone would have words that nobody can read.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Literal

from mercury.charts.scales import Axis, Value, category_axis, number, number_axis, time_axis
from mercury.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import TypeIs

WIDTHS = {"wide": 720, "narrow": 360}
"""Pixels that a picture is drawn for, by the class that shows it."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 26, 34
_LETTER = 6.6
"""About the width of a letter, pixels."""

_LONGEST = 14
"""Letters of a slanted name; of longer ones the beginning is shown."""


@dataclass(frozen=True)
class Series:
    """Values over x, drawn as a line, as bars or as points; ``low`` and ``high`` are a band or error bars.

    All x of a chart are of one kind: numbers, days and instants, or categories. A value of None or NaN is a gap.
    """

    name: str
    x: Sequence[Value]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    form: Literal["line", "bars", "points"] = "line"
    muted: bool = False


@dataclass(frozen=True)
class Mark:
    """A dashed line across the chart at an x, with a few words."""

    x: Value
    text: str


@dataclass(frozen=True)
class Span:
    """A shaded stretch of x, with a few words."""

    start: Value
    end: Value
    text: str


@dataclass
class _Frame:
    x: Axis
    y: Axis
    width: int
    height: int
    categories: list[str] = field(default_factory=list)

    @property
    def right(self) -> int:
        return self.width - _RIGHT

    @property
    def room(self) -> int:
        """Pixels from the left end of the x axis to its right end."""
        return self.right - _LEFT

    @property
    def slanted(self) -> bool:
        """Whether names of categories are longer than the room of each."""
        longest = max((len(name) for name in self.categories), default=0)
        return longest * _LETTER > self.room / max(1, len(self.categories))

    @property
    def bottom(self) -> float:
        """Where the x axis lies."""
        if not self.slanted:
            return self.height - _BOTTOM
        return self.height - 22 - 0.55 * _LETTER * min(_LONGEST, max(len(name) for name in self.categories))

    def across(self, value: Value) -> float:
        return _LEFT + self.x.place(number(value, self.categories)) * self.room

    def up(self, value: float) -> float:
        return self.bottom - self.y.place(value) * (self.bottom - _TOP)


def chart(
    series: Sequence[Series],
    *,
    title: str,
    y: str = "",
    marks: Sequence[Mark] = (),
    spans: Sequence[Span] = (),
    zero: bool = False,
    height: int = 240,
) -> str:
    """The chart as a figure; ``title`` is read aloud, ``y`` stands at the axis, ``zero`` keeps 0 in view.

    Raises `UsageError` when there is nothing to draw, or lengths differ.
    """
    _check(series, title)
    zero = zero or any(part.form == "bars" for part in series)
    pictures = "".join(
        _picture(_frame(series, marks, spans, zero, width, height), series, title, y, marks, spans, shown)
        for shown, width in WIDTHS.items()
    )
    legend = _legend(series) if len(series) > 1 else ""
    return f"<figure>{pictures}{legend}</figure>"


def _picture(
    frame: _Frame,
    series: Sequence[Series],
    title: str,
    y: str,
    marks: Sequence[Mark],
    spans: Sequence[Span],
    shown: str,
) -> str:
    parts = [*_grid(frame, y), *_spans(frame, spans)]
    bars = [part for part in series if part.form == "bars"]
    for place, part in enumerate(series):
        style = f"s{place % 6}{' muted' if part.muted else ''}"
        if part.form == "bars":
            parts += _bars(frame, part, style, bars.index(part), len(bars))
        elif part.form == "points":
            parts += _points(frame, part, style)
        else:
            parts += _line(frame, part, style)
    parts += _marks(frame, marks)
    return (
        f'<svg class="chart {shown}" viewBox="0 0 {frame.width} {frame.height}" role="img" '
        f'aria-label="{escape(title, quote=True)}"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def _check(series: Sequence[Series], title: str) -> None:
    if not any(True for part in series for _ in _seen(part)):
        raise UsageError(f"there is nothing to draw in {title!r}", fix="Give at least one finite value")
    for part in series:
        for name, values in (("y", part.y), ("low", part.low), ("high", part.high)):
            if len(values) != len(part.x) and (name == "y" or len(values)):
                raise UsageError(f"{part.name!r} has {len(part.x)} x and {len(values)} {name}", where=title)


def _seen(part: Series) -> Iterator[tuple[Value, float, float, float]]:
    """Each drawn value with its x, low and high."""
    for place, (x, y) in enumerate(zip(part.x, part.y, strict=False)):
        if _finite(y):
            low = part.low[place] if len(part.low) else y
            high = part.high[place] if len(part.high) else y
            yield x, float(y), float(low) if _finite(low) else float(y), float(high) if _finite(high) else float(y)


def _finite(value: float | None) -> TypeIs[float]:
    return value is not None and math.isfinite(value)


def _frame(
    series: Sequence[Series], marks: Sequence[Mark], spans: Sequence[Span], zero: bool, width: int, height: int
) -> _Frame:
    drawn = [item for part in series for item in _seen(part)]
    xs = [item[0] for item in drawn]
    low, high = min(item[2] for item in drawn), max(item[3] for item in drawn)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    up = number_axis(low, high)
    if isinstance(xs[0], str):
        categories = list(dict.fromkeys(str(x) for x in xs))
        return _Frame(category_axis(categories), up, width, height, categories)
    ends = [number(x) for x in [*xs, *(mark.x for mark in marks)]]
    ends += [number(end) for span in spans for end in (span.start, span.end)]
    left, right, wanted = min(ends), max(ends), max(2, width // 120)
    if isinstance(xs[0], dt.date):
        across = time_axis(left, right, wanted)
    else:
        ticks = number_axis(left, right, wanted).ticks
        across = Axis(left, right if right > left else left + 1, [tick for tick in ticks if left <= tick[0] <= right])
    if any(part.form == "bars" for part in series):
        half = (across.high - across.low) / max(1, 2 * (len(set(xs)) - 1) or 2)
        across = Axis(across.low - half, across.high + half, across.ticks)
    return _Frame(across, up, width, height)


def _grid(frame: _Frame, y: str) -> Iterator[str]:
    for at, text in frame.y.ticks:
        up = frame.up(at)
        kind = "axis" if at == 0 else "grid"
        yield f'<line class="{kind}" x1="{_LEFT}" x2="{frame.right}" y1="{up:.1f}" y2="{up:.1f}"/>'
        yield f'<text class="tick" x="{_LEFT - 6}" y="{up + 4:.1f}" text-anchor="end">{escape(text)}</text>'
    for at, text in frame.x.ticks:
        across, below = _LEFT + frame.x.place(at) * frame.room, frame.bottom + 18
        if frame.slanted:
            text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
            turned = f'transform="rotate(-33 {across:.1f} {below - 4:.1f})"'
            yield f'<text class="name" x="{across:.1f}" y="{below - 4:.1f}" text-anchor="end" {turned}>'
        else:
            # A word at an end of the axis must not run over the picture's edge.
            middle = min(across, frame.width - 2 - len(text) * _LETTER / 2)
            yield f'<text class="tick" x="{middle:.1f}" y="{below:.1f}" text-anchor="middle">'
        yield f"{escape(text)}</text>"
    if y:
        yield f'<text class="unit" x="8" y="16">{escape(y)}</text>'


def _spans(frame: _Frame, spans: Sequence[Span]) -> Iterator[str]:
    for span in spans:
        left, right = frame.across(span.start), frame.across(span.end)
        yield f'<rect class="span" x="{left:.1f}" y="{_TOP}" width="{max(1.0, right - left):.1f}" '
        yield f'height="{frame.bottom - _TOP:.1f}"/>'
        yield f'<text class="note" x="{right - 4:.1f}" y="{_TOP + 12}" text-anchor="end">{escape(span.text)}</text>'


def _marks(frame: _Frame, marks: Sequence[Mark]) -> Iterator[str]:
    for place, mark in enumerate(marks):
        at = frame.across(mark.x)
        anchor, shift = ("end", -5) if at > frame.width * 0.6 else ("start", 5)
        yield f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{frame.bottom:.1f}"/>'
        yield f'<text class="note" x="{at + shift:.1f}" y="{_TOP + 28 + 16 * place}" text-anchor="{anchor}">'
        yield f"{escape(mark.text)}</text>"


def _line(frame: _Frame, part: Series, style: str) -> Iterator[str]:
    for piece in _pieces(part):
        if len(part.low) and len(part.high):
            top = " ".join(f"{frame.across(x):.1f},{frame.up(high):.1f}" for x, _, _, high in piece)
            bottom = " ".join(f"{frame.across(x):.1f},{frame.up(low):.1f}" for x, _, low, _ in reversed(piece))
            yield f'<polygon class="band {style}" points="{top} {bottom}"/>'
        points = " ".join(f"{frame.across(x):.1f},{frame.up(y):.1f}" for x, y, _, _ in piece)
        if len(piece) == 1:
            x, y, _, _ = piece[0]
            yield f'<circle class="dot {style}" cx="{frame.across(x):.1f}" cy="{frame.up(y):.1f}" r="2.5"/>'
        else:
            yield f'<polyline class="line {style}" points="{points}"/>'


def _pieces(part: Series) -> Iterator[list[tuple[Value, float, float, float]]]:
    """The stretches of a line between its gaps."""
    seen = list(_seen(part))
    gaps = {place for place, value in enumerate(part.y) if not _finite(value)}
    piece: list[tuple[Value, float, float, float]] = []
    drawn = iter(seen)
    for place in range(len(part.y)):
        if place in gaps:
            if piece:
                yield piece
            piece = []
        else:
            piece.append(next(drawn))
    if piece:
        yield piece


def _bars(frame: _Frame, part: Series, style: str, place: int, of: int) -> Iterator[str]:
    xs = sorted({number(x, frame.categories) for x in part.x})
    apart = min((b - a for a, b in itertools.pairwise(xs)), default=frame.x.high - frame.x.low)
    room = apart / (frame.x.high - frame.x.low) * frame.room * 0.78
    width = max(1.0, room / of)
    zero = frame.up(0.0)
    for x, y, low, high in _seen(part):
        left = frame.across(x) - room / 2 + place * width
        top = min(frame.up(y), zero)
        yield f'<rect class="bar {style}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
        yield f'height="{abs(frame.up(y) - zero):.1f}">{_tip(part, x, y)}</rect>'
        if len(part.low):
            yield _whisker(frame, left + width / 2, low, high, "edge")


def _points(frame: _Frame, part: Series, style: str) -> Iterator[str]:
    for x, y, low, high in _seen(part):
        at = frame.across(x)
        if len(part.low):
            yield _whisker(frame, at, low, high, style)
        yield f'<circle class="dot {style}" cx="{at:.1f}" cy="{frame.up(y):.1f}" r="4">'
        yield f"{_tip(part, x, y)}</circle>"


def _tip(part: Series, x: Value, y: float) -> str:
    return f"<title>{escape(part.name)} {escape(str(x))}: {y:,g}</title>"


def _whisker(frame: _Frame, at: float, low: float, high: float, style: str) -> str:
    top, bottom = frame.up(high), frame.up(low)
    return f'<path class="whisker {style}" d="M{at - 4:.1f} {top:.1f}h8m-4 0V{bottom:.1f}m-4 0h8"/>'


def _legend(series: Sequence[Series]) -> str:
    names = "".join(
        f'<li class="s{place % 6}{" muted" if part.muted else ""}">{escape(part.name)}</li>'
        for place, part in enumerate(series)
    )
    return f'<ul class="legend">{names}</ul>'
