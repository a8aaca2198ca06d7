"""Loops over rows and their group numbers, compiled by numba: one pass each, one slot per group.

All take ``group``, int64 of shape (rows,) with numbers below ``count``, and values of the same shape without nulls.
They run without the interpreter's lock.
"""

from __future__ import annotations

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def number_dense(codes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:  # pragma: no cover
    """Numbers of codes in the order in which they first come, and the row where each does; codes are below ``size``."""
    numbers = np.full(size, -1, np.int64)
    number = np.empty(len(codes), np.int64)
    first = np.empty(min(size, len(codes)), np.int64)
    count = 0
    for row in range(len(codes)):
        known = numbers[codes[row]]
        if known < 0:
            known = count
            numbers[codes[row]] = known
            first[known] = row
            count += 1
        number[row] = known
    return number, first[:count].copy()


@_compiled
def number_hashed(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # pragma: no cover
    """As `number_dense`, for codes of any size: open addressing, multiplicative hashing (Knuth, TAOCP 3, 6.4)."""
    bits = 4
    while (1 << bits) < 2 * len(codes):
        bits += 1
    shift = np.uint64(64 - bits)
    mask = (1 << bits) - 1
    numbers = np.full(1 << bits, -1, np.int64)
    number = np.empty(len(codes), np.int64)
    first = np.empty(len(codes), np.int64)
    count = 0
    for row in range(len(codes)):
        slot = np.int64((np.uint64(codes[row]) * np.uint64(0x9E3779B97F4A7C15)) >> shift)
        known = numbers[slot]
        while known >= 0 and codes[first[known]] != codes[row]:
            slot = (slot + 1) & mask
            known = numbers[slot]
        if known < 0:
            known = count
            numbers[slot] = known
            first[known] = row
            count += 1
        number[row] = known
    return number, first[:count].copy()


@_compiled
def sum_integers(group: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, bool]:  # pragma: no cover
    """int64 sums, and whether all of them fit; what overflows on the way only does no harm."""
    sums = np.zeros(count, np.int64)
    carried = np.zeros(count, np.int64)
    for row in range(len(group)):
        number = group[row]
        before = sums[number]
        after = before + values[row]
        # Two's complement: a sum has wrapped around when its sign differs from that of both operands.
        if ((before ^ after) & (values[row] ^ after)) < 0:
            carried[number] += 1 if values[row] > 0 else -1
        sums[number] = after
    return sums, not carried.any()


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
    """Sum of squared differences from each group's mean; NaN where the mean is no number."""
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
