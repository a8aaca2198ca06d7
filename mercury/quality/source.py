"""Data to check: Parquet files, CSV files, Delta tables and Arrow tables, all as ranges of rows with positions."""

from __future__ import annotations

import glob as globbing
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mercury.errors import NotFoundError, UsageError
from mercury.quality.metrics.base import Footer

BLOCK_ROWS = 131_072
"""Rows per block where a file has no row groups, and the most that are read of a row group at once beyond it."""

WHOLE_GROUP_ROWS = 1_048_576
"""Row groups up to this size are decoded at once; larger ones in blocks of `BLOCK_ROWS`, so that memory is bounded."""

NULL_TEXTS = ("", "NA", "NULL", "null")
"""What means null in a CSV file."""


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


def open_source(
    uri: str | Path, *, column_types: Mapping[str, str] | None = None, nulls: Sequence[str] = NULL_TEXTS
) -> Source:
    """Open a CSV or Parquet file, a folder or glob of Parquet files, or a Delta table.

    Parameters
    ----------
    column_types : ODCS logical types by column, which a CSV file's text is read as; other columns are inferred.
    nulls : what means null in a CSV file.

    Raises `NotFoundError` when there is nothing, `UsageError` when the kind cannot be told, `CorruptDataError` when a
    file is not what its name says.
    """
    from mercury.quality.parquet_source import ParquetSource, open_delta

    text = str(uri)
    if "://" in text and not text.startswith("file://"):
        return open_delta(text)
    path = Path(text.removeprefix("file://"))
    if path.is_dir():
        if (path / "_delta_log").is_dir():
            return open_delta(str(path))
        found = sorted(str(file) for file in path.rglob("*.parquet") if not file.name.startswith(("_", ".")))
        if not found:
            raise NotFoundError(f"the folder {text!r} holds no Parquet file", fix="Give a folder with *.parquet files")
        return ParquetSource(text, found)
    if any(sign in text for sign in "*?["):
        found = sorted(globbing.glob(text, recursive=True))  # noqa: PTH207  (a pattern may be absolute)
        if not found:
            raise NotFoundError(f"no file matches {text!r}", fix="Quote the pattern and check the folder")
        return _of_files(text, found, column_types, nulls)
    if not path.exists():
        raise NotFoundError(f"there is no file or table {text!r}", fix="Check the path")
    return _of_files(text, [str(path)], column_types, nulls)


def _of_files(uri: str, files: list[str], column_types: Mapping[str, str] | None, nulls: Sequence[str]) -> Source:
    from mercury.quality.csv_source import CSV_SUFFIXES, CsvSource
    from mercury.quality.parquet_source import ParquetSource

    names = [file.lower() for file in files]
    if all(name.endswith((".parquet", ".pq")) or _is_parquet(file) for name, file in zip(names, files, strict=True)):
        return ParquetSource(uri, files)
    if all(name.endswith(CSV_SUFFIXES) for name in names):
        return CsvSource(uri, files, column_types or {}, nulls)
    raise UsageError(f"{uri!r} is neither CSV nor Parquet", fix="Name it *.csv, *.csv.gz, *.tsv or *.parquet")


def _is_parquet(file: str) -> bool:
    try:
        with Path(file).open("rb") as stream:
            return stream.read(4) == b"PAR1"
    except OSError as error:
        raise NotFoundError(f"{file!r} cannot be opened: {error.strerror}", fix="Check the path") from error
