"""Data to check: Parquet files, CSV files, Delta tables and Arrow tables, all as ranges of rows with positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mercury.quality.metrics.base import Footer

BLOCK_ROWS = 131_072
"""Rows per block where a file has no row groups, and the most that are read of a row group at once beyond it."""

WHOLE_GROUP_ROWS = 1_048_576
"""Row groups up to this size are decoded at once; larger ones in blocks of `BLOCK_ROWS`, so that memory is bounded."""


@dataclass(frozen=True)
class Range:
    """A part of a source that is read as one: file number, row group (or -1), first row, rows (-1 unknown), bytes."""

    file: int
    group: int
    start: int
    rows: int
    size: int


class Source(ABC):
    """Something that has a schema and ranges of rows. Sources are sent to Ray tasks, so they hold no open file."""

    uri: str
    kind: str
    version: int | None = None
    files: tuple[str, ...] = ()
    schema: pa.Schema

    @abstractmethod
    def ranges(self) -> list[Range]:
        """The parts of the source, in the order of rows."""

    @abstractmethod
    def read(self, part: Range, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Blocks of a range: number of the first row in its file, and the asked columns."""

    def footer(self, part: Range) -> Footer | None:
        """What the file says of a range without reading it."""
        return None

    def missing_columns(self) -> dict[str, list[str]]:
        """Files that lack columns of the schema: file to columns."""
        return {}


class ArrowSource(Source):
    """An Arrow table in memory, in ranges of `rows` rows."""

    def __init__(self, table: pa.Table, *, rows: int = BLOCK_ROWS, uri: str = "<table>") -> None:
        self.table = table
        self.uri, self.kind, self.schema, self.files = uri, "arrow", table.schema, (uri,)
        self._rows = rows

    def ranges(self) -> list[Range]:
        total, width = self.table.num_rows, self.table.nbytes / max(1, self.table.num_rows)
        return [
            Range(0, -1, start, min(self._rows, total - start), int(width * min(self._rows, total - start)))
            for start in range(0, total, self._rows)
        ]

    def read(self, part: Range, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        yield part.start, self.table.select(list(columns)).slice(part.start, part.rows)
