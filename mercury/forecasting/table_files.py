"""A file as a table: CSV in the dialects that people export, every column as text, or Parquet with its types.

Nothing is converted while a CSV is read. A type that is inferred from the first rows is wrong about a later one, turns
the id 007 into 7 and the id NA into nothing; here a column becomes what it is taken for once it is known, with the row
and the word that do not fit.
"""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from mercury.errors import CorruptDataError, DataError, NotFoundError, SchemaError
from mercury.forecasting.cells import is_time

_PARQUET = b"PAR1"

_TOLD = 120
"""Characters of a reader's complaint, which may go on with what is no text."""


def read_table(path: Path) -> pa.Table:
    """The rows of a CSV file (comma, semicolon, tab or bar; plain or compressed) as text, or those of a Parquet file.

    Raises `NotFoundError`, `CorruptDataError` for what is neither, `SchemaError` for names that stand twice, and
    `DataError` when the first line holds no names.
    """
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise NotFoundError(f"the file {str(path)!r} {kind}", fix="Give the path of a CSV or Parquet file")
    try:
        table = _parquet(path) if _begins(path, len(_PARQUET)) == _PARQUET else _csv(path)
    except (pa.ArrowInvalid, OSError) as error:
        why = "".join(sign if sign.isprintable() else "?" for sign in str(error)[:_TOLD])
        raise CorruptDataError(
            f"the file cannot be read: {why}",
            where=str(path),
            fix="Write it as CSV in UTF-8, or as Parquet",
        ) from error
    require_names(table, str(path))
    return table


def require_names(table: pa.Table, where: str) -> None:
    """Raise `SchemaError` when two columns have one name."""
    seen: set[str] = set()
    for name in table.column_names:
        if name in seen:
            raise SchemaError(f"two columns are named {name!r}", where=where, fix="Rename or remove one")
        seen.add(name)


def _parquet(path: Path) -> pa.Table:
    # Of the file alone: read_table would add columns from names of folders such as year=2013.
    return pq.ParquetFile(path).read()


def _csv(path: Path) -> pa.Table:
    header = _first_line(path)
    if not header.strip():
        raise CorruptDataError("the file is empty", where=str(path), fix="Give a line of names and rows below it")
    parsing = pacsv.ParseOptions(delimiter=_delimiter(header), newlines_in_values=True)
    names = next(csv.reader([header], delimiter=parsing.delimiter))
    _require_header(names, str(path))
    converting = pacsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    try:
        return pacsv.read_csv(path, parse_options=parsing, convert_options=converting)
    except pa.ArrowInvalid:
        _require_cells(path, parsing)
        raise


def _require_cells(path: Path, parsing: pacsv.ParseOptions) -> None:
    """Raise for the first row that has more or fewer cells than there are names; one thread knows where it stands."""
    wrong: list[pacsv.InvalidRow] = []

    def keep(row: pacsv.InvalidRow) -> str:
        wrong.append(row)
        return "skip"

    parsing.invalid_row_handler = keep
    with contextlib.suppress(pa.ArrowInvalid):
        pacsv.read_csv(path, parse_options=parsing, read_options=pacsv.ReadOptions(use_threads=False))
    if wrong:
        raise CorruptDataError(
            f"{wrong[0].actual_columns} cells stand below {wrong[0].expected_columns} names",
            where=f"{path}, row {wrong[0].number - 1:,}",
            fix="Mend the row; a cell that holds the delimiter needs quotes around it",
        )


def _require_header(names: list[str], where: str) -> None:
    for name in names:
        if is_time(name):
            raise DataError(
                f"the first line has {name!r} where the name of a column belongs",
                where=where,
                fix="Put a line of names first; times belong in a column of their own",
            )


def _begins(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _first_line(path: Path) -> str:
    with pa.input_stream(str(path), compression="detect") as file:
        begin = file.read(1 << 16)
    if b"\0" in begin:
        raise pa.ArrowInvalid("it holds bytes that are no text, or text in UTF-16")
    return begin.partition(b"\n")[0].decode("utf-8", errors="replace").lstrip("\ufeff").rstrip("\r")


def _delimiter(header: str) -> str:
    """What most often stands between the names of the first line."""
    return max(",;\t|", key=header.count)
