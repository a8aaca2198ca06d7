"""Profiles: what is counted of some rows on a reference's slots, as summaries that merge.

Counts are the same bit for bit however the rows are split; sums of values to 1e-9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury import summaries
from mercury.definitions import Count, Max, Min, Sum, Variance
from mercury.errors import SpecMismatchError, UsageError
from mercury.observability import kernels
from mercury.observability.reference import (
    Categories,
    Column,
    Numbers,
    Reference,
    Rows,
    check_share,
    column_of,
    cut,
    floats_of,
    is_text,
    value_counts,
)
from mercury.summaries import SCALARS, Summary, SummarySpec


@dataclass(frozen=True)
class ColumnProfile:
    """What was counted of one column.

    ``counts`` and ``totals`` (sums of the finite values) are by slot; ``least``, ``greatest`` and ``mean``, ``m2`` (sum
    of squared differences from the mean) are of the finite values, NaN without any; ``nan`` of the missing were NaN.
    """

    column: Column
    counts: np.ndarray
    totals: np.ndarray
    least: float
    greatest: float
    mean: float
    m2: float
    nan: int

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.counts.sum())

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return int(self.counts[self.column.missing])

    @property
    def present(self) -> np.ndarray:
        """Counts of the slots of values, in their order."""
        return self.counts[: self.column.missing]

    @property
    def infinite(self) -> int:
        """Rows with an infinite value."""
        return int(self.counts[0] + self.counts[-2]) if isinstance(self.column, Numbers) else 0

    @property
    def unseen(self) -> int:
        """Rows with a category that the reference does not know."""
        return int(self.counts[self.column.unseen]) if isinstance(self.column, Categories) else 0


@dataclass(frozen=True)
class Profile:
    """What was counted of some rows: two summaries, keyed by the reference's hash and the column.

    Parameters
    ----------
    slots : of each slot that is not empty, its rows and the sum of its finite values.
    columns : of each column its rows, NaN, least and greatest value, and moments.
    """

    reference: Reference
    slots: Summary
    columns: Summary

    def __getitem__(self, name: str) -> ColumnProfile:
        """One column of the profile."""
        return self._by_name[name] if name in self._by_name else _nothing(self.reference[name])

    @property
    def rows(self) -> int:
        """Rows that were counted."""
        counted = self.columns.tables[SCALARS]["rows"]
        return int(pc.max(counted).as_py() or 0)

    @cached_property
    def _by_name(self) -> dict[str, ColumnProfile]:
        slots, columns = self.slots.tables[SCALARS], self.columns.tables[SCALARS]
        owners = pc.unique(slots["column"])
        owner = pc.index_in(slots["column"], value_set=owners).to_numpy()
        order = np.argsort(owner, kind="stable")
        ends = np.cumsum(np.bincount(owner, minlength=len(owners)))
        rows_of = dict(zip(owners.to_pylist(), np.split(order, ends[:-1]), strict=True)) if len(owners) else {}
        at = slots["slot"].to_numpy()
        rows = slots["rows"].to_numpy()
        totals = slots["total"].fill_null(0.0).to_numpy()
        found = {}
        for entry in columns.to_pylist():
            column = self.reference[entry["column"]]
            mine = rows_of[column.name]
            profile = _nothing(column)
            profile.counts[at[mine]] = rows[mine]
            profile.totals[at[mine]] = totals[mine]
            known = entry["spread__n"] > 0
            found[column.name] = ColumnProfile(
                column,
                profile.counts,
                profile.totals,
                entry["least"] if known else np.nan,
                entry["greatest"] if known else np.nan,
                entry["spread__mean"] if known else np.nan,
                entry["spread__m2"] if known else np.nan,
                entry["nan"],
            )
        return found

    def to_tables(self) -> dict[str, pa.Table]:
        """The state as Arrow tables ``slots`` and ``columns``, in one order for equal states."""
        return {name: part.sorted().tables[SCALARS] for name, part in self._parts.items()}

    @classmethod
    def from_tables(cls, tables: Mapping[str, pa.Table], reference: Reference) -> Profile:
        """The profile that `to_tables` gave; `SpecMismatchError` when it is of another reference."""
        specs = profile_specs(reference.hash)
        for table in tables.values():
            for found in pc.unique(table["reference"]).to_pylist():
                if found != reference.hash:
                    raise _apart(found, reference.hash)
        return cls(reference, *(Summary(specs[name], {SCALARS: tables[name]}) for name in ("slots", "columns")))

    def equals(self, other: Profile) -> bool:
        """Whether counts and extremes are the same bit for bit, and sums to 1e-9."""
        if self.reference.hash != other.reference.hash:
            return False
        for name in self.reference.names:
            mine, theirs = self[name], other[name]
            if not np.array_equal(mine.counts, theirs.counts) or mine.nan != theirs.nan:
                return False
            exact = np.array([mine.least, mine.greatest]), np.array([theirs.least, theirs.greatest])
            if not np.array_equal(*exact, equal_nan=True):
                return False
            if not np.allclose(mine.totals, theirs.totals, rtol=1e-9, atol=1e-9):
                return False
        return True

    @property
    def _parts(self) -> dict[str, Summary]:
        return {"slots": self.slots, "columns": self.columns}


def profile(rows: Rows, reference: Reference) -> Profile:
    """Count rows on a reference's slots; columns that the reference does not have are left out.

    Raises `SchemaError` for a column that is missing or of a type that cannot be profiled, `SpecMismatchError` for
    numbers where the reference has text, or the reverse.
    """
    return _assemble(reference, [_counted(column, column_of(rows, column.name)) for column in reference.columns])


def learn(rows: Rows, columns: Sequence[str] | None = None, *, atom_share: float = 0.01) -> tuple[Reference, Profile]:
    """The reference of some rows and their profile on it, for which each column is read once.

    The same as `reference_profile` and then `profile`, with the same errors.
    """
    check_share(atom_share)
    states = []
    for name in rows.column_names if columns is None else columns:
        values = column_of(rows, name)
        states.append(_counted(cut(name, values, atom_share), values))
    reference = Reference(tuple(state.column for state in states), atom_share)
    return reference, _assemble(reference, states)


def merge(profiles: Sequence[Profile]) -> Profile:
    """The profile of all their rows, in any order; `SpecMismatchError` when they are of several references."""
    if not profiles:
        raise UsageError("there is nothing to merge", fix="Give at least one profile")
    first = profiles[0].reference
    for other in profiles[1:]:
        if other.reference.hash != first.hash:
            raise _apart(other.reference.hash, first.hash)
    return Profile(
        first,
        summaries.merge([each.slots for each in profiles]),
        summaries.merge([each.columns for each in profiles]),
    )


def slot_numbers(column: Column, values: pa.ChunkedArray) -> np.ndarray:
    """The slot of each row, int64; the naive twin of `profile`, for rows that are grouped by something else too."""
    if isinstance(column, Categories):
        text = values.cast(pa.string())
        known = pc.index_in(text, value_set=column.known, skip_nulls=True).cast(pa.int64())
        unseen = pc.if_else(pc.is_null(text), column.missing, column.unseen)
        return pc.coalesce(known, unseen.cast(pa.int64())).to_numpy()
    floats = floats_of(values)
    slots = np.searchsorted(column.cuts, floats, side="right") + 1
    slots[floats == -np.inf] = 0
    slots[floats == np.inf] = column.missing - 1
    slots[np.isnan(floats)] = column.missing
    return slots


@lru_cache(maxsize=64)
def profile_specs(reference: str) -> dict[str, SummarySpec]:
    """What the two summaries keep, over rows (column, slot, value, nan); the reference's hash is part of their own."""
    keys = {"reference": f"'{reference}'", "column": '"column"'}
    return {
        "slots": SummarySpec({**keys, "slot": "slot"}, {"rows": Count(), "total": Sum("value")}),
        "columns": SummarySpec(
            keys,
            {
                "rows": Count(),
                "nan": Count(where="nan"),
                "least": Min("value"),
                "greatest": Max("value"),
                "spread": Variance("value"),
            },
        ),
    }


SLOTS_SCHEMA = pa.schema(
    {"reference": pa.string(), "column": pa.string(), "slot": pa.int64(), "rows": pa.int64(), "total": pa.float64()}
)
COLUMNS_SCHEMA = pa.schema(
    {
        "reference": pa.string(),
        "column": pa.string(),
        "rows": pa.int64(),
        "nan": pa.int64(),
        "least": pa.float64(),
        "greatest": pa.float64(),
        "spread__n": pa.int64(),
        "spread__mean": pa.float64(),
        "spread__m2": pa.float64(),
    }
)


def _counted(column: Column, values: pa.ChunkedArray) -> ColumnProfile:
    fitting = _of_kind(column, values)
    return _numbers(column, fitting) if isinstance(column, Numbers) else _categories(column, fitting)


def _numbers(column: Numbers, values: pa.ChunkedArray) -> ColumnProfile:
    counts, totals = np.zeros(column.slots, np.int64), np.zeros(column.slots)
    guide, grid = column.guide, column.guide.grid
    moments = np.array([0.0, np.inf, -np.inf, 0.0, 0.0])
    for chunk in values.chunks:
        floats = chunk.to_numpy(zero_copy_only=False)
        kernels.count(floats, guide.cuts, grid.low, grid.scale, guide.starts, guide.crowded, counts, totals, moments)
    least, greatest, mean, m2 = moments[1:].tolist() if moments[0] else [np.nan] * 4
    return ColumnProfile(column, counts, totals, least, greatest, mean, m2, int(counts[-1]) - values.null_count)


def _categories(column: Categories, values: pa.ChunkedArray) -> ColumnProfile:
    texts, counted = value_counts(values)
    counts = np.zeros(column.slots, np.int64)
    np.add.at(counts, slot_numbers(column, pa.chunked_array([texts])), counted)
    return ColumnProfile(column, counts, np.zeros(column.slots), np.nan, np.nan, np.nan, np.nan, 0)


def _of_kind(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values, which are numbers or text as in the reference, or nulls alone; else `SpecMismatchError`."""
    then, now = isinstance(column, Categories), is_text(values.type)
    if then == now:
        return values
    if values.null_count == len(values):
        return pa.chunked_array([pa.nulls(len(values), pa.string() if then else pa.float64())])
    kinds = {True: "text", False: "a number"}
    raise SpecMismatchError(
        f"the column {column.name!r} was {kinds[then]} in the reference and is {kinds[now]} now",
        fix="Cast it, or learn a new reference",
    )


def _assemble(reference: Reference, states: Sequence[ColumnProfile]) -> Profile:
    filled = [np.flatnonzero(state.counts) for state in states]
    names = [state.column.name for state in states]
    known = [isinstance(state.column, Numbers) and not np.isnan(state.least) for state in states]
    finite = [
        state.rows - state.missing - state.infinite if is_known else 0
        for state, is_known in zip(states, known, strict=True)
    ]
    slot = np.concatenate(filled) if filled else np.empty(0, np.int64)
    valued = [_valued(state.column, places) for state, places in zip(states, filled, strict=True)]
    slots = pa.table(
        [
            pa.array([reference.hash], pa.string()).take(pa.array(np.zeros(len(slot), np.int64))),
            pa.array(names, pa.string()).take(pa.array(np.repeat(np.arange(len(states)), [len(f) for f in filled]))),
            pa.array(slot),
            pa.array(np.concatenate([s.counts[f] for s, f in zip(states, filled, strict=True)]) if filled else slot),
            pa.array(
                np.concatenate([s.totals[f] for s, f in zip(states, filled, strict=True)]) if filled else np.empty(0),
                mask=~np.concatenate(valued) if filled else None,
            ),
        ],
        schema=SLOTS_SCHEMA,
    )
    seen = [state for state in states if state.rows]
    ok = [is_known for state, is_known in zip(states, known, strict=True) if state.rows]
    counted = [number for state, number in zip(states, finite, strict=True) if state.rows]

    def figure(values: list[float], empty: float | None) -> pa.Array:
        return pa.array([v if is_known else empty for v, is_known in zip(values, ok, strict=True)], pa.float64())

    columns = pa.table(
        [
            pa.array([reference.hash] * len(seen), pa.string()),
            pa.array([state.column.name for state in seen], pa.string()),
            pa.array([state.rows for state in seen], pa.int64()),
            pa.array([state.nan for state in seen], pa.int64()),
            figure([state.least for state in seen], None),
            figure([state.greatest for state in seen], None),
            pa.array(counted, pa.int64()),
            figure([state.mean for state in seen], 0.0),
            figure([state.m2 for state in seen], 0.0),
        ],
        schema=COLUMNS_SCHEMA,
    )
    specs = profile_specs(reference.hash)
    return Profile(reference, Summary(specs["slots"], {SCALARS: slots}), Summary(specs["columns"], {SCALARS: columns}))


def _valued(column: Column, slots: np.ndarray) -> np.ndarray:
    """Whether a slot has finite values, and with them a sum."""
    if isinstance(column, Categories):
        return np.zeros(len(slots), bool)
    return (slots > 0) & (slots < column.missing - 1)


def _nothing(column: Column) -> ColumnProfile:
    nothing = np.zeros(column.slots, np.int64), np.zeros(column.slots)
    return ColumnProfile(column, *nothing, np.nan, np.nan, np.nan, np.nan, 0)


def _apart(found: str, wanted: str) -> SpecMismatchError:
    return SpecMismatchError(
        f"profiles of the references {found} and {wanted} do not merge", fix="Count the rows anew on one of them"
    )
