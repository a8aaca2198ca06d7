"""Quarantine: the bad rows of a source in one Parquet file, each with its reasons and its place.

A row is bad when it breaks a check that tolerates no failing row and is an error: a row check, or a uniqueness check,
of which every later copy is bad and the first one good. The file holds the source's own columns as they are, since it
is there to mend them: protect it as the source itself. Its reasons hold no values.

==========  ============  =======================================================
column      type          meaning
==========  ============  =======================================================
_errors     list<string>  what the row breaks, one reason per check
_file       string        the file that the row lies in
_row        int64         number of the row in the file, from 1
==========  ============  =======================================================
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mercury.errors import DiskFullError, MercuryError, SchemaError
from mercury.quality.block import Block
from mercury.quality.checks import Check, RowCheck, Unique
from mercury.quality.contract import Contract
from mercury.quality.engines.arrow import blocks, scan
from mercury.quality.keys import candidates, key_tuples
from mercury.quality.metrics.keys import KeyCounts
from mercury.quality.plan import Broken, missing_columns, plan
from mercury.quality.results import Position
from mercury.quality.rows import expressions_of, failing_rows
from mercury.quality.rules import is_text
from mercury.quality.source import Source
from mercury.quality.thresholds import Severity

ADDED = ("_errors", "_file", "_row")

FORMAT = 1
"""Version of the file of bad rows; it stands in the metadata of its schema under `FORMAT_KEY`."""

FORMAT_KEY = b"mercury.quarantine.format"


@dataclass(frozen=True)
class Quarantine:
    """What was written: paths, counts, the bad rows per check (never capped), and the checks that could not judge."""

    bad_path: str
    good_path: str | None
    bad_rows: int
    good_rows: int
    written_rows: int
    per_check: Mapping[str, int] = field(default_factory=dict)
    not_applied: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "bad_path": self.bad_path,
            "good_path": self.good_path,
            "bad_rows": self.bad_rows,
            "good_rows": self.good_rows,
            "written_rows": self.written_rows,
            "per_check": dict(self.per_check),
            "not_applied": list(self.not_applied),
        }


def quarantine(
    source: Source, contract: Contract, folder: str | Path, *, good: bool = False, cap: int | None = None
) -> Quarantine:
    """Split a source into ``bad.parquet`` and, with `good`, ``good.parquet`` in a folder.

    Parameters
    ----------
    cap : at most so many bad rows are written per check; they are counted all the same.

    Nothing is visible before it is complete. Raises `SchemaError` when the source has a column of a name in `ADDED`.
    """
    taken = [name for name in ADDED if name in source.schema.names]
    if taken:
        raise SchemaError(f"the data has a column {taken[0]!r} already", where=source.uri, fix="Rename it")
    splitter = _Splitter(source, contract, cap)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    writers = _Writers(target, source.schema, good)
    try:
        for block in blocks(source, source.schema.names):
            writers.write(*splitter.split(block.table, block.position))
        bad_path, good_path = writers.finish()
    except OSError as error:
        writers.discard()
        if error.errno == errno.ENOSPC:
            what = f"no room for the quarantine after {splitter.bad + splitter.good:,} rows"
            raise DiskFullError(what, where=str(target), fix="Free some space, or give --cap") from error
        raise
    except BaseException:
        writers.discard()
        raise
    return Quarantine(
        str(bad_path),
        str(good_path) if good_path else None,
        splitter.bad,
        splitter.good,
        writers.written,
        splitter.per_check,
        tuple(splitter.not_applied),
    )


class _Splitter:
    """Judges blocks in the order of rows; what it remembers between them is the keys that repeat."""

    def __init__(self, source: Source, contract: Contract, cap: int | None) -> None:
        self.bad = self.good = 0
        self.per_check: dict[str, int] = {}
        self.not_applied: list[str] = []
        self._source, self._cap = source, cap
        self._row_checks = [check for check in contract.row_checks if self._applies(check)]
        self._expressions = expressions_of(self._row_checks)
        unique = [check for check in contract.checks if isinstance(check, Unique) and _rejects(check)]
        self._unique = self._repeats([check for check in unique if self._applies(check)])

    def split(self, table: pa.Table, position: Position) -> tuple[pa.Table, pa.Table]:
        block = Block(table, position, self._expressions)
        reasons: dict[int, list[str]] = {}
        bad = np.zeros(block.rows, dtype=bool)
        kept = np.zeros(block.rows, dtype=bool)
        for check, mask in self._masks(block):
            rows = np.flatnonzero(mask)
            before = self.per_check.get(check.name, 0)
            self.per_check[check.name] = before + len(rows)
            bad |= mask
            kept[rows if self._cap is None else rows[: max(0, self._cap - before)]] = True
            for row in rows.tolist():
                reasons.setdefault(row, []).append(check.reason)
        self.bad += int(bad.sum())
        self.good += int(block.rows - bad.sum())
        rows = np.flatnonzero(kept)
        taken = _plain(table.take(pa.array(rows)))
        file = self._source.files[position.file] if self._source.files else self._source.uri
        added = (
            pa.array([reasons[row] for row in rows.tolist()], pa.list_(pa.string())),
            pa.array([file] * len(rows), pa.string()),
            pa.array(rows + position.row + 1, pa.int64()),
        )
        for name, column in zip(ADDED, added, strict=True):
            taken = taken.append_column(name, column)
        return taken, table.filter(pa.array(~bad))

    def _masks(self, block: Block) -> list[tuple[RowCheck | Unique, np.ndarray]]:
        found: list[tuple[RowCheck | Unique, np.ndarray]] = []
        for check in list(self._row_checks):
            try:
                mask = failing_rows(check, block)
            except MercuryError:
                self._row_checks.remove(check)
                self.not_applied.append(check.name)
                continue
            if mask is not None:
                found.append((check, mask))
        found += [(check, mask) for check, copies in self._unique if (mask := copies.mask(block)) is not None]
        return found

    def _repeats(self, checks: Sequence[Unique]) -> list[tuple[Unique, _Copies]]:
        wanted = plan(checks, self._source.schema)
        states = scan(wanted, self._source, self._source.ranges()).states if checks else {}
        found: list[tuple[Unique, _Copies]] = []
        for check in checks:
            metric = KeyCounts(check.keys)
            if isinstance(states[metric], Broken):
                self.not_applied.append(check.name)
            else:
                found.append((check, _Copies(metric, states[metric].repeated())))
        return found

    def _applies(self, check: Check) -> bool:
        if missing_columns(check, self._source.schema):
            self.not_applied.append(check.name)
            return False
        return True


class _Copies:
    """Finds the later copies of repeated keys, block by block; remembers only keys whose hash repeats."""

    def __init__(self, metric: KeyCounts, repeated: np.ndarray) -> None:
        self._metric, self._repeated = metric, repeated
        self._seen: set[tuple[Any, ...]] = set()

    def mask(self, block: Block) -> np.ndarray | None:
        rows = candidates(self._metric, self._repeated, block)
        bad = np.zeros(block.rows, dtype=bool)
        for row, key in zip(rows.tolist(), key_tuples(block, rows, self._metric.keys), strict=True):
            if key in self._seen:
                bad[row] = True
            self._seen.add(key)
        return bad if bad.any() else None


class _Writers:
    """The files under temporary names until `finish`."""

    def __init__(self, folder: Path, schema: pa.Schema, good: bool) -> None:
        added = (pa.list_(pa.string()), pa.string(), pa.int64())
        fields = [*schema, *(pa.field(name, kind) for name, kind in zip(ADDED, added, strict=True))]
        bad_schema = pa.schema(fields, metadata={FORMAT_KEY: str(FORMAT).encode()})
        self.written = 0
        self._finals = [folder / "bad.parquet", *([folder / "good.parquet"] if good else [])]
        self._drafts = [path.with_name(f".{path.name}.draft") for path in self._finals]
        schemas = [bad_schema, schema]
        self._schemas = schemas
        self._open = [pq.ParquetWriter(path, schemas[number]) for number, path in enumerate(self._drafts)]

    def write(self, bad: pa.Table, good: pa.Table) -> None:
        self.written += bad.num_rows
        for writer, table, schema in zip(self._open, (bad, good), self._schemas, strict=False):
            if table.num_rows:
                writer.write_table(_plain(table).cast(schema))

    def finish(self) -> tuple[Path, Path | None]:
        for writer, draft, final in zip(self._open, self._drafts, self._finals, strict=True):
            writer.close()
            draft.replace(final)
        return self._finals[0], self._finals[1] if len(self._finals) > 1 else None

    def discard(self) -> None:
        for writer, draft in zip(self._open, self._drafts, strict=True):
            # Closing writes the footer, which fails again on a full disk; the first error is the one to tell.
            with contextlib.suppress(OSError, pa.ArrowException):
                writer.close()
            draft.unlink(missing_ok=True)


def _rejects(check: Check) -> bool:
    return check.severity is Severity.ERROR and check.threshold.tolerates_none


def _plain(table: pa.Table) -> pa.Table:
    for index, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type) and is_text(column.type):
            table = table.set_column(index, column.name, table.column(index).cast(pa.string()))
    return table
