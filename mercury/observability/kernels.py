"""Counting float64 values on edges: a guide finds the few edges that a value may lie between, then a look at those."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

CELLS = 8192
"""Cells of a guide; with a thousand edges most hold one edge or none."""

BLOCK = 2048
"""Values that are looked at several times in a row, while they are in the processor's nearest cache."""

FEW = np.uint64(4)
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

    ``cuts`` are the edges with an infinite one after them, at which every search ends; ``crowded`` says whether a cell
    that is not the first or the last holds more edges than are looked at one after the other.
    """

    cuts: np.ndarray
    grid: Grid
    starts: np.ndarray
    crowded: bool

    @classmethod
    def of(cls, edges: np.ndarray) -> Guide:
        """The guide of these edges."""
        grid = Grid.over(edges, CELLS)
        found = np.empty(len(edges), np.int32)
        cells_of(edges, grid.low, grid.scale, CELLS, found)
        starts = np.searchsorted(found, np.arange(CELLS + 1), side="left")
        crowded = bool(np.diff(starts)[1:-1].max() > FEW) or (len(edges) > 0 and grid.scale == 0.0)
        return cls(np.r_[edges, np.inf], grid, starts.astype(np.int32), crowded)


@numba.njit(cache=True, nogil=True)
def cells_of(values: np.ndarray, low: float, scale: float, cells: int, out: np.ndarray) -> None:  # pragma: no cover
    """The cell of each value in a grid; of what is not finite it is one more than the last."""
    # A loop without a branch, of which the compiler makes vectors; that is why other loops come after it, over blocks
    # that stay in the cache, and not in it.
    top = np.float64(cells - 1)
    for row in range(len(values)):
        place = (values[row] - low) * scale
        place = place if place > 0.0 else 0.0
        place = place if place < top else top
        out[row] = np.int32(place) if abs(values[row]) < np.inf else cells


@numba.njit(cache=True, nogil=True)
def tally(numbers: np.ndarray, counts: np.ndarray) -> None:  # pragma: no cover
    """Count whole numbers, from 0 on and below the length of ``counts``."""
    for row in range(len(numbers)):
        counts[np.uint64(numbers[row])] += 1


@numba.njit(cache=True, nogil=True)
def count(
    values: np.ndarray,
    cuts: np.ndarray,
    low: float,
    scale: float,
    starts: np.ndarray,
    crowded: bool,
    counts: np.ndarray,
    totals: np.ndarray,
    moments: np.ndarray,
) -> None:  # pragma: no cover
    """Add each value to its slot, and to the moments.

    ``cuts``, ``starts`` and ``crowded`` are a guide's. ``counts`` (int64) and ``totals`` (float64) are by slot, two
    more than there are bins between the edges, and one for NaN, as `mercury.observability.reference` numbers them.
    ``moments`` are of the finite values: their number, the least, the greatest, the mean, and the sum of squared
    differences from it.
    """
    finite, slots = np.empty(BLOCK), np.empty(BLOCK, np.int32)
    last = len(counts) - 1
    for begin in range(0, len(values), BLOCK):
        block = values[begin : begin + BLOCK]
        taken = _copy(block, finite)
        if taken < len(block):
            taken = 0
            for value in block:
                if abs(value) < np.inf:
                    finite[taken] = value + 0.0
                    taken += 1
                else:
                    counts[last if value != value else (0 if value < 0.0 else last - 1)] += 1
            if not taken:
                continue
        kept = finite[:taken]
        _search(kept, cuts, low, scale, starts, crowded, slots)
        for row in range(taken):
            slot = np.uint64(np.uint32(slots[row]))
            counts[slot] += 1
            totals[slot] += kept[row]
        _add(kept, moments)


@numba.njit(cache=True, nogil=True)
def _copy(values: np.ndarray, out: np.ndarray) -> int:  # pragma: no cover
    """Copy values, -0.0 as 0.0; returns how many are finite."""
    finite = 0
    for row in range(len(values)):
        out[row] = values[row] + 0.0
        finite += abs(values[row]) < np.inf
    return finite


@numba.njit(cache=True, nogil=True)
def _search(
    values: np.ndarray,
    cuts: np.ndarray,
    low: float,
    scale: float,
    starts: np.ndarray,
    crowded: bool,
    slots: np.ndarray,
) -> None:  # pragma: no cover
    """The slot of each of some finite values."""
    cells_of(values, low, scale, CELLS, slots)
    for row in range(len(values)):
        place, value = np.uint64(np.uint32(slots[row])), values[row]
        left = np.uint64(starts[place])
        if crowded:
            right = np.uint64(starts[place + np.uint64(1)])
            while right - left > FEW:
                middle = (left + right) >> np.uint64(1)
                if cuts[middle] <= value:
                    left = middle + np.uint64(1)
                else:
                    right = middle
        # Most cells hold one edge or none: the first comparison is an addition, and the loop is seldom entered.
        left += np.uint64(cuts[left] <= value)
        while cuts[left] <= value:
            left += np.uint64(1)
        slots[row] = np.int32(left) + 1


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "nnan", "nsz"})
def _add(values: np.ndarray, moments: np.ndarray) -> None:  # pragma: no cover
    """Add finite values to moments: Chan, Golub and LeVeque 1979, as in `mercury.summaries`."""
    size = len(values)
    total, least, greatest = 0.0, values[0], values[0]
    for row in range(size):
        total += values[row]
    for row in range(size):
        least = values[row] if values[row] < least else least
    for row in range(size):
        greatest = values[row] if values[row] > greatest else greatest
    mean, square = total / size, 0.0
    for row in range(size):
        square += (values[row] - mean) * (values[row] - mean)
    seen = moments[0]
    both, step = seen + size, mean - moments[3]
    moments[1], moments[2] = min(moments[1], least), max(moments[2], greatest)
    moments[3] += step * size / both
    moments[4] += square + step * step * seen * size / both
    moments[0] = both
