"""Loops over rows and their group numbers, compiled by numba: one pass each, one slot per group.

All take ``group``, int64 of shape (rows,) with numbers below ``count``, and values of the same shape without nulls.
They run without the interpreter's lock.
"""

from __future__ import annotations

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def sum_integers(group: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, int]:  # pragma: no cover
    """int64 sums, and the number of a group that overflowed, or -1."""
    sums = np.zeros(count, np.int64)
    for row in range(len(group)):
        number = group[row]
        before = sums[number]
        after = before + values[row]
        # Two's complement: a sum overflowed when its sign differs from that of both operands.
        if ((before ^ after) & (values[row] ^ after)) < 0:
            return sums, number
        sums[number] = after
    return sums, -1


@_compiled
def sum_floats(group: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:  # pragma: no cover
    """float64 sums, compensated (Neumaier 1974), so that they hardly depend on the order of rows."""
    sums = np.zeros(count, np.float64)
    lost = np.zeros(count, np.float64)
    for row in range(len(group)):
        number = group[row]
        value = values[row]
        total = sums[number] + value
        if abs(sums[number]) >= abs(value):
            lost[number] += (sums[number] - total) + value
        else:
            lost[number] += (value - total) + sums[number]
        sums[number] = total
    for number in range(count):
        if np.isfinite(sums[number]) and np.isfinite(lost[number]):
            sums[number] += lost[number]
    return sums


@_compiled
def squares(group: np.ndarray, values: np.ndarray, means: np.ndarray) -> np.ndarray:  # pragma: no cover
    """Sum of squared differences from each group's mean."""
    sums = np.zeros(len(means), np.float64)
    for row in range(len(group)):
        difference = values[row] - means[group[row]]
        sums[group[row]] += difference * difference
    return sums


@_compiled
def merge_moments(
    group: np.ndarray, n: np.ndarray, mean: np.ndarray, m2: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # pragma: no cover
    """Moments of each group from moments of its parts, by Chan's formula; a part without values changes nothing."""
    total = np.zeros(count, np.int64)
    means = np.zeros(count, np.float64)
    sums = np.zeros(count, np.float64)
    for row in range(len(group)):
        number = group[row]
        if n[row] == 0:
            continue
        if total[number] == 0:
            total[number], means[number], sums[number] = n[row], mean[row], m2[row]
            continue
        together = total[number] + n[row]
        difference = mean[row] - means[number]
        sums[number] += m2[row] + difference * difference * (total[number] / together * n[row])
        means[number] += difference * (n[row] / together)
        total[number] = together
    return total, means, sums


@_compiled
def best_rows(group: np.ndarray, values: np.ndarray, count: int, greatest: bool) -> np.ndarray:  # pragma: no cover
    """The row of each group's least (greatest) value, the first of equals; -1 for a group without rows."""
    best = np.full(count, -1, np.int64)
    for row in range(len(group)):
        number = group[row]
        held = best[number]
        if held < 0 or (values[row] > values[held] if greatest else values[row] < values[held]):
            best[number] = row
    return best


@_compiled
def best_pairs(
    group: np.ndarray, times: np.ndarray, values: np.ndarray, count: int, greatest: bool
) -> np.ndarray:  # pragma: no cover
    """As `best_rows`, by time and then by value."""
    best = np.full(count, -1, np.int64)
    for row in range(len(group)):
        number = group[row]
        held = best[number]
        if held < 0:
            best[number] = row
        elif times[row] != times[held]:
            if (times[row] > times[held]) == greatest:
                best[number] = row
        elif values[row] > values[held] if greatest else values[row] < values[held]:
            best[number] = row
    return best
