"""Later copies of an event, found exactly by its key, within a time to live in event time. Pure.

A row is a duplicate when its partition saw the same key before and event time has not come further than the time to
live since; event time is here the greatest of the partition so far, whether or not the event itself was late. The first
copy counts. Copies are looked for within a partition: a Kafka producer that keys its messages sends all copies of an
event to one partition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import pyarrow as pa

from mercury.streaming import watermarks

REMEMBERED = "_seen"
"""Column of a memory: how far event time (int64 µs) had come with the copy that counted."""

_NEVER = watermarks.BEGINNING


def empty_memory(schema: pa.Schema, keys: Sequence[str]) -> pa.Table:
    """No keys remembered."""
    return pa.schema([*(schema.field(key) for key in keys), pa.field(REMEMBERED, pa.int64())]).empty_table()


def deduplicate(
    rows: pa.Table,
    keys: Sequence[str],
    event_times: np.ndarray,
    latest: int,
    ttl: int,
    memory: pa.Table,
    passing: np.ndarray | None = None,
) -> tuple[np.ndarray, pa.Table]:
    """Which rows of one partition, in offset order, are duplicates, and the keys to remember of the others.

    Parameters
    ----------
    rows : holds the key columns, without nulls but in passing rows.
    event_times : int64 µs, one per row.
    latest : greatest event time of the partition before these rows, or `watermarks.BEGINNING`.
    ttl : microseconds.
    memory : the keys remembered so far; see `empty_memory`.
    passing : mask of rows that only advance event time; None for none. They are no duplicates and are not remembered.

    Returns a mask of the duplicates, and additions for `remember`.
    """
    thresholds = watermarks.before(event_times, latest, ttl)
    seen = np.maximum.accumulate(np.maximum(event_times, latest)) if len(event_times) else event_times
    if passing is None or not passing.any():
        return _find(rows, keys, thresholds, seen, memory)
    events = ~passing
    duplicate = np.zeros(len(event_times), dtype=np.bool_)
    duplicate[events], additions = _find(rows.filter(pa.array(events)), keys, thresholds[events], seen[events], memory)
    return duplicate, additions


def _find(
    rows: pa.Table, keys: Sequence[str], thresholds: np.ndarray, seen: np.ndarray, memory: pa.Table
) -> tuple[np.ndarray, pa.Table]:
    """The mask and additions of rows which all count."""
    known = memory.num_rows
    codes, distinct = _codes([_joined(memory.column(key), rows.column(key)) for key in keys])
    remembered = np.full(distinct, _NEVER, dtype=np.int64)
    remembered[codes[:known]] = memory.column(REMEMBERED).to_numpy()
    duplicate = np.zeros(rows.num_rows, dtype=np.bool_)
    last = np.full(distinct, -1, dtype=np.int64)
    _mark(codes[known:], seen, thresholds, remembered, duplicate, last)
    kept = np.sort(last[last >= 0])
    additions = rows.select(list(keys)).take(pa.array(kept)).append_column(REMEMBERED, pa.array(seen[kept]))
    return duplicate, additions


def remember(memory: pa.Table, additions: pa.Table, latest: int, ttl: int) -> pa.Table:
    """The memory after additions, without what is older than the partition's greatest event time less the ttl."""
    if latest == _NEVER:
        return memory
    both = pa.concat_tables([memory, additions])
    return both.filter(pa.array(both.column(REMEMBERED).to_numpy() >= latest - ttl)).combine_chunks()


def _joined(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.Array:
    return pa.chunked_array([*first.chunks, *second.chunks], first.type).combine_chunks()


def _codes(columns: Sequence[pa.Array]) -> tuple[np.ndarray, int]:
    """One integer per row, equal for equal keys, and how many integers there are."""
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    distinct = 1
    for column in columns:
        encoded = column.dictionary_encode(null_encoding="encode")
        codes = codes * max(len(encoded.dictionary), 1) + encoded.indices.to_numpy(zero_copy_only=False)
        if len(columns) > 1:
            found, codes = np.unique(codes, return_inverse=True)
            distinct = len(found)
        else:
            distinct = len(encoded.dictionary)
    return codes.astype(np.int64), distinct


@numba.njit(cache=True, nogil=True)
def _mark(
    codes: np.ndarray,
    seen: np.ndarray,
    thresholds: np.ndarray,
    remembered: np.ndarray,
    duplicate: np.ndarray,
    last: np.ndarray,
) -> None:
    for row in range(len(codes)):
        code = codes[row]
        if remembered[code] != _NEVER and remembered[code] >= thresholds[row]:
            duplicate[row] = True
        else:
            remembered[code] = seen[row]
            last[code] = row
