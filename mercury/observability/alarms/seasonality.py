"""The reference at the same hours of the day, and how much alike the rows of one of its windows are.

What is asked of a model at night differs from what is asked by day, and nothing is wrong with either. So a window is
compared with the reference's rows of the same hours, weighted as the window's own rows are.

The rows of a window are also more alike than rows drawn at random: one storm, one carrier's morning. How much so is
learnt from the reference's own windows at those hours, as survey statistics do it (the design effect: Kish, "Survey
Sampling", Wiley 1965, section 5.4), and a window of n rows then counts for as many independent ones as tell as much. A
value that is the same for all rows of a day counts for about one row a day, and no fault of it is found in a few days.
How much windows differ is known for windows as large as the reference's; a larger one counts for no more than those do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from mercury.observability.partition import cells
from mercury.observability.profiles import slot_numbers
from mercury.observability.reference import Column, Numbers

HOURS = 24

FEWEST_ROWS = 10
"""Of a window of the reference, for it to tell how much windows differ."""

FEWEST_WINDOWS = 5
"""Of the reference: from fewer nothing is learnt of how much windows differ."""

STEPS = 64
"""Quantiles at which the distances of the reference's windows are known."""

ALL_HOURS = 0.9
"""Share of the reference from which on a window's hours are taken for all: fewer tell nothing more."""

ALIKE = 0.015
"""Rows that are more alike than this, over all cells, have their value from what they share, as the weather of a day.
Then windows are alike too, one after the other, and nothing is bet on what those values are. Departure delays have
0.005, an airport's traffic 0.05, temperatures 0.13."""

KOLMOGOROV_SQUARE = math.pi**2 / 12
"""Mean square of Kolmogorov's limit law: of the distance times the root of the rows, while rows are independent."""

CAUTION = 0.95
"""With this confidence the true likeness is no greater than what is taken, for normal differences between windows."""


@dataclass(frozen=True)
class Likeness:
    """How much alike the rows of a window are, by cell and for the distribution function.

    Parameters
    ----------
    cells, distance : correlation of the rows of a window.
    most, distance_most : rows of a window that count.
    shared : whether the column's values come from something that the rows of a window share.
    """

    cells: np.ndarray
    distance: float
    most: np.ndarray
    distance_most: float
    shared: bool

    def independent(self, rows: int) -> np.ndarray:
        """How many independent rows tell of each cell's share as much as so many rows of a window."""
        return _independent(np.minimum(rows, self.most), self.cells)

    def independent_of_distance(self, rows: int) -> float:
        """How many independent rows tell of the distribution function as much as so many rows of a window."""
        return float(_independent(min(rows, self.distance_most), self.distance))


@dataclass(frozen=True)
class Expected:
    """What a window's rows are held against.

    Parameters
    ----------
    shares : of the reference at the window's hours, by slot.
    cells : the same by cell.
    likeness : of the rows of a window at these hours.
    shared : whether the column's values come from something that the rows of a window share, at these hours or all.
    """

    shares: np.ndarray
    cells: np.ndarray
    likeness: Likeness
    shared: bool


class Season:
    """Counts of one column of the reference by window, hour and slot.

    Parameters
    ----------
    column : how it is cut.
    values : the reference's rows, as `mercury.observability.reference.column_of` gives them.
    window, hour : of each of them, as `mercury.observability.alarms.windows.Windows.number` gives them.
    atom_share : least share that is watched by itself.
    """

    def __init__(
        self, column: Column, values: pa.ChunkedArray, window: np.ndarray, hour: np.ndarray, atom_share: float
    ) -> None:
        slots = slot_numbers(column, values)
        both, place = np.unique(window * HOURS + hour, return_inverse=True)
        self.column = column
        self.atom_share = atom_share
        self._window, self._hour = both // HOURS, both % HOURS
        self._by_hour = _table(hour, slots, (HOURS, column.slots))
        self.counts = self._by_hour.sum(0)
        """All of the reference, by slot."""
        self.cells = cells(column, self.counts, atom_share)
        """What is watched by itself."""
        # Windows are kept by cell and by quantile only: by slot they would take hundreds of megabytes.
        self._seen = _table(place, self.cells.of[slots], (len(both), len(self.cells.names)))
        self._steps = np.zeros((len(both), 0), np.int64)
        if isinstance(column, Numbers):
            present = self.counts[: column.missing]
            quantile = (np.cumsum(present) - present) * STEPS // max(int(present.sum()), 1)
            step = np.cumsum(np.r_[False, quantile[1:] != quantile[:-1]])
            here = slots < column.missing
            self._steps = _table(place[here], step[slots[here]], (len(both), int(step[-1]) + 1))
        self._known: dict[frozenset[int], Likeness] = {}

    @cached_property
    def hours(self) -> np.ndarray:
        """Rows of the reference by hour of the day."""
        return self._by_hour.sum(1)

    def expected(self, hours: np.ndarray) -> Expected:
        """What rows with these hours (0 to 23, one each) are held against; the reference has rows."""
        asked = np.bincount(hours, minlength=HOURS)
        known = asked * (self.hours > 0)
        if not known.sum():
            # Nothing is known of these hours; all that is known of the others stands for them.
            known = self.hours
        chosen = frozenset(np.flatnonzero(known).tolist())
        if self.hours[list(chosen)].sum() >= ALL_HOURS * self.hours.sum():
            chosen = frozenset(np.flatnonzero(self.hours).tolist())
        shares = known / known.sum() @ self._laws
        likeness = self._likeness(chosen)
        return Expected(shares, self.cells.add_up(shares), likeness, likeness.shared or self.shared)

    @cached_property
    def shared(self) -> bool:
        """Whether the rows of a window share where the column's values come from, over all hours."""
        if not self.counts.any():
            return True
        return self._likeness(frozenset(np.flatnonzero(self.hours).tolist())).shared

    @cached_property
    def _laws(self) -> np.ndarray:
        """Shares by hour and slot; nothing for an hour without rows."""
        return self._by_hour / np.maximum(self.hours[:, None], 1)

    @cached_property
    def _coarse(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """By cell, and for numbers by quantile: counts of each window and hour, and shares by hour."""
        out = []
        for counts in (self._seen, self._steps):
            laws = np.zeros((HOURS, counts.shape[1]))
            np.add.at(laws, self._hour, counts)
            out.append((counts, laws / np.maximum(self.hours[:, None], 1)))
        return out

    def _likeness(self, chosen: frozenset[int]) -> Likeness:
        """How much alike the rows of one window are, from how far the reference's windows at these hours lay from it.

        Of n rows that are alike by r, a share varies as that of n / (1 + (n - 1) r) independent ones.
        """
        if chosen not in self._known:
            self._known[chosen] = self._learnt(chosen)
        return self._known[chosen]

    def _learnt(self, chosen: frozenset[int]) -> Likeness:
        taken = np.isin(self._hour, list(chosen))
        hour = self._hour[taken]
        window, starts, number = np.unique(self._window[taken], return_index=True, return_inverse=True)
        held = self._seen[taken].sum(1)
        rows = np.add.reduceat(held, starts)
        enough = rows >= min(FEWEST_ROWS, rows.max())
        size = rows[enough, None]
        if len(size) < FEWEST_WINDOWS:
            alike = np.where(self.cells.absent, 0.0, 1.0)
            return Likeness(alike, 1.0, np.full(len(alike), np.inf), np.inf, True)
        asked = np.zeros((len(window), HOURS))
        np.add.at(asked, (number, hour), held)
        asked = asked[enough] / size
        apart = []
        for counts, laws in self._coarse:
            apart.append((np.add.reduceat(counts[taken], starts, axis=0)[enough], asked @ laws))
        return self._from_distances(size, *apart)

    def _from_distances(
        self, rows: np.ndarray, cells: tuple[np.ndarray, np.ndarray], steps: tuple[np.ndarray, np.ndarray]
    ) -> Likeness:
        from scipy.special import chdtri

        seen, law = cells
        spread = law * (1 - law)
        squares = rows * (seen / rows - law) ** 2
        ratios = np.divide(squares, spread, out=np.ones_like(law), where=spread > 0)
        few, size = chdtri(len(rows) - 1, CAUTION), max(float(rows.mean()), 2.0)

        def likeness(sums: np.ndarray) -> np.ndarray:
            return np.clip((sums / few - 1) / (size - 1), 0.0, 1.0)

        alike = likeness(ratios.sum(0))
        most = float(alike[law.mean(0) >= self.atom_share].max(initial=0.0))
        # What never occurred at these hours is as much alike as the rest, but for what never occurs while all is well.
        never = spread.max(0) == 0
        alike[never] = np.where(self.cells.faults[never], 0.0, most)
        present = steps[0].sum(1)
        far = present * distances(*steps) ** 2 / KOLMOGOROV_SQUARE
        weight = spread.mean(0)
        return Likeness(
            alike,
            float(likeness(far.sum())),
            np.where(never & self.cells.faults, np.inf, size),
            size,
            float(alike @ weight) > ALIKE * float(weight.sum()),
        )


def _table(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How often each row and column occur together."""
    return np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)


def _independent(rows: np.ndarray | float, likeness: np.ndarray | float) -> np.ndarray:
    return np.asarray(rows / (1 + np.maximum(np.subtract(rows, 1), 0) * likeness))


def distances(counts: np.ndarray, laws: np.ndarray) -> np.ndarray:
    """Kolmogorov and Smirnov's distance of each row of counts, in the order of the values, from the law beside it."""
    if not counts.shape[1]:
        return np.zeros(len(counts))
    rows, mass = counts.sum(1, keepdims=True), laws.sum(1, keepdims=True)
    apart = np.abs(np.cumsum(counts / np.maximum(rows, 1) - laws / np.where(mass > 0, mass, 1.0), axis=1)).max(1)
    # Where one side has no values there is no distance: that they are missing is seen by their share.
    return np.where((rows[:, 0] > 0) & (mass[:, 0] > 0), apart, 0.0)
