"""How far apart the points of a panel are: detected on dirty time axes, and turned into whole steps.

A frequency maps times to integers and back, so that a gap, a copy or a stamp off the grid is seen as one, and kernels
that work by position never see an irregular axis.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mercury.errors import DataError
from mercury.time import DAY, HOUR, MINUTE, SECOND, WEEK, to_iso

Unit = Literal["fixed", "month_start", "month_end", "business"]

ON_GRID = 0.9
"""Share of stamps that must lie on the grid; the others are named."""

NAMES = {
    "min": ("fixed", MINUTE), "h": ("fixed", HOUR), "D": ("fixed", DAY), "W": ("fixed", WEEK), "B": ("business", 1),
    "MS": ("month_start", 1), "ME": ("month_end", 1), "QS": ("month_start", 3), "QE": ("month_end", 3),
    "YS": ("month_start", 12), "YE": ("month_end", 12), "s": ("fixed", SECOND),
}  # fmt: skip
"""What a user may write; a number before it multiplies, as in 15min."""

_MONTH = 30.436875 * DAY

_SPARSE = 6
"""Steps between neighbours, at the most, where a row in each step is not usual: days of a shop that rarely sells.
Seven would make days of weeks that a holiday has moved."""

_TELLING = 4
"""Rows that tell the frequency of a series by itself."""

_MOST = 10_000
"""Of a unit in one step."""

_SEASONS = {("fixed", MINUTE): (60, 1440), ("fixed", HOUR): (24, 168), ("fixed", DAY): (7, 365),
            ("fixed", WEEK): (52,), ("business", 1): (5,)}  # fmt: skip


@dataclass(frozen=True)
class Frequency:
    """The grid of a time axis.

    Parameters
    ----------
    unit : ``fixed`` steps of ``size`` microseconds, months counted by their first or last day, or business days.
    size : microseconds, or months, of one step.
    anchor : microseconds of a point on the grid, for fixed steps.
    """

    unit: Unit
    size: int
    anchor: int = 0

    @property
    def name(self) -> str:
        """As a user writes it.

        >>> Frequency("fixed", 15 * MINUTE).name
        '15min'
        """
        for name, (unit, size) in NAMES.items():
            if unit == self.unit and size == self.size:
                return name
        units = [(name, size) for name, (unit, size) in NAMES.items() if unit == self.unit]
        name, size = max(
            (pair for pair in units if self.size % pair[1] == 0), key=lambda pair: pair[1], default=("us", 1)
        )
        return f"{self.size // size}{name}"

    @property
    def seasons(self) -> tuple[int, ...]:
        """Lengths of seasons that are usual at this frequency, in steps; the data decide whether they are there."""
        if self.unit in ("month_start", "month_end"):
            return (12 // self.size,) if 12 % self.size == 0 and self.size < 12 else ()
        known = _SEASONS.get((self.unit, self.size))
        if known is None and self.unit == "fixed":
            return tuple(
                length // self.size for length in (DAY, WEEK) if self.size < length and length % self.size == 0
            )
        return known or ()

    def step(self, times: np.ndarray) -> np.ndarray:
        """Whole steps of times (microseconds UTC), counted from 1970; -2**62 for one that is off the grid."""
        if self.unit == "fixed":
            offset = times - self.anchor
            return np.where(offset % self.size == 0, offset // self.size, _OFF)
        days = times.astype("datetime64[us]").astype("datetime64[D]")
        midnight = times % DAY == 0
        if self.unit == "business":
            steps = np.busday_count(np.datetime64("1970-01-01", "D"), days)
            return np.where(midnight & np.is_busday(days), steps, _OFF)
        months = days.astype("datetime64[M]")
        first = months.astype("datetime64[D]")
        last = (months + 1).astype("datetime64[D]") - 1
        right = days == (first if self.unit == "month_start" else last)
        number = months.astype(np.int64) - (0 if self.unit == "month_start" else self.size - 1)
        phase = self.anchor
        return np.where(midnight & right & ((number - phase) % self.size == 0), (number - phase) // self.size, _OFF)

    def time(self, steps: np.ndarray) -> np.ndarray:
        """Times of steps, microseconds UTC."""
        if self.unit == "fixed":
            return self.anchor + steps * self.size
        if self.unit == "business":
            days = np.busday_offset(np.datetime64("1970-01-01", "D"), steps, roll="forward")
            return days.astype("datetime64[us]").astype(np.int64)
        months = (self.anchor + steps * self.size).astype("datetime64[M]")
        if self.unit == "month_end":
            days = (months + self.size).astype("datetime64[D]") - 1
        else:
            days = months.astype("datetime64[D]")
        return days.astype("datetime64[us]").astype(np.int64)


_OFF = -(2**62)


def is_off(steps: np.ndarray) -> np.ndarray:
    """Which steps stand for a time off the grid."""
    return steps == _OFF


def parse_frequency(text: str, times: np.ndarray) -> Frequency:
    """What a user wrote, anchored at the earliest time."""
    from mercury.errors import UsageError, did_you_mean

    digits = len(text) - len(text.lstrip("0123456789"))
    count, name = int(text[:digits] or 1), text[digits:]
    if name not in NAMES or not 1 <= count <= _MOST:
        raise UsageError(f"{text!r} is no frequency", where="--freq", fix=did_you_mean(name, NAMES))
    unit, size = NAMES[name]
    return _anchored(unit, size * count, times)  # type: ignore[arg-type]


def detect(
    times: np.ndarray, series: np.ndarray, row: Callable[[int], str] = "place {}".format
) -> tuple[Frequency, str]:
    """The frequency of a panel and why, from the gaps between neighbours in every series.

    Parameters
    ----------
    times : microseconds UTC, sorted within each series.
    series : number of the series of each time.
    row : of a place in them, how a person finds it.

    Raises `DataError` when no grid holds nine tenths of the stamps.
    """
    inside = series[1:] == series[:-1]
    gaps = np.diff(times)[inside]
    gaps = gaps[gaps > 0]
    if not len(gaps):
        return _anchored("fixed", DAY, times), "no series has two points: taken for daily"
    sizes, counts = np.unique(gaps, return_counts=True)
    tried = []
    for unit, size in _candidates(int(sizes[counts.argmax()]), int(np.gcd.reduce(sizes)), times):
        frequency = _anchored(unit, size, times)
        steps = frequency.step(times)
        share = float((~is_off(steps)).mean())
        tried.append((share, frequency))
        if share >= ON_GRID:
            same = int((np.diff(steps)[inside] == 1).sum())
            few = f"{share:.0%} of the times lie on it, " if 2 * same < len(gaps) else ""
            return frequency, f"{few}{same:,} of {len(gaps):,} neighbours are one step apart"
    share, best = max(tried, key=lambda pair: pair[0])
    first = int(np.flatnonzero(is_off(best.step(times)))[0])
    raise DataError(
        f"the times have no frequency: only {share:.0%} lie on a grid of {best.name}, not {to_iso(int(times[first]))}",
        where=row(first),
        fix="Name it with --freq, or bring the rows to one frequency",
    )


def of_each(times: np.ndarray, series: np.ndarray) -> dict[str, list[int]]:
    """Names of frequencies, and the series that have them by themselves; those without one, or too short, in none.

    Parameters
    ----------
    times, series : as for `detect`.
    """
    found: dict[str, list[int]] = {}
    edges = np.flatnonzero(np.concatenate([[True], series[1:] != series[:-1], [True]]))
    for low, high in itertools.pairwise(edges):
        if high - low < _TELLING:
            continue
        with contextlib.suppress(DataError):
            mine, _ = detect(times[low:high], series[low:high])
            found.setdefault(mine.name, []).append(int(series[low]))
    return found


def _candidates(usual: int, common: int, times: np.ndarray) -> list[tuple[Unit, int]]:
    """Grids to try, the likeliest first: of the usual gap between neighbours, and of what all gaps are multiples of."""
    midnight = bool((times % DAY == 0).mean() >= ON_GRID)
    found: list[tuple[Unit, int]] = []
    if midnight and usual >= 28 * DAY:
        for months in dict.fromkeys((max(1, round(usual / _MONTH)), 1)):
            found += [("month_start", months), ("month_end", months)]
    if midnight and usual == DAY:
        days = times.astype("datetime64[us]").astype("datetime64[D]")
        if np.is_busday(days).all() and times.max() - times.min() > 13 * DAY:
            found.append(("business", 1))
    found.append(("fixed", usual))
    if common < usual <= _SPARSE * common:
        found.append(("fixed", common))
    return found


def _anchored(unit: Unit, size: int, times: np.ndarray) -> Frequency:
    if unit == "fixed":
        phases, counts = np.unique(times % size, return_counts=True)
        return Frequency("fixed", size, int(phases[counts.argmax()]))
    if unit == "business" or size == 1:
        return Frequency(unit, size)
    months = times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    number = months - (0 if unit == "month_start" else size - 1)
    phases, counts = np.unique(number % size, return_counts=True)
    return Frequency(unit, size, int(phases[counts.argmax()]))
