"""What came after a rollup was built: rows of a stream beyond its offsets, and changes that no rollup can follow.

A rollup holds all rows up to an offset of each partition, whatever their time, so a late row is never missed and never
counted twice: it is beyond the offsets, and is read from the rows until the next build. That offsets only grow is
streaming's promise. Whatever else changes rows (an erasure, an overwrite) cannot be taken out of sums again and makes
the rollup stale; only commits that are known to leave the rows as they are, or to be a stream's epochs, are passed
over.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from mercury.analytics.conditions import conjunction
from mercury.analytics.source import OFFSET, PARTITION, Snapshot
from mercury.errors import NotFoundError
from mercury.tables import Commit, Table

HARMLESS = frozenset({"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "CREATE TABLE", "ADD FEATURE"})
"""Operations that leave all rows as they are."""


MOST = 75
"""Partitions that one condition names, since the length of an expression is limited."""


def spans(*positions: Mapping[int, int]) -> list[tuple[int | None, int | None]]:
    """Ranges ``[first, end)`` of partitions that together hold all, each with few that are named; None for no bound."""
    known = sorted(set().union(*positions))
    cuts = known[MOST::MOST]
    return list(zip([None, *cuts], [*cuts, None], strict=True))


def within(span: tuple[int | None, int | None], positions: Mapping[int, int]) -> tuple[list[str], dict[int, int]]:
    """Conditions that a row's partition is in a span, and those of the positions that are."""
    first, end = span
    parts = [] if first is None else [f"{PARTITION} >= {first}"]
    parts += [] if end is None else [f"{PARTITION} < {end}"]
    held = {
        partition: offset
        for partition, offset in positions.items()
        if (first is None or partition >= first) and (end is None or partition < end)
    }
    return parts, held


def tails(positions: Mapping[int, int]) -> list[str]:
    """Conditions, no two of which a row meets, that a row came after these offsets."""
    found = []
    for span in spans(positions):
        parts, held = within(span, positions)
        found.append(conjunction([*parts, beyond(held)]) or "TRUE")
    return found


def beyond(positions: Mapping[int, int]) -> str:
    """Condition that a row came after these offsets; partitions that they do not name are all after."""
    if not positions:
        return "TRUE"
    known = sorted(positions)
    parts = [f"({PARTITION} = {partition} AND {OFFSET} >= {positions[partition]})" for partition in known]
    # As ranges, which the statistics of a file can rule out.
    gaps = [f"({PARTITION} > {low} AND {PARTITION} < {high})" for low, high in pairwise(known) if high > low + 1]
    return " OR ".join([*parts, f"{PARTITION} < {known[0]}", *gaps, f"{PARTITION} > {known[-1]}"])


def upto(positions: Mapping[int, int]) -> str:
    """Condition that a row lies before these offsets."""
    parts = [f"({PARTITION} = {partition} AND {OFFSET} < {offset})" for partition, offset in sorted(positions.items())]
    return " OR ".join(parts) or "FALSE"


class Changes:
    """Remembers up to which version a table's commits have been looked at."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], tuple[int, str | None]] = {}

    def since(self, snapshot: Snapshot, version: int) -> str | None:
        """Why rows of a version cannot be taken for the first rows of the snapshot; None when they can."""
        table = snapshot.table
        if version > snapshot.version:
            return f"it was built from version {version}, and the table is at {snapshot.version}"
        key = (table.uri, version)
        checked, fault = self._seen.get(key, (version, None))
        if fault is None and checked < snapshot.version:
            checked, fault = snapshot.version, _fault(table, snapshot, checked)
            if len(self._seen) > 1000:
                self._seen.clear()
            self._seen[key] = (checked, fault)
        return fault


def _fault(table: Table, snapshot: Snapshot, after: int) -> str | None:
    try:
        commits = [commit for commit in table.history(table.version - after) if commit.version > after]
    except NotFoundError:
        commits = []
    found = {commit.version for commit in commits}
    for version in range(after + 1, snapshot.version + 1):
        if version not in found:
            return f"the log no longer says what version {version} of its source changed"
    for commit in sorted(commits, key=lambda one: one.version):
        if commit.version <= snapshot.version and not _is_harmless(commit, snapshot):
            return f"version {commit.version} of its source changed rows ({commit.operation})"
    return None


def _is_harmless(commit: Commit, snapshot: Snapshot) -> bool:
    if commit.operation in HARMLESS:
        return True
    source = snapshot.model.model.source
    if not snapshot.model.is_stream or source is None or commit.operation not in ("WRITE", "STREAMING UPDATE"):
        return False
    return commit.provenance.get("job") == f"stream/{source.name}" and "epoch" in commit.provenance
