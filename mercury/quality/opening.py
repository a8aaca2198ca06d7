"""What a path or URI names, opened as a source."""

from __future__ import annotations

import glob as globbing
from collections.abc import Mapping, Sequence
from pathlib import Path

from mercury.errors import NotFoundError, UsageError
from mercury.quality.csv_source import CSV_SUFFIXES, NULL_TEXTS, CsvSource
from mercury.quality.parquet_source import ParquetSource, open_delta
from mercury.quality.source import Source


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
