"""From data to picture: positions along an axis and the ticks that a person reads."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

Value = float | int | str | dt.date | dt.datetime

_DAY = 86_400.0
_TIME_STEPS = [
    (60.0 * minutes, form)
    for minutes, form in (
        (1, "%H:%M"), (5, "%H:%M"), (15, "%H:%M"), (60, "%H:%M"), (180, "%d %b %H:%M"), (360, "%d %b %H:%M"),
        (1440, "%d %b"), (2880, "%d %b"), (10_080, "%d %b"), (20_160, "%d %b"),
    )
]  # fmt: skip
"""Seconds between ticks and how to write them; beyond these, ticks are on first days of months."""

_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclass(frozen=True)
class Axis:
    """Positions from 0 to 1 of data along one axis, and its ticks: place, and text."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    def place(self, number: float) -> float:
        """Where a number lies, 0 at the low end and 1 at the high one."""
        return (number - self.low) / (self.high - self.low)


def number(value: Value, categories: Sequence[str] = ()) -> float:
    """A value as the axis counts it: seconds of an instant or day, the place of a category, a number as it is."""
    if isinstance(value, str):
        return float(categories.index(value))
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).timestamp()
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC).timestamp()
    return float(value)


def number_axis(low: float, high: float, wanted: int = 5) -> Axis:
    """An axis whose ends are ticks, at multiples of 1, 2 or 5 times a power of ten."""
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, 1e-100):
        # Values that no tick could tell apart.
        low, high = low - size / 2 - 0.5, high + size / 2 + 0.5
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if raw <= factor * power * (1 + 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = [(place * step, _written(place * step, digits)) for place in range(first, last + 1)]
    return Axis(first * step, last * step, ticks)


def time_axis(low: float, high: float, wanted: int = 6) -> Axis:
    """An axis of seconds since 1970, whose ticks are whole minutes, hours, days or months in UTC."""
    if low == high:
        low, high = low - _DAY / 2, high + _DAY / 2
    for step, form in _TIME_STEPS:
        if (high - low) / step <= wanted:
            first = math.ceil(low / step)
            places = [step * place for place in range(first, math.floor(high / step) + 1)]
            return Axis(low, high, [(at, _utc(at).strftime(form).lstrip("0")) for at in places])
    months = (high - low) / (30.44 * _DAY)
    step_months = next((step for step in _MONTH_STEPS if months / step <= wanted), _MONTH_STEPS[-1])
    ticks, at = [], _utc(low)
    for place in range(at.year * 12, _utc(high).year * 12 + 13, step_months):
        first_day = dt.datetime(place // 12, place % 12 + 1, 1, tzinfo=dt.UTC)
        if low <= first_day.timestamp() <= high:
            ticks.append((first_day.timestamp(), first_day.strftime("%b %Y" if first_day.month == 1 else "%b")))
    return Axis(low, high, ticks)


def category_axis(categories: Sequence[str]) -> Axis:
    """An axis with a place for each category, half a place free at both ends."""
    return Axis(-0.5, len(categories) - 0.5, [(float(place), name) for place, name in enumerate(categories)])


def _utc(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _written(value: float, digits: int) -> str:
    size = abs(value)
    if size >= 1e6 and digits == 0:
        return f"{value / 1e6:g}M"
    if size >= 1e4 and digits == 0:
        return f"{value / 1e3:g}k"
    return f"{value + 0.0:,.{digits}f}"
