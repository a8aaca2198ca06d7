"""Counting float64 values on edges: a guide finds the few edges that a value may lie between, then a search."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

CELLS = 8192
"""Cells of a guide; with a thousand edges most hold one edge or none."""


@dataclass(frozen=True)
class Guide:
    """Where to look for a value among rising edges.

    A value falls into cell ``(value - low) * scale``, rounded down and clipped. Subtracting and multiplying never turn
    an order round, so the edges of lower cells are at or below the value, those of higher cells above it: only the
    edges ``starts[cell]`` to ``starts[cell + 1]`` are left to be searched.
    """

    cuts: np.ndarray
    low: float
    scale: float
    starts: np.ndarray

    @classmethod
    def of(cls, cuts: np.ndarray) -> Guide:
        """The guide of these edges; it covers the middle of them, since the ends of heavy tails lie far out."""
        if not len(cuts):
            return cls(cuts, 0.0, 0.0, np.zeros(CELLS + 1, np.int64))
        low, high = cuts[len(cuts) // 100], cuts[-1 - len(cuts) // 100]
        width = high - low
        scale = CELLS / width if np.isfinite(width) and width > 1e-300 else 0.0
        starts = np.searchsorted(_cells(cuts, low, scale), np.arange(CELLS + 1), side="left")
        return cls(cuts, float(low), float(scale), starts.astype(np.int64))


@numba.njit(cache=True, nogil=True)
def _cells(values: np.ndarray, low: float, scale: float) -> np.ndarray:  # pragma: no cover
    out = np.empty(len(values), np.int64)
    for place in range(len(values)):
        out[place] = _cell(values[place], low, scale)
    return out


@numba.njit(cache=True, nogil=True, inline="always")
def _cell(value: float, low: float, scale: float) -> int:  # pragma: no cover
    place = (value - low) * scale
    if not place > 0.0:
        return 0
    return int(place) if place < CELLS - 1 else CELLS - 1


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

    ``counts`` (int64) and ``totals`` (float64) are by slot, two more than there are bins between the edges, and one for
    NaN, as `mercury.observability.reference` numbers them.
    """
    finite, least, greatest, total = 0, np.inf, -np.inf, 0.0
    last = len(counts) - 1
    for row in range(len(values)):
        value = values[row] + 0.0
        if not abs(value) < np.inf:
            slot = last if value != value else (0 if value < 0 else last - 1)
            counts[slot] += 1
            continue
        cell = _cell(value, low, scale)
        left, right = starts[cell], starts[cell + 1]
        while left < right:
            middle = (left + right) >> 1
            if cuts[middle] <= value:
                left = middle + 1
            else:
                right = middle
        counts[left + 1] += 1
        totals[left + 1] += value
        finite += 1
        total += value
        least = min(least, value)
        greatest = max(greatest, value)
    return finite, least, greatest, total


@numba.njit(cache=True, nogil=True)
def squares(values: np.ndarray, mean: float) -> float:  # pragma: no cover
    """The sum of squared differences of the finite values from a mean."""
    out = 0.0
    for row in range(len(values)):
        apart = values[row] - mean
        if abs(apart) < np.inf:
            out += apart * apart
    return out
