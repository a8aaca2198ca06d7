"""The reference: edges, atoms and known categories of each column, by which everything later is counted.

A column of numbers is cut at quantiles of the reference, finer towards both ends, and every value that is frequent has
a bin of its own, so that a 0 written for what is not known is seen. A column of text has one bin per known category.
Each column's bins are numbered, as *slots*, in an order that the distribution function follows:

    numbers     0 minus infinity, then the bins from the lowest to the highest, plus infinity, missing
    categories  0 the first category by code point, …, unseen, missing

Missing is null and, in numbers, NaN.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.definitions import canonical_json
from mercury.errors import CorruptDataError, SchemaError, UsageError, did_you_mean
from mercury.observability.kernels import Guide, tally
from mercury.observability.order import Order

FORMAT = 1
"""Version of the layout of slots; it is part of every reference's hash."""

QUANTILES = 1024
"""Bins of a column of numbers, about; no value that is not a bin of its own shares it with more than 1/1024 of the
reference, which bounds the error of the Kolmogorov-Smirnov distance."""

TAILS = (10**-3.5, 10**-4.0, 10**-4.5, 10**-5.0, 10**-5.5, 10**-6.0)
"""Further quantiles at both ends, where the reference has rows enough to know them."""

REPEATED = 2
"""Rows that a frequent value has at least: of a value that came once nothing says that it comes again."""

MOST_CATEGORIES = 10_000
"""Categories that are told apart, the most frequent ones; the rest of a wider column counts as unseen."""


@dataclass(frozen=True)
class Numbers:
    """A column of numbers.

    Parameters
    ----------
    edges : rising; the bins are below the first, between two of them (the lower one included), and from the last on.
    atoms : values that make up at least the reference's ``atom_share``; each has a bin without width.
    """

    name: str
    edges: tuple[float, ...]
    atoms: tuple[float, ...]

    @property
    def slots(self) -> int:
        """How many slots the column has."""
        return len(self.edges) + 4

    @property
    def missing(self) -> int:
        """The slot of nulls and NaN."""
        return len(self.edges) + 3

    @cached_property
    def cuts(self) -> np.ndarray:
        """The edges as float64."""
        return np.array(self.edges, np.float64)

    @cached_property
    def guide(self) -> Guide:
        """How to find the bin of a value."""
        return Guide.of(self.cuts)

    @cached_property
    def exact(self) -> np.ndarray:
        """Whether a slot holds one value only."""
        narrow = np.zeros(self.slots, bool)
        narrow[[0, -2, -1]] = True
        narrow[2:-3] = np.nextafter(self.cuts[:-1], np.inf) == self.cuts[1:]
        return narrow

    @cached_property
    def atom_slots(self) -> np.ndarray:
        """The slot of each atom."""
        return np.searchsorted(self.cuts, np.array(self.atoms), side="right") + 1

    def name_of(self, slot: int) -> str:
        """What a slot holds, for people."""
        if slot == self.missing:
            return "missing"
        if slot in (0, self.missing - 1):
            return "-inf" if slot == 0 else "inf"
        low = self.edges[slot - 2] if slot >= 2 else -math.inf
        high = self.edges[slot - 1] if slot - 1 < len(self.edges) else math.inf
        return f"= {low:g}" if self.exact[slot] else f"[{low:g}, {high:g})"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"name": self.name, "edges": list(self.edges), "atoms": list(self.atoms)}


@dataclass(frozen=True)
class Categories:
    """A column of categories, in code point order; ``complete`` says whether the reference had no others."""

    name: str
    categories: tuple[str, ...]
    complete: bool = True

    @property
    def slots(self) -> int:
        """How many slots the column has."""
        return len(self.categories) + 2

    @property
    def unseen(self) -> int:
        """The slot of what is none of the categories."""
        return len(self.categories)

    @property
    def missing(self) -> int:
        """The slot of nulls."""
        return len(self.categories) + 1

    @cached_property
    def known(self) -> pa.Array:
        """The categories as an Arrow array."""
        return pa.array(self.categories, pa.string())

    def name_of(self, slot: int) -> str:
        """What a slot holds, for people."""
        if slot < len(self.categories):
            return repr(self.categories[slot])
        return "missing" if slot == self.missing else "unseen" if self.complete else "other"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"name": self.name, "categories": list(self.categories), "complete": self.complete}


Column: TypeAlias = Numbers | Categories


@dataclass(frozen=True)
class Reference:
    """How the columns of a reference are cut. Profiles of one reference merge and compare; others do not.

    ``atom_share`` is the least share of the rows that is watched by itself.
    """

    columns: tuple[Column, ...]
    atom_share: float = 0.01

    @cached_property
    def hash(self) -> str:
        """16 hex digits over all of it."""
        return hashlib.sha256(canonical_json(self.to_dict())).hexdigest()[:16]

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    def __getitem__(self, name: str) -> Column:
        """The column of this name; `SchemaError` when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"the reference has no column {name!r}", fix=did_you_mean(name, self.names))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; floats read back as they were."""
        columns = [column.to_dict() for column in self.columns]
        return {"format": FORMAT, "atom_share": self.atom_share, "columns": columns}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reference:
        """The reference that `to_dict` wrote; `CorruptDataError` for another format."""
        if data.get("format") != FORMAT:
            raise CorruptDataError(f"reference format {data.get('format')!r} is not {FORMAT}", fix="Upgrade Mercury")
        return cls(tuple(_column(entry) for entry in data["columns"]), data["atom_share"])


class Rows(Protocol):
    """Columns by name: a `pyarrow.Table`, or a `ParquetColumns`."""

    @property
    def column_names(self) -> list[str]:
        """Names of the columns."""
        ...

    def __getitem__(self, name: str, /) -> pa.ChunkedArray:
        """The values of one column."""
        ...


def reference_profile(rows: Rows, columns: Sequence[str] | None = None, *, atom_share: float = 0.01) -> Reference:
    """How to cut these columns (all by default), learnt from rows that are taken as right.

    Numbers and booleans, text, and dictionaries of text are columns; a column without any value has one bin, in which
    every value that comes is a change.

    Raises `SchemaError` for a column that is missing or of another type, `UsageError` for a share out of range.

    >>> reference_profile(pa.table({"delay": [0.0, 0.0, 1.0, 2.0]}), atom_share=0.4)["delay"].atoms
    (0.0,)
    """
    check_share(atom_share)
    names = list(rows.column_names if columns is None else columns)
    return Reference(tuple(cut(name, column_of(rows, name), atom_share) for name in names), atom_share)


def check_share(atom_share: float) -> None:
    """Raise `UsageError` for a share that cannot be watched by itself."""
    if not 0.0 < atom_share <= 0.5:
        raise UsageError(f"atom_share={atom_share} is out of range", fix="Use a share above 0 and at most 0.5")


def column_of(rows: Rows, name: str) -> pa.ChunkedArray:
    """A column as float64 or as text (see `is_text`); `SchemaError` for one that is missing or of another type."""
    if name not in rows.column_names:
        raise SchemaError(f"the rows have no column {name!r}", fix=did_you_mean(name, rows.column_names))
    values = rows[name]
    kind = values.type
    if is_text(kind):
        return values
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return values if kind == pa.float64() else values.cast(pa.float64(), safe=False)
    if pa.types.is_boolean(kind):
        return values.cast(pa.int8()).cast(pa.float64())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_string(kind):
        return values.cast(pa.string())
    raise SchemaError(
        f"the column {name!r} has type {kind}, which cannot be profiled",
        fix="Make it a number or text, or leave it out",
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of strings, or of a dictionary of strings."""
    return pa.types.is_string(kind) or (pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))


def value_counts(values: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """The values of a column of text, null included, and how often each occurs; a value may come in several places.

    Of a dictionary only the places are counted, so it costs less than a column of strings.
    """
    if not pa.types.is_dictionary(values.type):
        found = pc.value_counts(values)
        return found.field("values"), found.field("counts").to_numpy()
    texts, counts = [], []
    for chunk in values.chunks:
        size = len(chunk.dictionary)
        places = chunk.indices.cast(pa.int64()).fill_null(size) if chunk.null_count else chunk.indices
        texts += [chunk.dictionary, pa.nulls(1, pa.string())]
        counts.append(np.zeros(size + 1, np.int64))
        tally(places.to_numpy(), counts[-1])
    if not texts:
        return pa.nulls(0, pa.string()), np.empty(0, np.int64)
    return pa.concat_arrays(texts), np.concatenate(counts)


def floats_of(values: pa.ChunkedArray) -> np.ndarray:
    """float64 with NaN for null."""
    return values.to_numpy()


def cut(name: str, values: pa.ChunkedArray, atom_share: float) -> Column:
    """How to cut one column."""
    if is_text(values.type):
        return _categories(name, values)
    order = Order(floats_of(values))
    count = order.count
    if not count:
        return Numbers(name, (), ())
    levels = np.r_[np.arange(1, QUANTILES) / QUANTILES, [tail for tail in TAILS if tail * count >= 1]]
    levels = np.unique(np.r_[levels, [1 - tail for tail in TAILS if tail * count >= 1]])
    places = np.maximum(np.ceil(levels * count).astype(np.int64), 1) - 1
    # A value with a quantile's share of the rows lies at a quantile, or is the last one.
    runs = order.near(np.r_[places, count - 1])
    shares = runs.counts / count
    frequent = runs.values[shares >= 1 / QUANTILES]
    # A value alone is cut off above as well. The greatest double has none above it.
    above = np.nextafter(frequent[frequent < np.finfo(np.float64).max], np.inf)
    edges = np.unique(np.r_[runs.at(places), frequent, above])
    atoms = runs.values[(shares >= atom_share) & (runs.counts >= REPEATED)]
    return Numbers(name, tuple(edges.tolist()), tuple(atoms.tolist()))


def _categories(name: str, values: pa.ChunkedArray) -> Categories:
    texts, counts = value_counts(values)
    found = pa.table({"value": texts, "count": counts}).filter(pc.field("value").is_valid() & (pc.field("count") > 0))
    found = found.group_by("value").aggregate([("count", "sum")])
    complete = found.num_rows <= MOST_CATEGORIES
    if not complete:
        found = found.sort_by([("count_sum", "descending"), ("value", "ascending")]).slice(0, MOST_CATEGORIES)
    return Categories(name, tuple(sorted(found["value"].to_pylist())), complete)


def _column(entry: Mapping[str, Any]) -> Column:
    if "edges" in entry:
        return Numbers(entry["name"], tuple(entry["edges"]), tuple(entry["atoms"]))
    return Categories(entry["name"], tuple(entry["categories"]), entry["complete"])
