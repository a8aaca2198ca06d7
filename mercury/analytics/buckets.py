"""Buckets of local time, for rows as SQL expressions and for the times of cells as arrays.

Minutes and hours are named by the instant at which they begin, so the two hours from 01:00 on the night that clocks go
back stay two. Days, weeks (from Monday), months, quarters and years are named by the date of their first day.

An engine only adds offsets that are written into the expression. Rows of many years need many of them; such an
expression is split into several, each for a stretch of time, since the length of an expression is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.analytics.calendars import FIXED, Segment, clocks
from mercury.time import DAY, SECOND, to_iso

LONGEST = 8_000
"""Characters of one expression."""

GAP = 400 * DAY
"""Stretches that are nearer to each other are one: a row of a far year shall not bring in all years between."""


@dataclass(frozen=True)
class RowBuckets:
    """SQL of the bucket that a row falls in, right for the rows that meet ``condition``; None for all."""

    condition: str | None
    sql: str


def row_buckets(time: str, grain: str, zone: str, stretches: Sequence[tuple[int, int]]) -> list[RowBuckets]:
    """Expressions that together, each over its own rows, put every row into its bucket.

    Parameters
    ----------
    time : SQL of the instant; rows without one are among the first.
    grain : one of `calendars.ORDER`; minutes and hours give a timestamp, the others a date.
    stretches : in order and apart; all instants lie in them.
    """
    return _split(time, grain, clocks(zone, stretches) or clocks(zone, [(0, 0)]), None, None)


def cell_expression(time: str, grain: str, shift: int) -> str:
    """SQL of the beginning of the cell of fixed length that an instant falls in."""
    return _floored(time, grain, -shift % FIXED[grain])


def buckets_of(times: pa.Array, grain: str, zone: str) -> pa.Array:
    """The bucket of each instant, as `row_buckets` names it."""
    instants = times.cast(pa.int64())
    known = instants.fill_null(0).to_numpy(zero_copy_only=False)
    parts = clocks(zone, stretches_of(instants.drop_null().to_numpy(zero_copy_only=False)) or [(0, 0)])
    place = np.searchsorted(np.array([part.end for part in parts]), known, side="right")
    offsets = np.array([part.offset for part in parts])[np.minimum(place, len(parts) - 1)]
    local = known + offsets
    if grain in FIXED:
        begin = pa.array(local - local % FIXED[grain] - offsets, mask=_nulls(instants))
        return begin.cast(pa.timestamp("us", tz="UTC"))
    return coarser_days(pa.array((local // DAY).astype(np.int32), mask=_nulls(instants)).cast(pa.date32()), grain)


def coarser_days(days: pa.Array, grain: str) -> pa.Array:
    """The first day of the bucket that each day falls in."""
    return days if grain == "day" else pc.floor_temporal(days, unit=grain).cast(pa.date32())


def stretches_of(instants: np.ndarray) -> list[tuple[int, int]]:
    """Stretches, in order and apart, that hold these instants."""
    if not len(instants):
        return []
    found = np.sort(instants)
    ends = np.flatnonzero(np.diff(found) > GAP)
    lows, highs = found[np.r_[0, ends + 1]], found[np.r_[ends, len(found) - 1]]
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def joined(stretches: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same time in stretches that are in order and apart."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(stretches):
        if found and low - found[-1][1] <= GAP:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found


def clipped(stretches: Sequence[tuple[int, int]], start: int | None, end: int | None) -> list[tuple[int, int]]:
    """What of the stretches lies in ``[start, end)``; None for no bound."""
    cut = [
        (low if start is None else max(low, start), high if end is None else min(high, end)) for low, high in stretches
    ]
    return [(low, high) for low, high in cut if low <= high]


def _split(time: str, grain: str, parts: Sequence[Segment], start: int | None, end: int | None) -> list[RowBuckets]:
    text = _bucket(time, grain, parts)
    if len(text) <= LONGEST:
        return [RowBuckets(_within(time, start, end), text)]
    half = len(parts) // 2
    middle = parts[half].start
    return [*_split(time, grain, parts[:half], start, middle), *_split(time, grain, parts[half:], middle, end)]


def _within(time: str, start: int | None, end: int | None) -> str | None:
    if start is None:
        return None if end is None else f"{time} < TIMESTAMP '{to_iso(end)}' OR {time} IS NULL"
    after = f"{time} >= TIMESTAMP '{to_iso(start)}'"
    return after if end is None else f"{after} AND {time} < TIMESTAMP '{to_iso(end)}'"


def _bucket(time: str, grain: str, parts: Sequence[Segment]) -> str:
    if grain in FIXED:
        return _chosen(time, parts, lambda part: _floored(time, grain, part.offset % FIXED[grain]))
    local = _chosen(time, parts, lambda part: _shifted(time, part.offset))
    return f"cast({local} AS date)" if grain == "day" else f"cast(date_trunc('{grain}', {local}) AS date)"


def _chosen(time: str, parts: Sequence[Segment], value: Callable[[Segment], str]) -> str:
    """SQL of a segment's value, by halves: of n segments an engine compares a row with log n."""
    texts = [value(part) for part in parts]
    # Neighbours with one value are one; between two stretches there is no row.
    changes = [place + 1 for place, (one, other) in enumerate(pairwise(texts)) if one != other]
    return _halved(time, [parts[place].start for place in changes], [texts[place] for place in [0, *changes]])


def _halved(time: str, starts: Sequence[int], texts: Sequence[str]) -> str:
    if not starts:
        return texts[0]
    half = len(starts) // 2
    earlier, later = (
        _halved(time, starts[:half], texts[: half + 1]),
        _halved(time, starts[half + 1 :], texts[half + 1 :]),
    )
    return f"CASE WHEN {time} < TIMESTAMP '{to_iso(starts[half])}' THEN {earlier} ELSE {later} END"


def _shifted(time: str, offset: int) -> str:
    return time if not offset else f"({time} + INTERVAL '{offset // SECOND} seconds')"


def _floored(time: str, grain: str, offset: int) -> str:
    if not offset:
        return f"date_trunc('{grain}', {time})"
    return f"(date_trunc('{grain}', {_shifted(time, offset)}) - INTERVAL '{offset // SECOND} seconds')"


def _nulls(values: pa.Array) -> np.ndarray | None:
    return values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
