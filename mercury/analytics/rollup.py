"""Rollups: summary state per cell of time and dimensions, kept in Delta tables, and what rows it stands for.

A rollup is a folder. Below the digest of its definition, ``scalars`` and one table per sketch hold the state;
``coverage`` has one row that says of which rows it is and at which version of each table it lies. Readers read the
tables at just these versions, so a build never shows through by halves. A build adds the cells of new rows beside the
old ones, which readers merge, until these are too many; then it writes all of them anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mercury.analytics import calendars
from mercury.analytics.buckets import cell_expression, row_buckets
from mercury.analytics.conditions import conjunction
from mercury.analytics.model import ResolvedModel, resolve
from mercury.analytics.source import Keys, Snapshot, Source
from mercury.analytics.tail import Changes, spans, upto, within
from mercury.definitions import Aggregate, Project, Rollup, SemanticModel, canonical_json
from mercury.errors import DefinitionError, NotFoundError, TableNotFoundError, UsageError, did_you_mean
from mercury.lake import Lake
from mercury.summaries import SCALARS, Summary, SummarySpec, merge
from mercury.tables import Table
from mercury.time import to_iso

if TYPE_CHECKING:
    from mercury.config import Settings

FORMAT = 1
"""Version of the layout of a rollup; it is part of its digest, so another one is built anew."""

REWRITE_SHARE = 0.25
"""Cells that may lie beside the whole ones, as a share of these, before all are merged and written anew."""

_COVERAGE = pa.schema(
    [
        pa.field("format", pa.int32()),
        pa.field("digest", pa.string()),  # of what the cells mean
        pa.field("version", pa.int64()),  # of the source's table
        pa.field("epoch", pa.int64()),  # of a stream
        pa.field("positions", pa.string()),  # JSON: partition to next offset
        pa.field("until", pa.timestamp("us", tz="UTC")),  # cells begin before this time
        pa.field("shift", pa.int64()),  # µs from whole minutes or hours in UTC to the beginnings of cells
        pa.field("low", pa.timestamp("us", tz="UTC")),  # least and greatest time of the rows
        pa.field("high", pa.timestamp("us", tz="UTC")),
        pa.field("tables", pa.string()),  # JSON: table to [version, cells, of these merged]
        pa.field("built_at", pa.timestamp("us", tz="UTC")),
    ]
)


_COVERAGE_IN_NUMBERS = pa.schema(
    [field.with_type(pa.int64()) if pa.types.is_timestamp(field.type) else field for field in _COVERAGE]
)


@dataclass(frozen=True)
class Coverage:
    """Of which rows a rollup is.

    Parameters
    ----------
    digest : see `RollupTable.digest`.
    version, epoch : of the source when it was built; all rows of that version are in it, late ones included.
    positions : of a stream, the next offset of each partition.
    until : of these rows only those before this time (µs), or without one; None for all.
    shift : where cells of fixed length begin, see `calendars.common_shift`.
    low, high : least and greatest time of the source's rows.
    tables : table of the state to version, cells in it, and cells of it that were merged.
    """

    digest: str
    version: int
    epoch: int | None
    positions: Mapping[int, int]
    until: int | None
    shift: int
    low: int
    high: int
    tables: Mapping[str, tuple[int, int, int]]

    @property
    def cells(self) -> int:
        """Cells in all tables."""
        return sum(cells for _, cells, _ in self.tables.values())


@dataclass(frozen=True)
class Build:
    """What a build did: ``whole``, ``added`` or ``current`` (there was nothing to do), and how many cells there are."""

    model: str
    rollup: str
    how: str
    cells: int
    version: int
    epoch: int | None
    seconds: float


@dataclass(frozen=True)
class RollupTable:
    """A rollup of a model and where it lies."""

    model: ResolvedModel
    name: str
    rollup: Rollup
    uri: str

    @property
    def grain(self) -> str:
        """Of its cells."""
        return self.rollup.grain

    def keys(self, stretches: Sequence[tuple[int, int]], shift: int) -> list[Keys]:
        """The cell of a row, for rows whose times are in the stretches."""
        by = {name: self.model.model.dimensions[name] for name in self.rollup.by}
        if self.grain in calendars.FIXED:
            return [Keys({self.grain: cell_expression(self.model.time, self.grain, shift), **by})]
        parts = row_buckets(self.model.time, self.grain, self.model.model.timezone, stretches)
        return [Keys({self.grain: part.sql, **by}, part.condition) for part in parts]

    @cached_property
    def stored(self) -> SummarySpec:
        """The same over its own cells: what merges with what."""
        return SummarySpec([self.grain, *self.rollup.by], self.kept, self._time)

    def address(self, name: str) -> str:
        """Of one table of the state; another definition has other tables."""
        return f"{self.uri}/{self.digest}/{name}"

    @cached_property
    def digest(self) -> str:
        """Hash of all that decides what a cell means; with another one the rollup is built anew."""
        model = self.model.model
        content = {
            "format": FORMAT,
            "spec": self.stored.hash,
            "by": [[name, model.dimensions[name]] for name in self.rollup.by],
            "time": model.time_column,
            "timezone": model.timezone,
            "where": model.where,
            "source": model.source.address if model.source else None,
        }
        return hashlib.sha256(canonical_json(content)).hexdigest()[:16]

    @cached_property
    def kept(self) -> dict[str, Aggregate]:
        """The leaves that it keeps."""
        return self.model.kept(self.rollup)

    @property
    def _time(self) -> str | None:
        ordered = any(part.kind in ("First", "Last") for part in self.kept.values())
        return self.model.time if ordered else None

    def coverage(self) -> Coverage | None:
        """The last build; None before the first."""
        return CoverageReader(self).read()

    def cells(self, coverage: Coverage, name: str, columns: list[str] | None = None) -> pa.Table:
        """One table of the state that a build left."""
        return Table.open(self.address(name)).read(columns, version=coverage.tables[name][0])


class CoverageReader:
    """Reads the coverage of a rollup whenever it has changed; one thread uses it at a time."""

    def __init__(self, table: RollupTable) -> None:
        self._uri = f"{table.uri}/coverage"
        self._table: Table | None = None
        self._found: tuple[int, Coverage | None] = (-1, None)

    def read(self) -> Coverage | None:
        """The last build; None before the first."""
        if self._table is None:
            try:
                self._table = Table.open(self._uri)
            except TableNotFoundError:
                return None
        version = self._table.refresh().version
        if version != self._found[0]:
            # Times as numbers: a row may be of a year that Python's do not reach.
            rows = self._table.read(version=version).cast(_COVERAGE_IN_NUMBERS).to_pylist()
            self._found = (version, next((_coverage(row) for row in rows if row["format"] == FORMAT), None))
        return self._found[1]


def rollups_of(model: ResolvedModel, lake: Lake) -> list[RollupTable]:
    """The rollups of a model, in the order of their definition."""
    return [
        RollupTable(model, name, rollup, lake.rollup(model.name, name)) for name, rollup in model.model.rollups.items()
    ]


def build_rollups(
    project: Project,
    settings: Settings,
    model: SemanticModel | str,
    rollup: str | None = None,
    *,
    until: int | None = None,
) -> list[Build]:
    """Bring the rollups of a model, or one of them, up to the newest version of its source.

    Parameters
    ----------
    until : microseconds UTC; rows from the last beginning of a cell at or before this time on stay out.

    Rows that a stream brought since the last build are added; anything else that changed leads to a whole build. Two
    builds at once are both right, and one of them is kept.
    """
    definition = model if isinstance(model, SemanticModel) else project.get(SemanticModel, model)
    resolved, lake = resolve(definition), Lake(settings.lake)
    chosen = [table for table in rollups_of(resolved, lake) if rollup in (None, table.name)]
    if rollup is not None and not chosen:
        raise NotFoundError(
            f"{definition.name!r} has no rollup {rollup!r}", fix=did_you_mean(rollup, definition.rollups)
        )
    if not chosen:
        raise UsageError(f"{definition.name!r} has no rollups", where=definition.address, fix="Give it rollups={…}")
    snapshot = Source(resolved, lake).snapshot()
    return list(_built(chosen, snapshot, until))


def _built(chosen: list[RollupTable], snapshot: Snapshot, until: int | None) -> Iterator[Build]:
    positions, changes = snapshot.positions(), Changes()
    for table in chosen:
        began = time.perf_counter()
        zone = table.model.model.timezone
        shift = _shift(table, snapshot.stretches)
        end = None if until is None else calendars.last_boundary(until, table.grain, zone, shift)
        last = table.coverage()
        known = last if last is not None and _extends(last, table, snapshot, changes, end, shift) else None
        how = "whole" if known is None else "added"
        if known is not None and (known.positions, known.until) == (positions, end):
            yield Build(table.model.name, table.name, "current", known.cells, snapshot.version, snapshot.epoch,
                        time.perf_counter() - began)  # fmt: skip
            continue
        state = _state(table, snapshot, positions, known, end, shift)
        tables = _write(table, known, state)
        low, high = snapshot.extent
        fresh = Coverage(table.digest, snapshot.version, snapshot.epoch, positions, end, shift, low, high, tables)
        _publish(table, fresh)
        yield Build(table.model.name, table.name, how, fresh.cells, snapshot.version, snapshot.epoch,
                    time.perf_counter() - began)  # fmt: skip


def _shift(table: RollupTable, stretches: Sequence[tuple[int, int]]) -> int:
    if table.grain not in calendars.FIXED:
        return 0
    shift = calendars.common_shift(table.grain, calendars.clocks(table.model.model.timezone, stretches))
    if shift is None:
        raise DefinitionError(
            f"clocks of {table.model.model.timezone} changed within cells of {table.grain}",
            where=f"{table.model.model.address}.rollups.{table.name}",
            fix="Use grain='minute' or grain='day'",
        )
    return shift


def _extends(
    last: Coverage, table: RollupTable, snapshot: Snapshot, changes: Changes, until: int | None, shift: int
) -> bool:
    """Whether the cells of the last build are right as far as they go, so that only others need to be added."""
    if last.digest != table.digest or last.shift != shift or changes.since(snapshot, last.version) is not None:
        return False
    # Cells cannot be taken out again.
    return last.until is None if until is None else last.until is not None and last.until <= until


def _state(
    table: RollupTable,
    snapshot: Snapshot,
    positions: Mapping[int, int],
    known: Coverage | None,
    until: int | None,
    shift: int,
) -> Summary:
    """Cells of the rows up to these positions and this time, without those that are in a build already."""
    keys = table.keys(snapshot.stretches, shift)
    spec = SummarySpec(keys[0].columns, table.stored.aggregates, table.stored.time)
    if known is None:
        found = [snapshot.summary(spec, [_before(table, until)], keys)]
    else:
        found = []
        for span in spans(positions, known.positions):
            held, after = within(span, positions)
            _, before = within(span, known.positions)
            old = conjunction([_upto(table, before), _before(table, known.until) or "TRUE"])
            conditions = [*held, _upto(table, after), _before(table, until), f"NOT ({old})"]
            found.append(snapshot.summary(spec, conditions, keys))
    return Summary(table.stored, merge(found).tables)


def _upto(table: RollupTable, positions: Mapping[int, int]) -> str:
    return upto(positions) if table.model.is_stream else "TRUE"


def _before(table: RollupTable, until: int | None) -> str | None:
    """Condition that a row is of before a time, or of none; it is never NULL."""
    time_ = table.model.time
    return None if until is None else f"{time_} < TIMESTAMP '{to_iso(until)}' OR {time_} IS NULL"


def _write(table: RollupTable, known: Coverage | None, state: Summary) -> dict[str, tuple[int, int, int]]:
    """Write the state, or add it to what is known; version, cells and merged cells of each table."""
    if known is not None:
        merged = sum(merged for _, _, merged in known.tables.values())
        beside = known.cells - merged + sum(part.num_rows for part in state.tables.values())
        if beside <= REWRITE_SHARE * merged:
            added = _added(table, known, state)
            if added is not None:
                return added
        held = {name: table.cells(known, name) for name in known.tables}
        state = merge([Summary(table.stored, held), state])
    found = {}
    for name, part in state.tables.items():
        target = Table.create(table.address(name), part.schema, exist_ok=True)
        commit = target.overwrite(part.sort_by(table.grain))
        target.vacuum()
        found[name] = (commit.version, part.num_rows, part.num_rows)
    return found


def _added(table: RollupTable, known: Coverage, state: Summary) -> dict[str, tuple[int, int, int]] | None:
    """Append the state to the known tables; None when somebody else changed them meanwhile."""
    found = {}
    for name, part in state.tables.items():
        version, cells, merged = known.tables[name]
        if not part.num_rows:
            found[name] = (version, cells, merged)
            continue
        commit = Table.open(table.address(name)).append(part.sort_by(table.grain))
        if commit.version != version + 1:
            return None
        found[name] = (commit.version, cells + part.num_rows, merged)
    return found


def _publish(table: RollupTable, coverage: Coverage) -> None:
    from datetime import UTC, datetime

    row: dict[str, Any] = {
        "format": FORMAT,
        "digest": coverage.digest,
        "version": coverage.version,
        "epoch": coverage.epoch,
        "positions": json.dumps({str(part): offset for part, offset in coverage.positions.items()}),
        "until": coverage.until,
        "shift": coverage.shift,
        "low": coverage.low,
        "high": coverage.high,
        "tables": json.dumps({name: list(part) for name, part in coverage.tables.items()}),
        "built_at": datetime.now(UTC),
    }
    columns = [
        pa.array([row[field.name]], pa.int64()).cast(field.type)
        if field.name in ("until", "low", "high")
        else pa.array([row[field.name]], field.type)
        for field in _COVERAGE
    ]
    target = Table.create(f"{table.uri}/coverage", _COVERAGE, exist_ok=True)
    target.overwrite(pa.Table.from_arrays(columns, schema=_COVERAGE))


def _coverage(row: Mapping[str, Any]) -> Coverage:
    return Coverage(
        row["digest"],
        row["version"],
        row["epoch"],
        {int(partition): offset for partition, offset in json.loads(row["positions"]).items()},
        row["until"],
        row["shift"],
        row["low"],
        row["high"],
        {name: tuple(part) for name, part in json.loads(row["tables"]).items()},
    )


__all__ = ["SCALARS", "Build", "Coverage", "RollupTable", "build_rollups", "rollups_of"]
