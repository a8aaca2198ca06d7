"""From bounded groups to an answer: noise is drawn once, and columns are computed from noisy integers alone.

`Noise.draw` gives what the ledger keeps; `finished` makes of it the columns that were asked for. Whatever is done after
the draw costs nothing (post-processing): so one kept draw serves every question that needs the same measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.equality import normalized
from mercury.privacy.accounting import exact
from mercury.privacy.aggregate import Bounded, key_columns
from mercury.privacy.noise import CONFIDENCE, Laplace, Threshold, laplace_error
from mercury.privacy.plan import USERS, Output, PrivatePlan


class Noise:
    """The noise of a plan.

    Raises `UsageError` when epsilon is so small that no noise fits 64 bits.
    """

    def __init__(self, plan: PrivatePlan) -> None:
        self._plan = plan
        self.laplace = {part.name: Laplace.for_share(plan.sensitivity(part), plan.share) for part in plan.measures}
        self._threshold: Threshold | None = None
        if plan.private_keys:
            self._threshold = Threshold.for_share(plan.groups_of_a_unit, plan.share, plan.delta)
            self.laplace[USERS] = self._threshold.noise

    def errors(self) -> dict[str, float]:
        """Half-widths of the 95 % intervals of counts and sums."""
        return {
            part.name: self.laplace[part.measures[0]].error() * part.step
            for part in self._plan.outputs
            if part.kind != "mean"
        }

    def draw(self, groups: Bounded) -> pa.Table:
        """Groups that may be named, with noisy integers: ``k0``, ``k1``, …, then a column for each measure by its name.

        Sorted by key, so that the order of groups says nothing of the data's.
        """
        plan = self._plan
        exact = groups.table if self._threshold is not None else _with_public_keys(plan, groups.table)
        places: Sequence[int] = range(exact.num_rows)
        noisy: dict[str, list[int]] = {}
        if self._threshold is not None:
            chosen = self._threshold.choose(exact[USERS].to_pylist())
            places = sorted(chosen)
            noisy[USERS] = [chosen[place] for place in places]
        kept = exact.take(pa.array(places, pa.int64()))
        for number, part in enumerate(plan.measures):
            noisy[part.name] = self.laplace[part.name].add(kept[f"m{number}"].to_pylist())
        keys = key_columns(plan)
        columns = {name: kept[name] for name in keys} | {
            name: pa.array(values, pa.int64()) for name, values in noisy.items()
        }
        table = pa.table(columns)
        return table.sort_by([(name, "ascending") for name in keys]) if keys else table


def finished(plan: PrivatePlan, noise: Noise, drawn: pa.Table) -> pa.Table:
    """The answer's columns, made of noisy integers: each output with its error bar, groups sorted as asked by."""
    names = dict(zip(plan.keys, key_columns(plan), strict=True))
    columns: dict[str, Any] = {column: drawn[names[column]] for column in plan.by}
    for output in plan.outputs:
        noisy = [drawn[name].to_pylist() for name in output.measures]
        columns[output.name], columns[f"{output.name}_error"] = _output(output, noise.laplace, noisy)
    table = pa.table(columns)
    return table.sort_by([(column, "ascending") for column in plan.by]) if plan.by else table


def _output(part: Output, laplace: Mapping[str, Laplace], noisy: Sequence[list[int]]) -> tuple[pa.Array, pa.Array]:
    if part.kind == "mean":
        pairs = [_mean(part, laplace, total, count) for total, count in zip(*noisy, strict=True)]
        return pa.array([value for value, _ in pairs], pa.float64()), pa.array([e for _, e in pairs], pa.float64())
    (values,) = noisy
    errors = pa.array([laplace[part.measures[0]].error() * part.step] * len(values), pa.float64())
    if part.kind == "sum":
        step = exact(part.step)
        return pa.array([float(value * step) for value in values], pa.float64()), errors
    return pa.array(values, pa.int64()), errors


def _mean(part: Output, laplace: Mapping[str, Laplace], total: int, count: int) -> tuple[float | None, float | None]:
    """The mean, and how far it can be off when numerator and denominator are off at once; null for no rows."""
    if count < 1:
        return None, None
    half = (1 - CONFIDENCE) / 2
    apart, fewer = (laplace_error(laplace[name].scale, 1 - half) for name in part.measures)

    def between(sum_of_steps: float, rows: float) -> float:
        return min(max(part.centre + part.step * sum_of_steps / rows, part.low), part.high)

    value = between(total, count)
    ends = [between(total + sign * apart, max(1, count + other * fewer)) for sign in (-1, 1) for other in (-1, 1)]
    return value, max(abs(end - value) for end in ends)


def _with_public_keys(plan: PrivatePlan, groups: pa.Table) -> pa.Table:
    """A row for every public key, also those that nobody has; what nobody has is zero."""
    if not plan.by:
        return groups
    values = [plan.public[column] for column in plan.keys]
    sizes = [len(each) for each in values]
    found = np.zeros(groups.num_rows, np.int64)
    for name, each in zip(key_columns(plan), values, strict=True):
        place = pc.index_in(normalized(groups[name].cast(each.type)), value_set=normalized(each))
        found = found * len(each) + place.to_numpy(zero_copy_only=False).astype(np.int64)
    columns: dict[str, Any] = {}
    digits = np.unravel_index(np.arange(int(np.prod(sizes))), sizes)
    for name, each, digit in zip(key_columns(plan), values, digits, strict=True):
        columns[name] = each.take(pa.array(digit))
    for name in groups.column_names[len(sizes) :]:
        numbers = np.zeros(int(np.prod(sizes)), np.int64)
        numbers[found] = groups[name].to_numpy()
        columns[name] = pa.array(numbers)
    return pa.table(columns)
