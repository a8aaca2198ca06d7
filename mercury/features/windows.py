"""Trailing windows of a stream as a step function: rows at each boundary where a window gains or loses a pane.

A feature over ``over`` with hop ``h`` has at time t the value of ``[floor(t - over, h), floor(t, h))``: Chronon's
sawtooth window. The stream keeps *panes* of one hop as summary state. A pane ``[s, s + h)`` enters every window at
``s + h`` and leaves the window of a feature at ``s + h + over``; between such boundaries nothing changes. So a view is
a table like any other: at each boundary one row per key, its event time the boundary, its created time the boundary
and the view's availability delay. The point-in-time join and the online store need no notion of a window.

How a window is merged from its panes, for n panes of all keys and q windows (`merge_ranges`)::

    level k holds, for each pane i, the merge of panes i … i + 2^k - 1        log2(longest) merges of n rows
    a window of length 0b1101 is one block of each of levels 0, 2 and 3       one merge of q * popcount rows

Nothing is subtracted, so that minima, sketches and moments work as sums do, no float loses digits, and a window's value
depends only on its own panes: rows made in many steps are the rows made in one, bit for bit. Blocks of 2^k are the
sparse table of range queries (Bender and Farach-Colton 2000), here disjoint, since sums may not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mercury.definitions import Aggregate, FeatureView, Stream, Window
from mercury.errors import DefinitionError
from mercury.features.instants import to_timestamps
from mercury.features.layout import CREATED_TIME, EVENT_TIME
from mercury.summaries import SCALARS, Summary, SummarySpec, finish, merge
from mercury.time import duration, format_duration

PANE = "pane_start"
"""Key column of panes: when each begins."""

_AT = "__at"

Ints = npt.NDArray[np.int64]


def pane_window(view: FeatureView) -> Window:
    """The window whose answers are a view's panes: one hop long, its aggregates without their ``over``."""
    assert view.entity is not None
    return Window(
        view.name,
        _stream(view),
        keys=view.entity.keys,
        size=format_duration(view.hop_length),
        aggregates={name: replace(part, over=None) for name, part in aggregates(view).items()},
        where=view.where,
    )


def pane_spec(view: FeatureView) -> SummarySpec:
    """The spec of the panes' state: keyed by `PANE` and the entity's keys."""
    window = pane_window(view)
    return SummarySpec(
        keys={PANE: PANE, **{key: key for key in window.keys}},
        aggregates=window.aggregates,
        time=_stream(view).event_time,
        where=view.where,
    )


def aggregates(view: FeatureView) -> dict[str, Aggregate]:
    """The features of a view over a stream, which are all aggregates."""
    return {name: part for name, part in view.columns.items() if isinstance(part, Aggregate)}


def longest(view: FeatureView) -> int:
    """Microseconds of the longest window of a view."""
    return max(_over(part) for part in aggregates(view).values())


def feature_rows(panes: Summary, view: FeatureView, *, until: int, since: int | None = None) -> pa.Table:
    """The offline rows of a view at all boundaries in ``(since, until]``.

    Parameters
    ----------
    panes : state by `pane_spec`, each pane once; complete for panes that end in ``(since - longest(view), until]``.
    until : microseconds UTC; no later than the watermark, since panes that end later may still change.
    since : boundaries up to this were made before; None: all are made.

    Returns keys, one column per feature, `EVENT_TIME` and `CREATED_TIME`, sorted by keys and event time. However the
    time is cut into calls, together they give the same rows.
    """
    assert view.entity is not None
    keys = list(view.entity.keys)
    ordered = _sorted_scalars(panes, keys)
    hop = view.hop_length
    starts = ordered[PANE].cast(pa.int64()).to_numpy()
    first = _key_bounds(ordered, keys)
    overs = sorted({_over(part) for part in aggregates(view).values()})
    group, boundary = _boundaries(starts, first, hop, overs, since, until)
    columns: dict[str, pa.ChunkedArray] = {}
    for over in overs:
        chosen = [name for name, part in aggregates(view).items() if _over(part) == over]
        low, high = _ranges(starts, first, group, boundary - over - (boundary - over) % hop, boundary - boundary % hop)
        values = merge_ranges(panes, ordered, keys, chosen, low, high)
        columns.update({name: values[name] for name in chosen})
    of_key = pa.array(first[:-1][group] if len(first) > 1 else np.zeros(0, np.int64))
    out = {key: ordered[key].take(of_key) for key in keys} | {name: columns[name] for name in view.columns}
    out[EVENT_TIME] = to_timestamps(boundary)
    out[CREATED_TIME] = to_timestamps(boundary + view.availability_delay)
    return pa.table(out)


def merge_ranges(
    panes: Summary, ordered: pa.Table, keys: Sequence[str], names: Sequence[str], low: Ints, high: Ints
) -> pa.Table:
    """Answers of some aggregates over ranges ``[low, high)`` of panes, one row per range in order.

    `ordered` is the panes' scalars sorted by keys and start; places in it are what the ranges count. An empty range
    gives what no row gives: counts of 0, else null.
    """
    spec = SummarySpec(
        keys={_AT: _AT}, aggregates={name: panes.spec.aggregates[name] for name in names}, time=panes.spec.time
    )
    level = _placed(panes, ordered, keys, spec)
    count = ordered.num_rows
    length, position = high - low, low.copy()
    parts: list[Summary] = []
    size = 1
    while len(length) and size <= int(length.max(initial=0)):
        chosen = np.flatnonzero(length & size)
        if len(chosen):
            parts.append(_gather(level, position[chosen], chosen))
            position[chosen] += size
        if 2 * size > int(length.max()):
            break
        level = _double(level, size, count)
        size *= 2
    nothing = finish(_without_keys(level, spec))
    if not parts:
        rows = pa.array(np.zeros(len(low), np.int64))
        return nothing.take(rows)
    found = finish(merge(parts))
    at = found[_AT].to_numpy()
    place = np.full(len(low), found.num_rows, np.int64)
    place[at] = np.arange(found.num_rows)
    answers = found.drop_columns([_AT])
    both = pa.concat_tables([answers, nothing.select(answers.column_names).cast(answers.schema)])
    return both.take(pa.array(place))


def _boundaries(
    starts: Ints, first: Ints, hop: int, overs: Sequence[int], since: int | None, until: int
) -> tuple[Ints, Ints]:
    """Key number and time of each boundary in ``(since, until]``, each once, in order of both."""
    owner = np.repeat(np.arange(len(first) - 1), np.diff(first))
    moments = np.concatenate([starts + hop + over for over in (0, *overs)])
    owners = np.tile(owner, 1 + len(overs))
    inside = moments <= until
    if since is not None:
        inside &= moments > since
    moments, owners = moments[inside], owners[inside]
    order = np.lexsort((moments, owners))
    moments, owners = moments[order], owners[order]
    new = np.ones(len(moments), np.bool_)
    new[1:] = (moments[1:] != moments[:-1]) | (owners[1:] != owners[:-1])
    return owners[new], moments[new]


def _ranges(starts: Ints, first: Ints, group: Ints, begin: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Places of the panes of each group that start in ``[begin, end)``."""
    low, high = np.empty(len(group), np.int64), np.empty(len(group), np.int64)
    cuts = np.searchsorted(group, np.arange(len(first)))
    for key in range(len(first) - 1):
        mine = slice(cuts[key], cuts[key + 1])
        own = starts[first[key] : first[key + 1]]
        low[mine] = first[key] + np.searchsorted(own, begin[mine])
        high[mine] = first[key] + np.searchsorted(own, end[mine])
    return low, high


def _sorted_scalars(panes: Summary, keys: Sequence[str]) -> pa.Table:
    return panes.tables[SCALARS].sort_by([(name, "ascending") for name in (*keys, PANE)]).combine_chunks()


def _key_bounds(ordered: pa.Table, keys: Sequence[str]) -> Ints:
    """Where the panes of each key begin, and their end."""
    new = np.zeros(ordered.num_rows, np.bool_)
    new[:1] = True
    for key in keys:
        codes = _codes(ordered[key])
        new[1:] |= codes[1:] != codes[:-1]
    return np.append(np.flatnonzero(new), ordered.num_rows).astype(np.int64)


def _placed(panes: Summary, ordered: pa.Table, keys: Sequence[str], spec: SummarySpec) -> Summary:
    """The state of the chosen aggregates, keyed by the place of each pane."""
    tables: dict[str, pa.Table] = {}
    names = [column.name for kept in spec.rules.values() for column in kept.scalars]
    places = pa.array(np.arange(ordered.num_rows))
    tables[SCALARS] = pa.table([places, *(ordered[name] for name in names)], names=[_AT, *names])
    for name, kept in spec.rules.items():
        if kept.sketch is None:
            continue
        cells = panes.tables[name]
        at = _places(cells, ordered, [*keys, PANE])
        state = cells.column_names[-2:]
        table = pa.table([pa.array(at), *(cells[column] for column in state)], names=[_AT, *state])
        tables[name] = table.sort_by([(_AT, "ascending"), (state[0], "ascending")]).combine_chunks()
    return Summary(spec, tables)


def _places(cells: pa.Table, ordered: pa.Table, keys: Sequence[str]) -> Ints:
    """The row of `ordered` with the same keys as each row of `cells`; every one has it."""
    code = np.zeros(ordered.num_rows + cells.num_rows, np.int64)
    for key in keys:
        both = pa.chunked_array([*ordered[key].chunks, *cells[key].chunks], ordered[key].type)
        part = _codes(both)
        code = np.unique(code * (int(part.max(initial=0)) + 1) + part, return_inverse=True)[1]
    known, wanted = code[: ordered.num_rows], code[ordered.num_rows :]
    order = np.argsort(known)
    return order[np.searchsorted(known, wanted, sorter=order)]


def _codes(column: pa.ChunkedArray) -> Ints:
    encoded = column.combine_chunks()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    return encoded.dictionary_encode(null_encoding="encode").indices.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _gather(level: Summary, at: Ints, name: Ints) -> Summary:
    """The state at some places, under new names."""
    tables = {}
    for part, table in level.tables.items():
        places = table[_AT].to_numpy()
        low, high = np.searchsorted(places, at), np.searchsorted(places, at, side="right")
        lengths = high - low
        rows = np.repeat(low - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        tables[part] = table.take(pa.array(rows)).set_column(0, _AT, pa.array(np.repeat(name, lengths)))
    return Summary(level.spec, tables)


def _double(level: Summary, size: int, count: int) -> Summary:
    """Blocks of twice the size: each merged with the one that begins where it ends."""

    def shifted(table: pa.Table) -> pa.Table:
        return table.set_column(0, _AT, pa.array(table[_AT].to_numpy() - size))

    both = merge([level, Summary(level.spec, {name: shifted(table) for name, table in level.tables.items()})])
    kept = {}
    for name, table in both.tables.items():
        at = table[_AT].to_numpy()
        inside = table.filter(pa.array((at >= 0) & (at + 2 * size <= count)))
        order = [(_AT, "ascending"), *([] if name == SCALARS else [(table.column_names[1], "ascending")])]
        kept[name] = inside.sort_by(order).combine_chunks()
    return Summary(level.spec, kept)


def _without_keys(level: Summary, spec: SummarySpec) -> Summary:
    bare = SummarySpec(keys={}, aggregates=spec.aggregates, time=spec.time)
    return Summary(bare, {name: table.slice(0, 0).drop_columns([_AT]) for name, table in level.tables.items()})


def _over(part: Aggregate) -> int:
    assert part.over is not None
    return duration(part.over)


def _stream(view: FeatureView) -> Stream:
    if not isinstance(view.source, Stream):
        raise DefinitionError("only a view over a stream has panes", where=view.address)
    return view.source


__all__ = ["PANE", "aggregates", "feature_rows", "longest", "merge_ranges", "pane_spec", "pane_window"]
