"""CSV files as sources: typed as the contract says, so that a reader's guess never decides a verdict.

The columns that a contract types are read as that type; the others as Arrow infers them from the first block. A cell
that is not of its type would make the whole file unreadable, so the file is then read as text, and the column is what
it is: text, which its type check reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv

from mercury.errors import CorruptDataError, SchemaError
from mercury.quality.source import Range, Source

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")

NULL_TEXTS = ("", "NA", "NULL", "null")
"""What means null in a CSV file."""

BLOCK_BYTES = 8 << 20

_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


class CsvSource(Source):
    """CSV files with the same header, one range per file."""

    kind = "csv"

    def __init__(self, uri: str, files: Sequence[str], logical_types: Mapping[str, str], nulls: Sequence[str]) -> None:
        self.uri, self.files = uri, tuple(files)
        self._nulls = list(nulls)
        self._logical = dict(logical_types)
        self._types: dict[str, pa.DataType] = {}
        self._types = self._settle()
        self.schema = pa.schema(list(self._types.items()))

    def ranges(self) -> list[Range]:
        from pathlib import Path

        return [Range(number, -1, 0, -1, Path(file).stat().st_size) for number, file in enumerate(self.files)]

    def read(self, part: Range, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        start = 0
        for batch in self._batches(self.files[part.file], self._types, columns):
            yield start, pa.Table.from_batches([batch])
            start += batch.num_rows

    def _settle(self) -> dict[str, pa.DataType]:
        """The type of each column, proven by reading the files once: a column with a cell that does not fit is text."""
        types: dict[str, pa.DataType] = {}
        for file in self.files:
            with self._open(file, {}, None) as reader:
                names = reader.schema.names
                if types and list(types) != names:
                    raise SchemaError("the header differs from the first file's", where=file, fix="Check them apart")
                for field in reader.schema:
                    declared = _TYPES.get(self._logical.get(field.name, ""))
                    types.setdefault(
                        field.name, declared or (pa.string() if pa.types.is_null(field.type) else field.type)
                    )
        for file in self.files:
            while (column := self._unfit(file, types)) is not None:
                types[column] = pa.string()
        return types

    def _unfit(self, file: str, types: Mapping[str, pa.DataType]) -> str | None:
        """A column of the file with a cell that is not of its type, or None when all fit."""
        try:
            for _ in self._batches(file, types, None):
                pass
        except CorruptDataError as error:
            if error.where is None or not error.what.startswith("column "):
                raise
            return error.what.removeprefix("column ").partition(":")[0]
        return None

    def _batches(
        self, file: str, types: Mapping[str, pa.DataType], columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        try:
            with self._open(file, types, columns) as reader:
                yield from reader
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            text = str(error)
            for number, name in enumerate(self._types or types):
                if f"CSV column #{number}:" in text:
                    raise CorruptDataError(f"column {name}: {text}", where=file, fix="Mend the cell") from error
            raise CorruptDataError(f"not CSV: {text.splitlines()[0]}", where=file, fix="Mend the line") from error

    def _open(
        self, file: str, types: Mapping[str, pa.DataType], columns: Sequence[str] | None
    ) -> csv.CSVStreamingReader:
        convert = csv.ConvertOptions(
            null_values=self._nulls,
            strings_can_be_null=True,
            column_types=dict(types),
            include_columns=list(columns) if columns is not None else None,
            timestamp_parsers=[csv.ISO8601],
        )
        parse = csv.ParseOptions(delimiter="\t" if ".tsv" in file.lower() else ",", newlines_in_values=True)
        try:
            return csv.open_csv(
                file, csv.ReadOptions(block_size=BLOCK_BYTES), parse_options=parse, convert_options=convert
            )
        except pa.ArrowInvalid as error:
            raise self._as_corrupt(file, error, types) from error

    def _as_corrupt(self, file: str, error: Exception, types: Mapping[str, Any]) -> CorruptDataError:
        text = str(error)
        for number, name in enumerate(types):
            if f"CSV column #{number}:" in text:
                return CorruptDataError(f"column {name}: {text}", where=file, fix="Mend the cell")
        return CorruptDataError(f"not CSV: {text.splitlines()[0]}", where=file, fix="Mend the file")
