"""Order statistics of many values without sorting them all: only cells that hold a rank which is asked for are sorted.

Values are counted in a grid of cells first, so it is known in which cell each rank lies, as in one pass of a radix
selection (Knuth, "The Art of Computer Programming" 3, section 5.2.5). What is found is exact, ties included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from mercury.observability.kernels import BLOCK, Grid, cells_of

CELLS = 16_384

SAMPLE = 4_096
"""Values by which the grid is laid out. They decide how fast it is, and nothing of what is found."""


@dataclass(frozen=True)
class Runs:
    """Rising values, how often each occurs, and how many values lie before it."""

    values: np.ndarray
    counts: np.ndarray
    before: np.ndarray

    def at(self, ranks: np.ndarray) -> np.ndarray:
        """The values at these ranks (from 0), which are among those that were asked for."""
        return self.values[np.searchsorted(self.before, ranks, side="right") - 1]


class Order:
    """The finite values of a float64 array in their order, as far as it is asked for; -0.0 counts as 0.0.

    >>> runs = Order(np.array([3.0, np.nan, 1.0, 3.0, np.inf])).near(np.array([0, 2]))
    >>> runs.values, runs.counts, runs.at(np.array([0, 1, 2]))
    (array([1., 3.]), array([1, 2]), array([1., 3., 3.]))
    """

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        sample = values[:: max(1, len(values) // SAMPLE)]
        # Few values are one cell: sorting all of them is cheap.
        sample = np.sort(sample[np.isfinite(sample)]) if len(values) > 2 * SAMPLE else values[:0]
        grid = Grid.over(sample, CELLS)
        self._cells = np.empty(len(values), np.uint16)
        held = np.zeros((2, CELLS + 1), np.int64)
        _count(values, grid.low, grid.scale, held, self._cells)
        self._held = held.sum(0)[:CELLS]
        self._ends = np.cumsum(self._held)

    @property
    def count(self) -> int:
        """How many values are finite."""
        return int(self._ends[-1])

    def near(self, ranks: np.ndarray) -> Runs:
        """All values of the cells in which these ranks (from 0, below ``count``) lie."""
        wanted = np.zeros(CELLS + 1, np.bool_)
        wanted[np.searchsorted(self._ends, ranks, side="right")] = True
        cells = np.flatnonzero(wanted)
        held = self._held[cells]
        first, others = np.full(CELLS, np.nan), np.zeros(CELLS, np.int64)
        # One more place: a value is written before it is known whether it is wanted.
        rest, place = np.empty(int(held.sum()) + 1), np.empty(int(held.sum()) + 1, np.uint16)
        taken = _gather(self._values, self._cells, wanted, first, others, rest, place)
        values, counts = _runs(np.sort(rest[:taken]))
        # The first value of a cell stands for all that equal it, so that of frequent ones nothing is sorted.
        places = np.searchsorted(values, first[cells])
        values = np.insert(values, places, first[cells])
        counts = np.insert(counts, places, held - others[cells])
        before, ends = np.cumsum(counts) - counts, np.cumsum(held)
        runs = np.diff(np.r_[0, np.searchsorted(before, ends)])
        return Runs(values, counts, before + np.repeat(self._ends[cells] - ends, runs))


def _runs(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(ordered):
        return ordered, np.empty(0, np.int64)
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return ordered[starts], np.diff(np.r_[starts, len(ordered)])


@numba.njit(cache=True, nogil=True)
def _count(
    values: np.ndarray, low: float, scale: float, held: np.ndarray, cells: np.ndarray
) -> None:  # pragma: no cover
    """The cell of each value, and how many values each cell holds, in two parts."""
    block = np.empty(BLOCK, np.int32)
    for begin in range(0, len(values), BLOCK):
        part = values[begin : begin + BLOCK]
        cells_of(part, low, scale, CELLS, block)
        for row in range(len(part)):
            place = np.uint16(block[row])
            cells[begin + row] = place
            # Two parts by turns: to add to what was added to a moment ago would have to wait.
            held[row & 1, place] += 1


@numba.njit(cache=True, nogil=True)
def _gather(
    values: np.ndarray,
    cells: np.ndarray,
    wanted: np.ndarray,
    first: np.ndarray,
    others: np.ndarray,
    rest: np.ndarray,
    place: np.ndarray,
) -> int:  # pragma: no cover
    """Collect the values of the wanted cells that differ from the first one there; returns how many they are."""
    found = np.uint64(0)
    for row in range(len(values)):
        rest[found] = values[row] + 0.0
        place[found] = cells[row]
        found += np.uint64(wanted[cells[row]])
    taken = 0
    for row in range(found):
        value, at = rest[row], place[row]
        known = first[at]
        if known != known:
            first[at] = value
        elif value != known:
            rest[taken] = value
            taken += 1
            others[at] += 1
    return taken
