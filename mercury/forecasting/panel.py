"""A panel of series on one regular time axis, and how a dirty table becomes one: every repair is counted and told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from mercury.errors import DataError
from mercury.forecasting.arrays import to_numpy
from mercury.forecasting.frequency import Frequency, detect, is_off, of_each, parse_frequency
from mercury.time import to_iso

Gaps = Literal["auto", "interpolate", "zero", "refuse"]
Duplicates = Literal["refuse", "sum", "mean", "last"]

MOST_MISSING = 0.2
"""Share of a series that may be filled without being asked."""

MOST_STEPS = 200_000_000
"""Steps of all series together, from the first to the last row of each: 1.6 GB."""

LARGEST = 1e100
"""The sum of the squares of larger values may not be a number any more."""


@dataclass(frozen=True)
class Panel:
    """Series of numbers at equal steps, one after the other in one array.

    Parameters
    ----------
    ids : name of each series.
    starts : step of the first value of each.
    values : float64, all series one after the other, without gaps.
    edges : where each series begins in ``values``, and the end: ``len(ids) + 1`` numbers.
    frequency : what a step is.
    notes : what was detected and repaired, for people.
    """

    ids: tuple[str, ...]
    starts: np.ndarray
    values: np.ndarray
    edges: np.ndarray
    frequency: Frequency
    notes: tuple[str, ...] = ()
    has_ids: bool = True

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Points of each series."""
        return np.diff(self.edges)

    def series(self, number: int) -> np.ndarray:
        """The values of one series."""
        return self.values[self.edges[number] : self.edges[number + 1]]

    def least(self) -> np.ndarray:
        """The least value of each series, NaN of one without any."""
        return self._reduced(np.minimum)

    def constant(self) -> np.ndarray:
        """Which series have one value only, as often as it may be."""
        return self._reduced(np.maximum) == self.least()

    def _reduced(self, ufunc: np.ufunc) -> np.ndarray:
        there = self.lengths > 0
        found = np.full(len(self), np.nan)
        if there.any():
            found[there] = ufunc.reduceat(self.values, self.edges[:-1][there])
        return found

    def times(self, number: int) -> np.ndarray:
        """The times of one series, microseconds UTC."""
        return self.frequency.time(self.starts[number] + np.arange(self.lengths[number]))

    def head(self, lengths: np.ndarray) -> Panel:
        """The first points of each series; a series of which nothing is left stays, empty."""
        kept = np.minimum(self.lengths, np.maximum(lengths, 0))
        chosen = np.concatenate([np.arange(low, low + count) for low, count in zip(self.edges, kept, strict=False)]
                                or [np.empty(0, np.int64)])  # fmt: skip
        edges = np.concatenate([[0], np.cumsum(kept)])
        return dataclasses.replace(self, values=self.values[chosen.astype(np.int64)], edges=edges)


@dataclass
class _Rows:
    """Rows of a table by series and time, with their place in the file."""

    ids: list[str]
    series: np.ndarray
    times: np.ndarray
    values: np.ndarray
    place: np.ndarray
    where: str
    notes: list[str] = field(default_factory=list)

    def row(self, place: int) -> str:
        """A row as a person finds it: the first row of data is row 1."""
        return f"{self.where}, row {int(self.place[place]) + 1:,}"


def make_panel(
    ids: pa.Array | None,
    times: np.ndarray,
    values: np.ndarray,
    *,
    where: str = "the table",
    freq: str | None = None,
    gaps: Gaps = "auto",
    duplicates: Duplicates = "refuse",
    notes: tuple[str, ...] = (),
) -> Panel:
    """A panel of rows in any order.

    Parameters
    ----------
    ids : name of the series of each row; None makes one series.
    times : microseconds UTC.
    values : float64; NaN is a missing value.
    gaps : ``auto`` interpolates while at most a fifth of a series is missing and else refuses; ``zero`` means that
        where there is no row, nothing happened: so a series goes on to the panel's last time.
    duplicates : what to do with several rows of one series and time.

    Raises `DataError` with the row for values that are infinite, times off the grid, copies, and too many gaps.
    """
    rows = _sorted(ids, times, values, where)
    rows.notes += notes
    _require_finite(rows)
    if freq is not None:
        frequency, why = parse_frequency(freq, rows.times), "as given"
    else:
        frequency, why = detect(rows.times, rows.series, rows.row)
    rows.notes.append(f"frequency {frequency.name}: {why}")
    steps = frequency.step(rows.times)
    off = np.flatnonzero(is_off(steps))
    if len(off):
        _require_one_frequency(rows, frequency, off[0])
        raise DataError(
            f"{len(off):,} rows lie between the steps of {frequency.name}, one at {to_iso(int(rows.times[off[0]]))}",
            where=rows.row(off[0]),
            fix="Move or remove them, or name another frequency with --freq",
        )
    rows, steps = _without_copies(rows, steps, duplicates)
    return _filled(rows, steps, frequency, gaps, ids is not None)


def _sorted(ids: pa.Array | None, times: np.ndarray, values: np.ndarray, where: str) -> _Rows:
    if not len(times):
        raise DataError("there are no rows to forecast", where=where, fix="Give at least one time and value")
    if ids is None:
        names, series = ["value"], np.zeros(len(times), np.int64)
    else:
        encoded = pa.chunked_array([ids]).combine_chunks().dictionary_encode()
        if encoded.null_count:
            first = int(np.flatnonzero(encoded.is_null().to_numpy(zero_copy_only=False))[0])
            raise DataError("the id is missing", where=f"{where}, row {first + 1:,}", fix="Name the series of each row")
        names = [str(name) for name in encoded.dictionary.to_pylist()]
        order = np.argsort(np.array(names, dtype=object), kind="stable")
        rank = np.empty(len(names), np.int64)
        rank[order] = np.arange(len(names))
        names, series = [names[place] for place in order], rank[to_numpy(encoded.indices)]
    order = np.lexsort((np.arange(len(times)), times, series))
    return _Rows(names, series[order], times[order], values[order].astype(np.float64), order, where)


def _require_finite(rows: _Rows) -> None:
    infinite = np.flatnonzero(np.abs(rows.values) > LARGEST)
    if len(infinite):
        raise DataError(
            f"{len(infinite):,} values are infinite, or larger than {LARGEST:.0e}",
            where=rows.row(infinite[0]),
            fix="Write what was measured, or nothing",
        )


def _without_copies(rows: _Rows, steps: np.ndarray, duplicates: Duplicates) -> tuple[_Rows, np.ndarray]:
    again = (rows.series[1:] == rows.series[:-1]) & (steps[1:] == steps[:-1])
    if not again.any():
        return rows, steps
    first = int(np.flatnonzero(again)[0])
    if duplicates == "refuse":
        raise DataError(
            f"{int(again.sum()):,} rows repeat a time of their series: {rows.ids[rows.series[first]]!r} has two for "
            f"{to_iso(int(rows.times[first]))}",
            where=f"{rows.row(first)} and {int(rows.place[first + 1]) + 1:,}",
            fix="Remove them, name what tells series apart with --id, or say --duplicates sum, mean or last",
        )
    count = int(again.sum())
    rows, steps = _known(rows, steps)
    again = (rows.series[1:] == rows.series[:-1]) & (steps[1:] == steps[:-1])
    begins = np.concatenate([[True], ~again])[: len(steps)]
    if duplicates == "last":
        values = rows.values[np.concatenate([~again, [True]])[: len(steps)]]
    else:
        group = np.cumsum(begins) - 1
        values = np.bincount(group, weights=rows.values)
        if duplicates == "mean":
            values = values / np.bincount(group)
    rows.notes.append(f"{count:,} repeated times were joined by their {duplicates}")
    joined = dataclasses.replace(
        rows, series=rows.series[begins], times=rows.times[begins], values=values, place=rows.place[begins]
    )
    return joined, steps[begins]


def _known(rows: _Rows, steps: np.ndarray) -> tuple[_Rows, np.ndarray]:
    """Rows that have a value: one without is a missing step."""
    known = ~np.isnan(rows.values)
    if known.all():
        return rows, steps
    kept = dataclasses.replace(
        rows, series=rows.series[known], times=rows.times[known], values=rows.values[known], place=rows.place[known]
    )
    return kept, steps[known]


def _filled(rows: _Rows, steps: np.ndarray, frequency: Frequency, gaps: Gaps, has_ids: bool) -> Panel:
    """Each series from its first to its last known value, or the panel's last for ``zero``, every step there."""
    rows, steps = _known(rows, steps)
    if not len(steps):
        raise DataError("no series has a value", where=rows.where, fix="Name the column of values with --value")
    begins = np.flatnonzero(np.concatenate([[True], rows.series[1:] != rows.series[:-1]]))
    numbers, counts = rows.series[begins], np.diff(np.append(begins, len(steps)))
    starts, ends = steps[begins], steps[begins + counts - 1]
    early = np.flatnonzero(ends < ends.max())
    if gaps == "zero":
        early, ends = early[:0], np.full(len(ends), ends.max())
    names = tuple(rows.ids[number] for number in numbers)
    _require_room(rows.where, names, starts, ends, frequency)
    lengths = ends - starts + 1
    edges = np.concatenate([[0], np.cumsum(lengths)])
    values = np.full(int(edges[-1]), np.nan)
    values[np.repeat(edges[:-1] - starts, counts) + steps] = rows.values
    holed = np.flatnonzero(lengths > counts)
    for which in holed:
        mine = slice(begins[which], begins[which] + counts[which])
        share = 1 - counts[which] / lengths[which]
        _require_fillable(rows, mine, steps, float(share), gaps, frequency)
        part = values[edges[which] : edges[which + 1]]
        hole = np.isnan(part)
        part[hole] = 0.0 if gaps == "zero" else np.interp(np.flatnonzero(hole), np.flatnonzero(~hole), part[~hole])
    missing = int((lengths - counts).sum())
    rows.notes += _repairs(rows, names, [names[which] for which in early], missing, len(holed), gaps)
    return Panel(names, starts, values, edges, frequency, tuple(rows.notes), has_ids)


def _repairs(
    rows: _Rows, names: tuple[str, ...], early: list[str], missing: int, holed: int, gaps: Gaps
) -> Iterator[str]:
    empty = sorted(set(rows.ids) - set(names))
    if empty:
        have, are = ("have", "are") if len(empty) > 1 else ("has", "is")
        yield f"{len(empty):,} series {have} no value at all and {are} left out, as {empty[0]!r}"
    if early:
        yield (
            f"{len(early):,} of {len(names):,} series end before the others and are forecast from there, "
            f"as {early[0]!r}"
        )
    if missing:
        how = "zero" if gaps == "zero" else "interpolation"
        yield f"{missing:,} missing steps in {holed:,} of {len(names):,} series were filled by {how}"


def _require_room(where: str, names: tuple[str, ...], starts: np.ndarray, ends: np.ndarray, grid: Frequency) -> None:
    total = int((ends - starts + 1).sum())
    if total <= MOST_STEPS:
        return
    longest = int((ends - starts).argmax())
    first, last = (to_iso(int(at)) for at in grid.time(np.array([starts[longest], ends[longest]])))
    raise DataError(
        f"{total:,} steps of {grid.name} are too many, {names[longest]!r} alone goes from {first} to {last}",
        where=where,
        fix=f"Mend its times, or name a longer frequency with --freq; {MOST_STEPS:,} steps are the most",
    )


def _require_fillable(
    rows: _Rows, mine: slice, steps: np.ndarray, share: float, gaps: Gaps, frequency: Frequency
) -> None:
    if gaps in ("zero", "interpolate") or (gaps == "auto" and share <= MOST_MISSING):
        return
    hole = mine.start + int(np.flatnonzero(np.diff(steps[mine]) > 1)[0])
    if share > MOST_MISSING:
        _require_one_frequency(rows, frequency, hole)
    gone = to_iso(int(frequency.time(steps[hole : hole + 1] + 1)[0]))
    raise DataError(
        f"{share:.0%} of the steps of {rows.ids[rows.series[hole]]!r} are missing, the first at {gone}",
        where=f"after {rows.row(hole)}",
        fix="Say what a missing row means: --gaps zero (nothing happened) or --gaps interpolate (not measured)",
    )


def _require_one_frequency(rows: _Rows, frequency: Frequency, place: int) -> None:
    """Raise where the series of a row has another frequency than the panel: that is the fault then."""
    groups = of_each(rows.times, rows.series)
    mine = [name for name, numbers in groups.items() if int(rows.series[place]) in numbers]
    if len(groups) < 2 or mine in ([], [frequency.name]):
        return
    told = "; ".join(f"{name}: {len(numbers):,}, as {rows.ids[numbers[0]]!r}" for name, numbers in groups.items())
    raise DataError(
        f"the series are of {len(groups)} frequencies ({told})",
        where=rows.row(place),
        fix="Forecast each group from a file of its own, or say what a missing row means: --gaps zero or interpolate",
    )
