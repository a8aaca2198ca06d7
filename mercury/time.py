"""Time as int64 microseconds UTC, and durations as people write them.

Inside Mercury an instant is an int64 count of microseconds since 1970-01-01T00:00:00Z, which reaches from the year
-290308 to 294247. Precision that is finer is rounded at the edge: feature times up, label times down, so that rounding
never lets a feature look newer than it was.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from mercury.errors import UsageError

MICROSECOND = 1
MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

_UNITS = {"us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
_PART = re.compile(r"([0-9]+)(us|ms|s|m|h|d|w)")


def duration(text: str) -> int:
    """Microseconds in a duration such as ``"500ms"``, ``"5m"``, ``"1d"`` or ``"1h30m"``.

    Raises `UsageError` for anything else, a bare number included: a duration always has a unit.

    >>> duration("1h30m") == 90 * MINUTE
    True
    """
    compact = text.strip().replace(" ", "")
    parts = _PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise UsageError(
            f"{text!r} is not a duration",
            fix="Write a whole number and a unit (us, ms, s, m, h, d, w), as in '5m', '1d' or '1h30m'",
        )
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def format_duration(microseconds: int) -> str:
    """The shortest text that `duration` reads back as the same number of microseconds.

    >>> format_duration(90 * MINUTE)
    '1h30m'
    >>> format_duration(0)
    '0s'
    """
    if microseconds < 0:
        raise UsageError(f"{microseconds} is not a duration", fix="A duration is not negative")
    rest, text = microseconds, ""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        number, rest = divmod(rest, _UNITS[unit])
        if number:
            text += f"{number}{unit}"
    return text or "0s"


def floor(instant: int, hop: int, origin: int = 0) -> int:
    """The start of the hop of length `hop` that holds `instant`; all in microseconds, right before 1970 as well.

    >>> floor(-1, HOUR) == -HOUR
    True
    """
    return instant - (instant - origin) % hop


def ceil(instant: int, hop: int, origin: int = 0) -> int:
    """The least boundary of hops of length `hop` that is not before `instant`.

    >>> ceil(1, HOUR) == HOUR and ceil(HOUR, HOUR) == HOUR
    True
    """
    return -floor(-instant, hop, -origin)


def from_datetime(moment: datetime) -> int:
    """Microseconds UTC of an aware datetime; a naive one raises `UsageError`, since its zone cannot be guessed."""
    if moment.tzinfo is None:
        raise UsageError(f"{moment.isoformat()} has no time zone", fix="Add one, as in '2013-01-01T00:00:00Z'")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def to_iso(instant: int) -> str:
    """ISO 8601 text in UTC, to the microsecond where there are any.

    >>> to_iso(-SECOND)
    '1969-12-31T23:59:59Z'
    """
    seconds, micros = divmod(instant, SECOND)
    days, seconds = divmod(seconds, 86_400)
    moment = datetime.fromordinal(days + 719_163).replace(
        hour=seconds // 3600, minute=seconds // 60 % 60, second=seconds % 60, microsecond=micros
    )
    return moment.isoformat() + "Z"


def parse_instant(text: str) -> int:
    """Microseconds UTC of ISO 8601 text with a zone, or of a bare date, which means its first instant in UTC.

    >>> to_iso(parse_instant("2013-01-01"))
    '2013-01-01T00:00:00Z'
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time", fix="Write ISO 8601, as in '2013-01-01T00:00:00Z'") from None
    if moment.tzinfo is None and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip()):
        moment = moment.replace(tzinfo=UTC)
    return from_datetime(moment)
