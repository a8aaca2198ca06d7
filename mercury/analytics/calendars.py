"""Calendars of time zones: which local minute, hour, day, week … an instant falls in, and where these begin.

One source, Python's `zoneinfo`, says what a zone's clocks showed, so an answer does not depend on the time zone
database of an engine; `mercury.analytics.buckets` puts rows and cells into the buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from mercury.errors import UsageError
from mercury.time import DAY, HOUR, MINUTE, SECOND, ceil, floor

FIXED = {"minute": MINUTE, "hour": HOUR}
"""Grains of a length, in microseconds; the others are counted in days."""

ORDER = ("minute", "hour", "day", "week", "month", "quarter", "year")

FIRST, LAST = -62_135_596_800 * SECOND + 3 * DAY, 253_402_300_800 * SECOND - 3 * DAY
"""What Python's times reach, but for days that another zone could push over the edge."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PROBE = 6 * HOUR
"""Clocks do not change twice within so long."""


@dataclass(frozen=True)
class Segment:
    """A stretch ``[start, end)`` of instants with one offset from UTC; all in microseconds."""

    start: int
    end: int
    offset: int


def segments(zone: str, low: int, high: int) -> tuple[Segment, ...]:
    """The stretches of constant offset that ``[low, high]`` falls into, in order and cut to it."""
    low, high = (max(FIRST, min(LAST, instant)) for instant in (low, high))
    changes = [
        (instant, offset)
        for year in range(_year(low), _year(high) + 1)
        for instant, offset in _changes(zone, year)
        if low < instant <= high
    ]
    starts = [(low, _offset(zone, low)), *changes]
    ends = [instant for instant, _ in changes] + [high + 1]
    return tuple(Segment(start, end, offset) for (start, offset), end in zip(starts, ends, strict=True))


def clocks(zone: str, stretches: Sequence[tuple[int, int]]) -> tuple[Segment, ...]:
    """The segments of several stretches of instants, which are in order and apart."""
    return tuple(part for low, high in stretches for part in segments(zone, low, high))


def common_shift(grain: str, parts: tuple[Segment, ...]) -> int | None:
    """Where cells of fixed length begin, as microseconds after whole ones in UTC; None when clocks moved within cells.

    Cells that have it are plain intervals, and every local bucket that is coarser is made of whole ones.
    """
    length = FIXED[grain]
    if not parts:
        return 0
    shift = -parts[0].offset % length
    aligned = all((part.offset + shift) % length == 0 for part in parts)
    # Where a stretch begins no clock was changed.
    changes = [part.start for before, part in pairwise(parts) if before.end == part.start]
    return shift if aligned and all((change - shift) % length == 0 for change in changes) else None


def next_boundary(instant: int, grain: str, zone: str, shift: int = 0) -> int:
    """The first instant, not before this one, at which a cell of the grain begins and all cells before have ended."""
    if grain in FIXED:
        return ceil(instant, FIXED[grain], shift)
    day = local_date(instant, zone)
    while True:
        start = _clean_start(day, zone)
        if start is not None and start >= instant:
            return start
        day += timedelta(days=1)


def last_boundary(instant: int, grain: str, zone: str, shift: int = 0) -> int:
    """The last instant, not after this one, at which a cell of the grain begins and all cells before have ended."""
    if grain in FIXED:
        return floor(instant, FIXED[grain], shift)
    day = local_date(instant, zone) + timedelta(days=1)
    while True:
        start = _clean_start(day, zone)
        if start is not None and start <= instant:
            return start
        day -= timedelta(days=1)


def day_start(day: date, zone: str) -> int:
    """The first instant of a local day; of a day that a zone left out, that of the next one."""
    extent = _extent(day, zone)
    return extent[0] if extent is not None else day_start(day + timedelta(days=1), zone)


def local_date(instant: int, zone: str) -> date:
    """The date that the zone's calendars show."""
    return _local(zone, max(FIRST, min(LAST, instant))).date()


def is_first_day(day: date, grain: str) -> bool:
    """Whether a bucket of days begins with this one."""
    if grain == "week":
        return day.weekday() == 0
    if grain == "quarter":
        return day.day == 1 and day.month % 3 == 1
    return grain == "day" or (day.day == 1 and (grain == "month" or day.month == 1))


def next_first_day(day: date, grain: str) -> date:
    """The first day of the bucket after the one that begins with this day."""
    if grain in ("day", "week"):
        return day + timedelta(days=1 if grain == "day" else 7)
    months = day.year * 12 + day.month - 1 + {"month": 1, "quarter": 3, "year": 12}[grain]
    return date(months // 12, months % 12 + 1, 1)


def read_instant(text: str, zone: str) -> int:
    """Microseconds UTC of ISO 8601 text; without an offset it is local time, of two such times the first.

    A local time that clocks jumped over is read with the offset before the jump, as `zoneinfo` does.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"{text!r} is not a time", fix="Write '2013-03-10', '2013-03-10 06:30' or with an offset, '…T06:30:00Z'"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    try:
        return _micros(moment)
    except OverflowError:
        raise UsageError(f"{text!r} is out of range", fix="Use years 1 to 9999") from None


def _clean_start(day: date, zone: str) -> int | None:
    """The first instant of a day, unless it does not exist or instants of the days before come after it."""
    extent = _extent(day, zone)
    if extent is None:
        return None
    for back in (1, 2):
        before = _extent(day - timedelta(days=back), zone)
        if before is not None and before[1] > extent[0]:
            return None
    return extent[0]


@lru_cache(maxsize=4096)
def _extent(day: date, zone: str) -> tuple[int, int] | None:
    """First instant of a local day and the end of its last one; None for a day that was left out."""
    low = (day.toordinal() - 719_163) * DAY
    pieces = []
    for part in segments(zone, low - 2 * DAY, low + 3 * DAY):
        start, end = max(part.start, low - part.offset), min(part.end, low + DAY - part.offset)
        if start < end:
            pieces.append((start, end))
    return (min(start for start, _ in pieces), max(end for _, end in pieces)) if pieces else None


@lru_cache(maxsize=4096)
def _changes(zone: str, year: int) -> tuple[tuple[int, int], ...]:
    """Instants of a UTC year at which the offset changes, with the new offset."""
    found = []
    at, end = (max(FIRST, min(LAST, _micros_of_year(number))) for number in (year, year + 1))
    before = _offset(zone, at - 1) if at > FIRST else _offset(zone, at)
    if _offset(zone, at) != before:
        found.append((at, _offset(zone, at)))
    while at < end:
        following = min(at + _PROBE, end)
        old, new = _offset(zone, at), _offset(zone, following)
        if old != new and following < end:
            found.append((_change(zone, at, following, old), new))
        elif old != new and _offset(zone, end - 1) != old:
            found.append((_change(zone, at, end - 1, old), _offset(zone, end - 1)))
        at = following
    return tuple(found)


def _change(zone: str, low: int, high: int, old: int) -> int:
    """The second at which the offset is no longer the old one."""
    while high - low > SECOND:
        middle = (low + high) // 2 // SECOND * SECOND
        if middle in (low, high):
            break
        low, high = (middle, high) if _offset(zone, middle) == old else (low, middle)
    return -(-high // SECOND) * SECOND if high % SECOND else high


def _offset(zone: str, instant: int) -> int:
    offset = _local(zone, instant).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)


def _local(zone: str, instant: int) -> datetime:
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone))


def _micros(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def _micros_of_year(year: int) -> int:
    return (date(min(9999, year), 1, 1).toordinal() - 719_163) * DAY if year <= 9999 else LAST


def _year(instant: int) -> int:
    return (_EPOCH + timedelta(microseconds=instant)).year
