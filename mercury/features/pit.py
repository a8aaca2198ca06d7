"""The point-in-time join: for each label row, what was known about its entity at that time.

Every other join of the feature store is this one, given other rows. One view's rows are sorted by (key, event time,
created time), so a label's value is found by one binary search in the run of its key and a step back over what was not
known yet:

1. Keys of both sides become dense codes together; times become int64 microseconds (`mercury.features.instants`).
2. ``pos`` = last row of the key with ``event <= label`` (or ``<``), by binary search between the key's offsets. No
   product of code and time is formed, so nothing overflows.
3. Step back while the row was created after the label (or, with ``skip_null``, while its value is null).
4. The row counts when ``label - event <= ttl``, the edge included.

A label row gives exactly one output row, in order. Null keys and null times match nothing. A null value is a value.

Cost: O((n + m) log m) in the worst case, O(m) when rows are sorted already, as the runs of the layout are; the step
back starts behind the smallest ``created - event`` of the view, so that a constant delay costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import SchemaError, UsageError, did_you_mean
from mercury.features.instants import NULL_INSTANT, Side, instants, to_timestamps

Ints = npt.NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
"""A time to live that no age exceeds."""


@dataclass(frozen=True)
class ViewRows:
    """The rows of one view, and how they are to be joined.

    Parameters
    ----------
    name : the view's name; it prefixes the columns that the join adds for audits.
    rows : any order; columns are keys, times and values.
    keys : key columns, named alike in the labels.
    values : value columns to bring over, in order.
    event_time : since when a row holds.
    created_time : when a row was known; None: at its event time.
    ttl : microseconds that a value may be old, the edge included (0: only values of the same instant); None for ever.
    delay : microseconds from the event until a row may be used, whatever its created time says (the embargo).
    """

    name: str
    rows: pa.Table
    keys: Sequence[str]
    values: Sequence[str]
    event_time: str = "event_time"
    created_time: str | None = None
    ttl: int | None = None
    delay: int = 0


@dataclass(frozen=True)
class JoinOptions:
    """What may differ between one join and another; the defaults are what training sets use.

    Parameters
    ----------
    inclusive : a value whose event time equals the label's time counts (``<=``); False: it does not (``<``).
    known_time : values created after the label's time do not count, even when their event time does.
    skip_null : a null value is passed over for the last one that is not null (each column on its own).
    embargo : microseconds that every value must be older than the label, on top of a view's own delay.
    assume_tz : time zone of timestamps that carry none; None refuses them.
    timestamps : add ``<view>__ts`` (event time) and ``<view>__created`` of the row that each label got.
    """

    inclusive: bool = True
    known_time: bool = True
    skip_null: bool = False
    embargo: int = 0
    assume_tz: str | None = None
    timestamps: bool = False


DEFAULTS = JoinOptions()


def join(labels: pa.Table, views: Sequence[ViewRows], *, event_time: str, options: JoinOptions = DEFAULTS) -> pa.Table:
    """The labels with the values of every view as they were known at each label's time.

    Parameters
    ----------
    labels : one row per example: the keys of all views and ``event_time``; other columns are kept.
    views : joined in order; a value column must not be in the labels or in another view.

    Returns a table with the rows of `labels` in their order, their columns first, then the views' values.

    Raises `SchemaError` for missing or clashing columns, keys of types that cannot be equal, and times without a zone.
    """
    _require(labels, event_time, "the labels")
    asked = instants(labels[event_time], Side.LABEL, name=event_time, assume_tz=options.assume_tz)
    out = labels
    for view in views:
        columns = as_of(labels, asked, view, options)
        for name, column in columns.items():
            if name in out.column_names:
                raise SchemaError(
                    f"column {name!r} of view {view.name!r} is in the labels or another view already",
                    fix="Rename the feature, or drop the column from the labels",
                )
            out = out.append_column(name, column)
    return out


def as_of(labels: pa.Table, asked: Ints, view: ViewRows, options: JoinOptions = DEFAULTS) -> dict[str, pa.Array]:
    """The columns that one view adds to `labels`, whose times are `asked` in microseconds (`NULL_INSTANT`: none)."""
    for column in (*view.keys, *view.values, view.event_time, *([view.created_time] if view.created_time else [])):
        _require(view.rows, column, f"view {view.name!r}")
    for column in view.keys:
        _require(labels, column, f"the labels, but is a key of view {view.name!r},")
    index = build_index(view, options)
    codes = _label_codes(labels, view, index)
    limit = NEVER if view.ttl is None else view.ttl

    def search(nulls: npt.NDArray[np.bool_]) -> Ints:
        return _search(
            codes,
            asked,
            index.offsets,
            index.event,
            index.known,
            options.inclusive,
            view.delay + options.embargo,
            options.embargo,
            index.least_delay,
            limit,
            nulls,
        )

    at = search(NO_NULLS)
    out: dict[str, pa.Array] = {}
    for name in view.values:
        place = at
        column = view.rows[name]
        if options.skip_null and column.null_count:
            nulls = pc.is_null(column).to_numpy()
            nulls = nulls[index.order] if index.order is not None else nulls
            place = search(nulls)
        out[name] = _gather(column, place, index)
    if options.timestamps:
        for suffix, times in (("ts", index.event), ("created", index.created)):
            found = np.where(at >= 0, times[np.maximum(at, 0)] if len(times) else NULL_INSTANT, NULL_INSTANT)
            out[f"{view.name}__{suffix}"] = to_timestamps(found)
    return out


@dataclass(frozen=True)
class Index:
    """A view's rows in join order, without its values.

    ``order`` maps a place in join order to a row of the table (None: they are the same). ``offsets`` has one entry per
    key code and one more. ``known`` is the time that decides whether a row was known: its created time, or its event
    time where created times do not count; ``least_delay`` is the smallest ``known - event``.
    """

    order: Ints | None
    offsets: Ints
    event: Ints
    known: Ints
    created: Ints
    least_delay: int
    encoders: Sequence[pa.Array] = field(repr=False, default=())
    combinations: Sequence[Ints] = field(repr=False, default=())


NO_NULLS = np.zeros(0, np.bool_)


def build_index(view: ViewRows, options: JoinOptions = DEFAULTS) -> Index:
    """Codes, order and offsets of a view's rows; rows with a null key or event time are left out of the offsets."""
    rows = view.rows
    event = instants(rows[view.event_time], Side.FEATURE, name=view.event_time, assume_tz=options.assume_tz)
    created = event
    if view.created_time is not None:
        created = instants(rows[view.created_time], Side.FEATURE, name=view.created_time, assume_tz=options.assume_tz)
        # A row that does not say when it was known was known when it happened.
        created = np.where(created == NULL_INSTANT, event, created)
    codes, encoders, combinations = _feature_codes(rows, view.keys)
    codes = np.where(event == NULL_INSTANT, -1, codes)
    order: Ints | None = None
    if not _is_sorted(codes, event, created):
        order = np.lexsort((created, event, codes))
        codes, event, created = codes[order], event[order], created[order]
    count = int(codes[-1]) + 1 if len(codes) else 0
    offsets = np.searchsorted(codes, np.arange(count + 1)).astype(np.int64)
    known = created if options.known_time else event
    least = _least_difference(known, event, int(offsets[0]))
    return Index(order, offsets, event, known, created, least, encoders, combinations)


def _gather(column: pa.ChunkedArray, at: Ints, index: Index) -> pa.Array:
    missing = at < 0
    rows = at if index.order is None or not len(index.order) else index.order[np.maximum(at, 0)]
    taken = column.take(pa.array(rows, pa.int64(), mask=missing))
    return taken.combine_chunks() if isinstance(taken, pa.ChunkedArray) else taken


def _require(table: pa.Table, column: str, where: str) -> None:
    if column not in table.column_names:
        raise SchemaError(
            f"column {column!r} is not in {where.rstrip(',')}", fix=did_you_mean(column, table.column_names)
        )


def _feature_codes(rows: pa.Table, keys: Sequence[str]) -> tuple[Ints, list[pa.Array], list[Ints]]:
    """Dense codes of the keys in order of first appearance (-1 for a null), and what labels need to get the same."""
    if not keys:
        raise UsageError("the join has no key", fix="Name at least one key column")
    encoders: list[pa.Array] = []
    combinations: list[Ints] = []
    codes = np.zeros(rows.num_rows, np.int64)
    for place, name in enumerate(keys):
        column = _plain(rows[name])
        encoded = column.dictionary_encode(null_encoding="mask")
        part = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        encoders.append(encoded.dictionary)
        if place == 0:
            codes = part
            continue
        # Codes of several columns stay below rows * rows, and rows below 2**31 in one bucket.
        pairs = np.where((codes < 0) | (part < 0), -1, codes * max(1, len(encoded.dictionary)) + part)
        known, first = np.unique(pairs[pairs >= 0], return_index=True)
        combinations.append(known)
        spots = np.searchsorted(known, pairs)
        ranks = np.empty(len(known), np.int64)
        ranks[np.argsort(first)] = np.arange(len(known))
        combinations.append(ranks)
        codes = np.where(pairs < 0, -1, ranks[np.minimum(spots, len(known) - 1)]) if len(known) else pairs
    return codes.astype(np.int64), encoders, combinations


def _label_codes(labels: pa.Table, view: ViewRows, index: Index) -> Ints:
    codes = np.zeros(labels.num_rows, np.int64)
    for place, (name, values) in enumerate(zip(view.keys, index.encoders, strict=True)):
        column, known = _alike(_plain(labels[name]), values, name, view.name)
        found = pc.index_in(column, value_set=known, skip_nulls=True).cast(pa.int64()).fill_null(-1)
        part = found.to_numpy(zero_copy_only=False)
        if place == 0:
            codes = part
            continue
        pairs, ranks = index.combinations[2 * place - 2 : 2 * place]
        wanted = np.where((codes < 0) | (part < 0), -1, codes * max(1, len(values)) + part)
        if not len(pairs):
            return np.full(labels.num_rows, -1, np.int64)
        spots = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        codes = np.where(pairs[spots] == wanted, ranks[spots], -1)
    return codes.astype(np.int64)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """One array without dictionary encoding and with 32-bit offsets made 64-bit, so that types can be compared."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        column = column.cast(pa.large_string())
    elif pa.types.is_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        column = column.cast(pa.large_binary())
    elif pa.types.is_integer(kind) and kind != pa.uint64():
        column = column.cast(pa.int64())
    elif pa.types.is_floating(kind):
        column = column.cast(pa.float64())
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _alike(column: pa.Array, known: pa.Array, name: str, view: str) -> tuple[pa.Array, pa.Array]:
    if column.type == known.type:
        return column, known
    if pa.types.is_null(column.type):
        return column.cast(known.type), known
    if pa.types.is_null(known.type):
        return column, known.cast(column.type)
    times = (column.type, known.type)
    if all(pa.types.is_timestamp(kind) and kind.tz for kind in times):
        finest = pa.timestamp("ns" if "ns" in {kind.unit for kind in times} else "us", tz="UTC")
        return column.cast(finest), known.cast(finest)
    if {str(kind) for kind in times} == {"int64", "uint64"}:
        # What does not fit int64 equals no int64.
        big = pa.decimal128(20)
        return column.cast(big), known.cast(big)
    raise SchemaError(
        f"key {name!r} is {column.type} in the labels and {known.type} in view {view!r}",
        fix="Give both the same type; text and numbers are never equal",
    )


@numba.njit(cache=True, nogil=True)
def _is_sorted(codes: Ints, event: Ints, created: Ints) -> bool:
    for row in range(1, len(codes)):
        if codes[row] != codes[row - 1]:
            if codes[row] < codes[row - 1]:
                return False
        elif event[row] != event[row - 1]:
            if event[row] < event[row - 1]:
                return False
        elif created[row] < created[row - 1]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _least_difference(later: Ints, earlier: Ints, start: int) -> int:
    least = np.int64(4_000_000_000_000_000_000)
    for row in range(start, len(later)):
        least = min(least, later[row] - earlier[row])
    return int(least) if least > 0 else 0


@numba.njit(cache=True, nogil=True)
def _search(
    codes: Ints,
    asked: Ints,
    offsets: Ints,
    event: Ints,
    known: Ints,
    inclusive: bool,
    delay: int,
    embargo: int,
    least_delay: int,
    ttl: int,
    nulls: npt.NDArray[np.bool_],
) -> Ints:
    """Place in join order of the row that each label gets, or -1; ``nulls`` is empty unless nulls are passed over."""
    found = np.full(len(codes), -1, np.int64)
    # Labels before this are so early that a delay cannot be taken from them; nothing was known then.
    dawn = NULL_INSTANT + max(delay, embargo + least_delay) + 1
    for label in range(len(codes)):
        code, moment = codes[label], asked[label]
        if code < 0 or code >= len(offsets) - 1 or moment < dawn:
            continue
        # Two bounds on the event time: the delay, and that a row was not known before `least_delay` had passed. The
        # second is only where the step back may start.
        bound, closed = moment - delay, inclusive
        if moment - embargo - least_delay < bound:
            bound, closed = moment - embargo - least_delay, True
        first, low, high = offsets[code], offsets[code], offsets[code + 1]
        while low < high:
            middle = (low + high) >> 1
            if event[middle] < bound or (closed and event[middle] == bound):
                low = middle + 1
            else:
                high = middle
        place = low - 1
        while place >= first and (known[place] > moment - embargo or (len(nulls) > 0 and nulls[place])):
            place -= 1
        if place < first:
            continue
        age = moment - event[place]
        if 0 <= age <= ttl or (age < 0 and ttl == NEVER):  # a negative age is one that int64 cannot hold
            found[label] = place
    return found


__all__ = ["DEFAULTS", "NEVER", "Index", "JoinOptions", "ViewRows", "as_of", "build_index", "join"]
