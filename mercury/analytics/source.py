"""The rows that a model is of, as of one version of their table: which files may hold what, and their summaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mercury.analytics.buckets import joined, stretches_of
from mercury.analytics.conditions import conjunction
from mercury.analytics.model import ResolvedModel
from mercury.errors import SchemaError, TableNotFoundError
from mercury.expressions import Expression
from mercury.lake import Lake
from mercury.summaries import Summary, SummarySpec, empty, merge, partial
from mercury.tables import Table
from mercury.time import DAY, to_iso

PARTITION, OFFSET = "_partition", "_offset"
"""Where a row of a stream lay in its topic; streaming writes both beside the event."""

UNKNOWN = 1_000_000
"""Rows that a file is taken to have whose footer is not at hand."""

YEAR = 366 * DAY

LARGE = 1 << 23
"""Rows of files that are read at once where they pass through memory."""


@dataclass(frozen=True)
class RowGroup:
    """Rows that lie together in a file, with the least and greatest time, if the file says; microseconds UTC."""

    rows: int
    low: int | None
    high: int | None


@dataclass(frozen=True)
class Reads:
    """Rows, and the files that they are in."""

    rows: int
    files: int


@dataclass(frozen=True)
class Keys:
    """SQL of the keys of a summary, right for the rows that meet ``condition``; None for all."""

    columns: Mapping[str, str]
    condition: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """One version of a source's table.

    Parameters
    ----------
    model : whose source it is.
    table : the open table; one thread uses it at a time.
    version : of the table.
    epoch : of a stream, the last one that brought rows; None for a batch table and before the first.
    """

    model: ResolvedModel
    table: Table
    version: int
    epoch: int | None

    @property
    def schema(self) -> pa.Schema:
        """Of the rows."""
        return self.table.schema

    def files(self, where: str | None = None) -> list[str]:
        """Files that may hold rows that meet a condition."""
        return self.table.files(where, version=self.version)

    def reads(self, start: int | None, end: int | None) -> Reads:
        """What must be read for a range of time; groups of rows count whole."""
        touched = [
            sum(
                group.rows
                for group in groups
                if (start is None or group.high is None or group.high >= start)
                and (end is None or group.low is None or group.low < end)
            )
            for groups in self._held
        ]
        return Reads(sum(touched), sum(rows > 0 for rows in touched))

    def reads_of(self, files: Sequence[str]) -> Reads:
        """What reading some of the files is."""
        return Reads(sum(group.rows for path in files for group in self._groups(path)), len(files))

    @cached_property
    def _held(self) -> list[tuple[RowGroup, ...]]:
        """The groups of rows of each file."""
        return [self._groups(path) for path in self.files()]

    @cached_property
    def stretches(self) -> list[tuple[int, int]]:
        """Stretches of time, in order and apart, outside of which there is no row that has a time."""
        held = [occupied(path, self.model.model.time_column) for path in self.files()]
        if None not in held:
            return joined([stretch for file in held if file is not None for stretch in file])
        time = self.model.time
        statement = f"SELECT min(t), max(t) FROM (SELECT epoch_us({time}) AS t FROM self) GROUP BY t // {YEAR}"
        lows, highs = (column.to_pylist() for column in self.table.query(statement, version=self.version).columns)
        return joined([(low, high) for low, high in zip(lows, highs, strict=True) if low is not None])

    @property
    def extent(self) -> tuple[int, int]:
        """Least and greatest time of all rows; (0, 0) when there are none."""
        return (self.stretches[0][0], self.stretches[-1][1]) if self.stretches else (0, 0)

    def within(self, start: int | None, end: int | None) -> str | None:
        """Condition that a row lies in ``[start, end)``."""
        parts = []
        if start is not None:
            parts.append(f"{self.model.time} >= TIMESTAMP '{to_iso(start)}'")
        if end is not None:
            parts.append(f"{self.model.time} < TIMESTAMP '{to_iso(end)}'")
        return conjunction(parts)

    def positions(self) -> dict[int, int]:
        """Of a stream, the next offset of each partition; an answer of other rows has greater ones."""
        if not self.model.is_stream:
            return {}
        found = self.table.query(
            f"SELECT {PARTITION} AS p, max({OFFSET}) + 1 AS o FROM self GROUP BY 1 ORDER BY 1", version=self.version
        )
        return {row["p"]: row["o"] for row in found.to_pylist()}

    def summary(self, spec: SummarySpec, conditions: Sequence[str | None], keys: Sequence[Keys] = ()) -> Summary:
        """State of the rows that meet the model's own condition and all of these, as one of a spec without conditions.

        Parameters
        ----------
        keys : what the spec's keys are of which rows, if not the same of all.

        Files that no such row can be in are not read.
        """
        parts = [self._part(spec, [*conditions, each.condition], each.columns) for each in keys or [Keys(spec.columns)]]
        return parts[0] if len(parts) == 1 else merge(parts)

    def _part(self, spec: SummarySpec, conditions: Sequence[str | None], columns: Mapping[str, str]) -> Summary:
        where = conjunction([part for part in (self.model.model.where, *conditions) if part is not None])
        narrowed = SummarySpec(columns, spec.aggregates, spec.time, where)
        try:
            files = self.files(where)
            if not files:
                return empty(spec, self.schema)
            if self.table.partition_by or "://" in files[0]:
                return self._in_memory(spec, narrowed, where)
            return Summary(spec, partial(narrowed, files, engine="duckdb").tables)
        except SchemaError:
            # Files of before a column was added: the table fills in nulls.
            return self._in_memory(spec, narrowed, where)

    def _in_memory(self, spec: SummarySpec, narrowed: SummarySpec, where: str | None) -> Summary:
        texts = [*narrowed.columns.values(), *(spec.argument(part) for part in spec.aggregates.values())]
        texts += [text for text in (spec.time, where) if text is not None]
        used = frozenset().union(*(Expression.parse(text).columns for text in texts))
        columns = [name for name in self.schema.names if name in used] or self.schema.names[:1]
        rows = self.table.read(columns, where=where, version=self.version)
        parts = [
            Summary(spec, partial(narrowed, rows.slice(at, LARGE), engine="duckdb").tables)
            for at in range(0, rows.num_rows, LARGE)
        ]
        return merge(parts) if parts else empty(spec, self.schema)

    def _groups(self, path: str) -> tuple[RowGroup, ...]:
        return row_groups(path, self.model.model.time_column)


@dataclass
class Source:
    """Opens a model's table and keeps it open; one thread uses it at a time."""

    model: ResolvedModel
    lake: Lake
    _table: Table | None = None
    _last: Snapshot | None = None

    @property
    def uri(self) -> str:
        """Address of the table."""
        assert self.model.model.source is not None
        name = self.model.model.source.name
        return self.lake.stream_rows(name) if self.model.is_stream else self.lake.table(name)

    def snapshot(self) -> Snapshot:
        """The newest version; `TableNotFoundError` while there is no table."""
        if self._table is None:
            try:
                self._table = Table.open(self.uri)
            except TableNotFoundError as error:
                name = self.model.model.source.name if self.model.model.source else ""
                fix = f"Run it: mercury stream run {name}" if self.model.is_stream else "Let its job write it first"
                raise TableNotFoundError(f"{self.model.name!r} has no rows yet", where=self.uri, fix=fix) from error
        epoch = None
        if self.model.is_stream and self.model.model.source is not None:
            epoch = self._table.transaction_version(f"stream/{self.model.model.source.name}")
        else:
            self._table.refresh()
        if self._last is None or (self._last.version, self._last.epoch) != (self._table.version, epoch):
            # While nothing is committed, what is known of the files stays known.
            self._last = Snapshot(self.model, self._table, self._table.version, epoch)
        return self._last


@lru_cache(maxsize=16_384)
def row_groups(path: str, time: str) -> tuple[RowGroup, ...]:
    """What the footer of a Parquet file says of its groups of rows; files never change, so it is read once."""
    if "://" in path:
        return (RowGroup(UNKNOWN, None, None),)
    footer = pq.read_metadata(path)
    names = [footer.schema.column(place).path for place in range(footer.num_columns)]
    found = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        low = high = None
        if time in names:
            statistics = group.column(names.index(time)).statistics
            if statistics is not None and statistics.has_min_max and _in_microseconds(statistics):
                # Not as times of Python, which end in the year 9999.
                low, high = statistics.min_raw, statistics.max_raw
        found.append(RowGroup(group.num_rows, low, high))
    return tuple(found)


@lru_cache(maxsize=16_384)
def occupied(path: str, time: str) -> tuple[tuple[int, int], ...] | None:
    """Stretches of time that hold the rows of a file; None where its footer is not at hand.

    A group of rows that spans years is looked into: one row with a wrong year shall not stand for all before it.
    """
    if "://" in path:
        return None
    found = []
    for number, group in enumerate(row_groups(path, time)):
        if group.low is not None and group.high is not None and group.high - group.low <= YEAR:
            found.append((group.low, group.high))
            continue
        with pq.ParquetFile(path) as file:
            if time not in file.schema_arrow.names:
                continue
            column = file.read_row_group(number, columns=[time]).column(0).drop_null()
        found += stretches_of(column.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64()).to_numpy())
    return tuple(found)


def _in_microseconds(statistics: Any) -> bool:
    return statistics.physical_type == "INT64" and '"microseconds"' in statistics.logical_type.to_json()
