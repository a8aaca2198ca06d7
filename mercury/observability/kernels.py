"""Counting float64 values on edges: a guide finds the few edges that a value may lie between, then a look at those."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

CELLS = 8192
"""Cells of a guide; with a thousand edges most hold one edge or none."""

FEW = 4
"""Edges that are looked at one after the other, which a processor foresees; more are halved first."""


@dataclass(frozen=True)
class Grid:
    """Equal cells between two numbers, in the order of the values; the first and the last one take what lies outside.

    A value falls into cell ``(value - low) * scale``, rounded down and clipped. Subtracting and multiplying never turn
    an order round, so whatever lies in a lower cell is less than the value, and what lies in a higher one greater.
    """

    low: float
    scale: float
    cells: int

    @classmethod
    def over(cls, ordered: np.ndarray, cells: int) -> Grid:
        """Over the middle of rising numbers, since the ends of heavy tails lie far out; one cell if all are equal."""
        if not len(ordered):
            return cls(0.0, 0.0, cells)
        low, high = float(ordered[len(ordered) // 100]), float(ordered[-1 - len(ordered) // 100])
        width = high - low
        return cls(low, cells / width if 1e-300 < width < np.inf else 0.0, cells)


@dataclass(frozen=True)
class Guide:
    """Where to look for a value among rising edges: between ``starts[cell]`` and ``starts[cell + 1]``.

    ``cuts`` are the edges with an infinite one after them, at which every search ends.
    """

    cuts: np.ndarray
    grid: Grid
    starts: np.ndarray

    @classmethod
    def of(cls, edges: np.ndarray) -> Guide:
        """The guide of these edges."""
        grid = Grid.over(edges, CELLS)
        found = _cells(edges, grid.low, grid.scale, CELLS)
        starts = np.searchsorted(found, np.arange(CELLS + 1), side="left")
        return cls(np.r_[edges, np.inf], grid, starts.astype(np.int32))


@numba.njit(cache=True, nogil=True, inline="always")
def cell(value: float, low: float, scale: float, cells: int) -> int:  # pragma: no cover
    """The cell of a value in a grid."""
    place = (value - low) * scale
    if not place > 0.0:
        return 0
    return int(place) if place < cells - 1 else cells - 1


@numba.njit(cache=True, nogil=True)
def _cells(values: np.ndarray, low: float, scale: float, cells: int) -> np.ndarray:  # pragma: no cover
    out = np.empty(len(values), np.int64)
    for place in range(len(values)):
        out[place] = cell(values[place], low, scale, cells)
    return out


@numba.njit(cache=True, nogil=True)
def count(
    values: np.ndarray,
    cuts: np.ndarray,
    low: float,
    scale: float,
    starts: np.ndarray,
    counts: np.ndarray,
    totals: np.ndarray,
) -> tuple[int, float, float, float]:  # pragma: no cover
    """Add each value to its slot; returns how many are finite, the least and the greatest of them, and their sum.

    ``cuts`` and ``starts`` are a guide's. ``counts`` (int64) and ``totals`` (float64) are by slot, two more than there
    are bins between the edges, and one for NaN, as `mercury.observability.reference` numbers them.
    """
    finite, least, greatest, total = 0, np.inf, -np.inf, 0.0
    last = len(counts) - 1
    for row in range(len(values)):
        value = values[row] + 0.0
        if not abs(value) < np.inf:
            slot = last if value != value else (0 if value < 0 else last - 1)
            counts[slot] += 1
            continue
        place = cell(value, low, scale, CELLS)
        left, right = starts[place], starts[place + 1]
        while right - left > FEW:
            middle = (left + right) >> 1
            if cuts[middle] <= value:
                left = middle + 1
            else:
                right = middle
        while cuts[left] <= value:
            left += 1
        counts[left + 1] += 1
        totals[left + 1] += value
        finite += 1
        total += value
        least = min(least, value)
        greatest = max(greatest, value)
    return finite, least, greatest, total


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def squares(values: np.ndarray, mean: float) -> float:  # pragma: no cover
    """The sum of squared differences of the finite values from a mean, in any order."""
    out = 0.0
    for row in range(len(values)):
        apart = values[row] - mean
        out += apart * apart if abs(apart) < np.inf else 0.0
    return out
