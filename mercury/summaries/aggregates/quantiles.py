"""Quantiles within a relative error: DDSketch, kept as (group, bin) to count.

Source: Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
PVLDB 12(12), 2019. With gamma = (1 + a) / (1 - a), a positive x falls into bin ``ceil(log_gamma(x))``, answered by
``2 gamma^i / (gamma + 1)``, which is within ``a * x`` of every value in the bin.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import pyarrow as pa

from mercury.definitions import Quantile
from mercury.summaries.aggregates.base import Groups, Kept, Sketch, number

OFFSET = 1 << 24
"""Added to the bin of a positive value and subtracted, with its sign, from that of a negative one: bins sort as values
do, 0 is the bin of zero, and the least double has a bin at the finest accuracy."""

INFINITE = 1 << 30
"""Bin of infinity; minus infinity has the bin ``-INFINITE``."""

NUDGE = 1e-9
"""Subtracted from a logarithm before it is rounded up. Engines' logarithms differ in the last bit, which would put
exact powers of gamma (1.0 above all) into different bins; this moves the edges to where no value of interest lies, at a
cost of a billionth of a bin."""


def keep_quantile(name: str, aggregate: Quantile, argument: pa.DataType) -> Kept:
    """The value at rank ``floor(q * (n - 1))`` within the relative accuracy; infinities are exact."""
    number(name, aggregate.kind, argument)
    log_gamma = math.log((1 + aggregate.accuracy) / (1 - aggregate.accuracy))

    def cells(values: pa.Array) -> pa.Array:
        return pa.array(bin_of(values.to_numpy(zero_copy_only=False), log_gamma))

    def sql(_: str, value: str) -> tuple[str, str]:
        size = f"CAST(ceil(ln(abs({value})) / {log_gamma!r}e0 - {NUDGE!r}) AS INT) + {OFFSET}"
        infinite = "1.7976931348623157e308"
        cell = (
            f"CASE WHEN {value} = 0 THEN 0 WHEN {value} > {infinite} THEN {INFINITE} "
            f"WHEN {value} < -{infinite} THEN -{INFINITE} WHEN {value} > 0 THEN {size} ELSE -({size}) END"
        )
        return cell, "1"

    def finish(groups: Groups) -> pa.Array:
        bins = np.asarray(groups.cell, dtype=np.int64)
        return quantiles(groups.count, groups.group, bins, groups.value, aggregate.q, log_gamma)

    sketch = Sketch(pa.field(f"{name}__bin", pa.int32()), pa.field(f"{name}__count", pa.int64()), "sum", cells, sql)
    return Kept(pa.float64(), (), sketch, finish)


@numba.njit(cache=True, nogil=True)
def bin_of(values: np.ndarray, log_gamma: float) -> np.ndarray:  # pragma: no cover
    """int32 bin of each float64; there are no NaN."""
    bins = np.empty(len(values), np.int32)
    for row in range(len(values)):
        size = abs(values[row])
        if size == 0.0:
            place = 0
        elif size == np.inf:
            place = INFINITE
        else:
            place = math.ceil(math.log(size) / log_gamma - NUDGE) + OFFSET
        bins[row] = place if values[row] > 0 else -place
    return bins


def quantiles(
    count: int, group: np.ndarray, bins: np.ndarray, counts: np.ndarray, q: float, log_gamma: float
) -> pa.Array:
    """float64 per group from cells sorted by group and bin; null for a group without cells."""
    answers = np.full(count, np.nan)
    seen = np.zeros(count, bool)
    if len(group):
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        running = np.cumsum(counts)
        before = running[starts] - counts[starts]
        totals = np.add.reduceat(counts, starts)
        ranks = before + np.floor(q * (totals - 1)).astype(np.int64)
        # The first cell whose running count exceeds the rank holds it; ranks stay inside their group by construction.
        place = np.searchsorted(running, ranks, side="right")
        answers[group[starts]] = _value_of(bins[place], log_gamma)
        seen[group[starts]] = True
    return pa.array(answers, mask=~seen)


def _value_of(bins: np.ndarray, log_gamma: float) -> np.ndarray:
    size = np.abs(bins)
    gamma = math.exp(log_gamma)
    # The factor goes into the exponent, so that the value of the topmost bin does not overflow on the way.
    inside = np.exp(np.minimum((size - OFFSET) * log_gamma + math.log(2 / (gamma + 1)), math.log(np.finfo(float).max)))
    return np.sign(bins) * np.where(size == INFINITE, np.inf, np.where(size == 0, 0.0, inside))
