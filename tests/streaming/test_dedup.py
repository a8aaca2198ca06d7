"""Deduplication against a dictionary that remembers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.streaming import dedup
from mercury.streaming.watermarks import BEGINNING

SCHEMA = pa.schema([("a", pa.string()), ("b", pa.int64())])
Row = tuple[str, int, int]
rows = st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 1), st.integers(0, 40)), max_size=40)


def naive(events: list[Row], ttl: int) -> list[bool]:
    """Row by row: per key the time reached with the copy that counted, and the greatest time so far."""
    remembered: dict[tuple[str, int], int] = {}
    latest = BEGINNING
    out = []
    for a, b, instant in events:
        known = remembered.get((a, b))
        duplicate = known is not None and known >= latest - ttl
        out.append(duplicate)
        latest = max(latest, instant)
        if not duplicate:
            remembered[a, b] = latest
    return out


def run(events: list[Row], cuts: list[int], ttl: int) -> tuple[list[bool], pa.Table]:
    memory, latest, marks = dedup.empty_memory(SCHEMA, ["a", "b"]), BEGINNING, []
    for start, stop in zip([0, *cuts], [*cuts, len(events)], strict=True):
        part = events[start:stop]
        table = pa.table({"a": [r[0] for r in part], "b": [r[1] for r in part]}, schema=SCHEMA)
        instants = np.array([r[2] for r in part], dtype=np.int64)
        duplicate, additions = dedup.deduplicate(table, ["a", "b"], instants, latest, ttl, memory)
        latest = max([latest, *instants.tolist()])
        memory = dedup.remember(memory, additions, latest, ttl)
        marks += duplicate.tolist()
    return marks, memory


@settings(max_examples=300, deadline=None)
@given(rows, st.integers(0, 30), st.data())
def test_epochs_however_cut_find_the_duplicates_that_one_pass_finds(
    events: list[Row], ttl: int, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=3)))

    marks, memory = run(events, cuts, ttl)

    assert marks == naive(events, ttl)
    if events:
        latest = max(instant for _, _, instant in events)
        assert all(instant >= latest - ttl for instant in memory.column(dedup.REMEMBERED).to_pylist())


def test_the_first_copy_counts_and_memory_forgets_after_the_ttl() -> None:
    events = [("x", 0, 0), ("x", 0, 0), ("y", 0, 11), ("x", 0, 0), ("x", 0, 0), ("z", 0, 22)]

    marks, memory = run(events, [2], ttl=10)

    assert marks == [False, True, False, False, True, False]
    assert memory.column("a").to_pylist() == ["z"]


def test_one_key_column_may_be_text() -> None:
    table = pa.table({"a": ["é", "e", "é"]})
    memory = dedup.empty_memory(table.schema, ["a"])

    duplicate, additions = dedup.deduplicate(table, ["a"], np.array([1, 1, 1]), BEGINNING, 5, memory)

    assert duplicate.tolist() == [False, False, True]
    assert additions.column("a").to_pylist() == ["é", "e"]
