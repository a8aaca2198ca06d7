"""What a statistic takes and gives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mercury.observability.partition import Partition, cells, groups
from mercury.observability.profiles import ColumnProfile
from mercury.observability.reference import Categories

CONFIDENCE = 0.95
"""Of every interval, for each statistic by itself."""


@dataclass(frozen=True)
class Statistic:
    """A figure of two profiles.

    Parameters
    ----------
    value : None where the statistic says nothing (no values on one side, or not for this kind of column).
    low, high : an interval that holds the figure of the two laws with probability `CONFIDENCE` for any number of rows,
        where one is known.
    p_value : of no difference between the laws, where the statistic has one. It falls with every row that is added,
        for any difference at all: no verdict is built on it.
    certificate : how far at most the value lies below that of the raw rows.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    certificate: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form without what is not known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


NOTHING = Statistic(None)


@dataclass(frozen=True)
class Pair:
    """Two profiles of one column with the divisions that statistics are of, which the reference decides."""

    reference: ColumnProfile
    current: ColumnProfile
    groups: Partition
    cells: Partition

    @classmethod
    def of(cls, reference: ColumnProfile, current: ColumnProfile, atom_share: float) -> Pair:
        """The pair with its divisions."""
        column, counts = reference.column, reference.counts
        return cls(reference, current, groups(column, counts), cells(column, counts, atom_share))

    @property
    def empty(self) -> bool:
        """Whether one side has no rows."""
        return not self.reference.rows or not self.current.rows

    @cached_property
    def grouped(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts by group, of the reference and of the current rows."""
        return self.groups.add_up(self.reference.counts), self.groups.add_up(self.current.counts)

    @cached_property
    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares by group."""
        mine, theirs = self.grouped
        return mine / mine.sum(), theirs / theirs.sum()

    @cached_property
    def cell_shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares by cell."""
        mine, theirs = self.cells.add_up(self.reference.counts), self.cells.add_up(self.current.counts)
        return mine / mine.sum(), theirs / theirs.sum()

    @cached_property
    def cell_changes(self) -> np.ndarray:
        """By how much each cell's share has changed, from what the reference's law leads to expect of other rows.

        Which categories are known was decided by the reference's own rows, so other rows of the same law have more
        that are not: as many as the reference has rows whose category would not be known without them (Good, "The
        population frequencies of species", Biometrika 40, 1953). A share between that and the reference's own is none.
        """
        p, q = self.cell_shares
        column = self.reference.column
        if not isinstance(column, Categories):
            return np.abs(p - q)
        counts = self.reference.counts
        known = counts[: column.unseen]
        least = 1 if column.complete or not known.any() else int(known[known > 0].min())
        leaving = np.zeros_like(counts)
        # Of those with one row more than the least, which are cut off by name, all may go.
        some = (known == least) | ((known == least + 1) & (not column.complete))
        leaving[: column.unseen][some] = known[some]
        away = self.cells.add_up(leaving) / counts.sum()
        come = np.zeros_like(away)
        come[self.cells.of[column.unseen]] = away.sum()
        return np.abs(q - np.clip(q, p - away, p + come))
