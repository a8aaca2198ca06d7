"""A panel of series on one regular time axis, and how a dirty table becomes one: every repair is counted and told."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from mercury.errors import DataError
from mercury.forecasting.frequency import Frequency, detect, is_off, parse_frequency
from mercury.time import to_iso

Gaps = Literal["auto", "interpolate", "zero", "refuse"]
Duplicates = Literal["refuse", "sum", "mean", "last"]

MOST_MISSING = 0.2
"""Share of a series that may be filled without being asked."""

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

    def times(self, number: int) -> np.ndarray:
        """The times of one series, microseconds UTC."""
        return self.frequency.time(self.starts[number] + np.arange(self.lengths[number]))

    def head(self, lengths: np.ndarray) -> Panel:
        """The first points of each series; a series of which nothing is left stays, empty."""
        kept = np.minimum(self.lengths, np.maximum(lengths, 0))
        chosen = np.concatenate([np.arange(low, low + count) for low, count in zip(self.edges, kept, strict=False)]
                                or [np.empty(0, np.int64)])  # fmt: skip
        edges = np.concatenate([[0], np.cumsum(kept)])
        return Panel(self.ids, self.starts, self.values[chosen.astype(np.int64)], edges, self.frequency)


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
        frequency, why = detect(rows.times, rows.series)
    rows.notes.append(f"frequency {frequency.name}: {why}")
    steps = frequency.step(rows.times)
    off = np.flatnonzero(is_off(steps))
    if len(off):
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
        names, series = [names[place] for place in order], rank[encoded.indices.to_numpy()]
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
            fix="Remove them, name the column that tells series apart with --id, or say --duplicates sum, mean or last",
        )
    begins = np.concatenate([[True], ~again])
    group = np.cumsum(begins) - 1
    count = np.bincount(group)
    if duplicates == "last":
        ends = np.concatenate([~again, [True]])
        values = rows.values[ends]
    else:
        values = np.bincount(group, weights=rows.values) / (count if duplicates == "mean" else 1)
    rows.notes.append(f"{int(again.sum()):,} repeated times were joined by their {duplicates}")
    kept = _Rows(rows.ids, rows.series[begins], rows.times[begins], values, rows.place[begins], rows.where, rows.notes)
    return kept, steps[begins]


def _filled(rows: _Rows, steps: np.ndarray, frequency: Frequency, gaps: Gaps, has_ids: bool) -> Panel:
    """Each series from its first to its last known value, or the panel's last for ``zero``, every step there."""
    known = ~np.isnan(rows.values)
    last = int(steps[known].max()) if known.any() else 0
    parts, starts, names, early, missing, filled = [], [], [], [], 0, 0
    for number, mine in _by_series(rows.series):
        mine = mine[known[mine]]
        name = rows.ids[number]
        if not len(mine):
            rows.notes.append(f"{name!r} has no value at all and is left out")
            continue
        start, end = int(steps[mine[0]]), last if gaps == "zero" else int(steps[mine[-1]])
        if end < last:
            early.append(name)
        length = end - start + 1
        holes = length - len(mine)
        values = np.full(length, np.nan)
        values[steps[mine] - start] = rows.values[mine]
        if holes:
            missing, filled = missing + holes, filled + 1
            _require_fillable(rows, mine, steps, name, holes / length, gaps, frequency)
            if gaps == "zero":
                values = np.nan_to_num(values)
            else:
                at = np.arange(length)
                there = ~np.isnan(values)
                values = np.interp(at, at[there], values[there])
        parts.append(values)
        starts.append(start)
        names.append(name)
    if not parts:
        raise DataError("no series has a value", where=rows.where, fix="Name the column of values with --value")
    if early:
        rows.notes.append(
            f"{len(early):,} of {len(parts):,} series end before the others and are forecast from there, "
            f"as {early[0]!r}"
        )
    if missing:
        how = "zero" if gaps == "zero" else "interpolation"
        rows.notes.append(f"{missing:,} missing steps in {filled:,} of {len(parts):,} series were filled by {how}")
    edges = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return Panel(tuple(names), np.array(starts), np.concatenate(parts), edges, frequency, tuple(rows.notes), has_ids)


def _require_fillable(
    rows: _Rows, mine: np.ndarray, steps: np.ndarray, name: str, share: float, gaps: Gaps, frequency: Frequency
) -> None:
    if gaps in ("zero", "interpolate") or (gaps == "auto" and share <= MOST_MISSING):
        return
    hole = int(np.flatnonzero(np.diff(steps[mine]) > 1)[0])
    gone = to_iso(int(frequency.time(np.array([steps[mine[hole]] + 1]))[0]))
    raise DataError(
        f"{share:.0%} of the steps of {name!r} are missing, the first at {gone}",
        where=f"after {rows.row(mine[hole])}",
        fix="Say what a missing row means: --gaps zero (nothing happened) or --gaps interpolate (not measured)",
    )


def _by_series(series: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    edges = np.flatnonzero(np.concatenate([[True], series[1:] != series[:-1], [True]]))
    for low, high in itertools.pairwise(edges):
        yield int(series[low]), np.arange(low, high)
