"""Coarser divisions of a column's slots: groups for divergences, cells for what is watched by itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mercury.observability.reference import REPEATED, Column, Numbers

GROUPS = 10
"""Groups of equal share of the reference. On finer ones a divergence mostly measures its own noise, which grows with
their number; the usual limits of PSI (0.1, 0.2) are for ten."""


@dataclass(frozen=True)
class Partition:
    """A division of slots into parts.

    ``of`` is the part of each slot, from 0; ``names`` say what each holds, for people; ``faults`` are the parts that a
    broken source likes to fill: the missing, the infinite, the unseen, and zero; ``absent`` are these without zero.
    """

    of: np.ndarray
    names: tuple[str, ...]
    faults: np.ndarray
    absent: np.ndarray

    def add_up(self, counts: np.ndarray) -> np.ndarray:
        """Counts by part, from counts by slot; further dimensions before the last are kept."""
        order, starts = self._order
        return np.add.reduceat(counts[..., order], starts, axis=-1)

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        return _by_part(self.of, len(self.names))


def groups(column: Column, counts: np.ndarray) -> Partition:
    """Ten groups of about equal share of the reference's values, and the missing and the infinite ones apart.

    Every category is a group of its own, and so are the unseen.
    """
    if not isinstance(column, Numbers):
        return _labelled(column, np.arange(column.slots))
    return _labelled(column, _deciles(counts, np.ones(column.slots, bool)))


def cells(column: Column, counts: np.ndarray, atom_share: float) -> Partition:
    """What is watched by itself: each frequent value or category, the missing, the infinite, the unseen; and the rest.

    The rest of numbers is ten groups, of categories those that are rare.
    """
    if isinstance(column, Numbers):
        atoms = np.zeros(column.slots, bool)
        atoms[column.atom_slots] = True
        numbers = _deciles(counts, ~atoms)
        numbers[column.atom_slots] = GROUPS + np.arange(len(column.atoms))
        return _labelled(column, numbers)
    total = max(int(counts.sum()), 1)
    frequent = np.flatnonzero(counts[: column.unseen] >= max(atom_share * total, REPEATED))
    numbers = np.zeros(column.slots, np.int64)
    numbers[frequent] = 1 + np.arange(len(frequent))
    numbers[column.unseen], numbers[column.missing] = column.slots + 1, column.slots + 2
    return _labelled(column, numbers)


def _deciles(counts: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Numbers 0 to 9 by rising share of the slots that are taken; infinities and missing far after."""
    inner = np.where(taken, counts, 0)[1:-2]
    before = np.cumsum(inner) - inner
    out = np.empty(len(counts), np.int64)
    out[1:-2] = np.minimum(before * GROUPS // max(int(inner.sum()), 1), GROUPS - 1)
    out[0], out[-2], out[-1] = -1, len(counts) + GROUPS, len(counts) + GROUPS + 1
    return out


def _labelled(column: Column, numbers: np.ndarray) -> Partition:
    found, of = np.unique(numbers, return_inverse=True)
    order, starts = _by_part(of, len(found))
    names = [
        column.name_of(int(order[start])) if end - start == 1 else _span(column, int(order[start]), int(order[end - 1]))
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True)
    ]
    absent = [0, column.missing - 1, column.missing]
    if not isinstance(column, Numbers):
        absent = [column.unseen, column.missing]
    zero = column.atom_slots[np.array(column.atoms) == 0.0].tolist() if isinstance(column, Numbers) else []
    places = np.arange(len(found))
    return Partition(of, tuple(names), np.isin(places, of[absent + zero]), np.isin(places, of[absent]))


def _by_part(of: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Slots in the order of their parts, and where each part begins."""
    order = np.argsort(of, kind="stable")
    return order, np.searchsorted(of[order], np.arange(parts))


def _span(column: Column, first: int, last: int) -> str:
    if not isinstance(column, Numbers):
        return "rare"
    low = "-inf" if first < 2 else f"{column.edges[first - 2]:g}"
    high = "inf" if last - 1 >= len(column.edges) else f"{column.edges[last - 1]:g}"
    return f"[{low}, {high})"
