"""Parquet files and Delta tables as sources: row groups are ranges, footers answer what their statistics prove."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mercury.errors import CorruptDataError, NotFoundError, SchemaError
from mercury.quality.metrics.base import Footer
from mercury.quality.rules import is_text
from mercury.quality.source import BLOCK_ROWS, WHOLE_GROUP_ROWS, Range, Source


class GroupFooter:
    """The statistics of one row group; what they do not say for certain is None."""

    def __init__(self, group: Any, schema: pa.Schema, places: dict[str, int], rows: int) -> None:
        self.rows = rows
        self._group, self._schema, self._places = group, schema, places

    def nulls(self, column: str) -> int | None:
        statistics = self._statistics(column)
        return statistics.null_count if statistics is not None and statistics.has_null_count else None

    def bounds(self, column: str) -> tuple[pa.DataType, Any, Any] | None:
        statistics = self._statistics(column)
        if statistics is None or not statistics.has_min_max:
            return None
        kind = self._schema.field(column).type
        # Text is left out: writers may truncate its statistics. So are types whose stored order is not their own.
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            if not (pa.types.is_timestamp(kind) or pa.types.is_date32(kind)):
                return None
            if statistics.physical_type not in ("INT32", "INT64"):
                return None
        if pa.types.is_timestamp(kind) and not _same_unit(statistics.logical_type, kind):
            return None
        if pa.types.is_unsigned_integer(kind):
            # The raw statistics are the signed integers of the same bits.
            return kind, statistics.min_raw % 2**kind.bit_width, statistics.max_raw % 2**kind.bit_width
        return kind, statistics.min_raw, statistics.max_raw

    def _statistics(self, column: str) -> Any:
        place = self._places.get(column)
        return None if place is None else self._group.column(place).statistics


class ParquetSource(Source):
    """Parquet files, one range per row group.

    Parameters
    ----------
    constants : columns that lie in no file, as the partition columns of a Delta table: per file, column to value.
    """

    kind = "parquet"

    def __init__(
        self,
        uri: str,
        files: Sequence[str],
        *,
        kind: str = "parquet",
        version: int | None = None,
        schema: pa.Schema | None = None,
        constants: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        self.uri, self.kind, self.version, self.files = uri, kind, version, tuple(files)
        self._constants = constants
        self._opened: dict[int, pq.ParquetFile] = {}
        self.schema = schema if schema is not None else self._common_schema()

    def ranges(self) -> list[Range]:
        found: list[Range] = []
        for file in range(len(self.files)):
            metadata, start = self._open(file).metadata, 0
            for number in range(metadata.num_row_groups):
                group = metadata.row_group(number)
                if group.num_rows:
                    found.append(Range(file, number, start, group.num_rows, group.total_byte_size))
                start += group.num_rows
        return found

    def read(self, part: Range, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        file = self._open(part.file)
        names = set(file.schema_arrow.names)
        stored = [name for name in columns if name in names]
        try:
            if part.rows <= WHOLE_GROUP_ROWS:
                yield part.start, self._complete(file.read_row_group(part.group, stored), part, part.rows, columns)
                return
            start = part.start
            for batch in file.iter_batches(BLOCK_ROWS, row_groups=[part.group], columns=stored):
                yield start, self._complete(pa.Table.from_batches([batch]), part, batch.num_rows, columns)
                start += batch.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            raise _corrupt(self.files[part.file], error) from error

    def footer(self, part: Range) -> Footer | None:
        file = self._open(part.file)
        # Only flat columns: the leaves of a nested one have other statistics than it has itself.
        leaves = [file.metadata.schema.column(number).path for number in range(file.metadata.num_columns)]
        flat = set(file.schema_arrow.names)
        places = {leaf: number for number, leaf in enumerate(leaves) if leaf in flat}
        return GroupFooter(file.metadata.row_group(part.group), file.schema_arrow, places, part.rows)

    def missing_columns(self) -> dict[str, list[str]]:
        missing: dict[str, list[str]] = {}
        for number, file in enumerate(self.files):
            names = set(self._open(number).schema_arrow.names) | set(
                (self._constants or [{}] * len(self.files))[number]
            )
            lacking = [name for name in self.schema.names if name not in names]
            if lacking:
                missing[file] = lacking
        return missing

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}

    def _open(self, number: int) -> pq.ParquetFile:
        if number not in self._opened:
            if len(self._opened) > 64:
                self._opened.clear()
            path = self.files[number]
            try:
                plain = pq.ParquetFile(path)
                texts = [field.name for field in plain.schema_arrow if is_text(field.type)]
                self._opened[number] = pq.ParquetFile(path, metadata=plain.metadata, read_dictionary=texts)
            except FileNotFoundError as error:
                raise NotFoundError(f"there is no file {path!r}", fix="It was there when the run began") from error
            except (pa.ArrowInvalid, OSError) as error:
                raise _corrupt(path, error) from error
        return self._opened[number]

    def _common_schema(self) -> pa.Schema:
        """The schema of the first file, with the columns that only later files have; types must agree."""
        fields: dict[str, pa.Field] = {}
        for number, path in enumerate(self.files):
            for field in self._open(number).schema_arrow:
                plain = pa.field(field.name, _plain(field.type))
                seen = fields.setdefault(field.name, plain)
                if seen.type != plain.type:
                    raise SchemaError(
                        f"the column {field.name!r} is {plain.type} here and {seen.type} before",
                        where=path,
                        fix="Check the files apart, or rewrite one of them",
                    )
        return pa.schema(fields.values())

    def _complete(self, table: pa.Table, part: Range, rows: int, columns: Sequence[str]) -> pa.Table:
        """Add what the file does not hold: partition values, and nulls for columns of other files."""
        constants = self._constants[part.file] if self._constants else {}
        arrays: list[Any] = []
        for name in columns:
            if name in table.column_names:
                arrays.append(table[name])
            else:
                kind = self.schema.field(name).type
                arrays.append(pa.repeat(pa.scalar(constants.get(name), kind), rows))
        return pa.table(arrays, names=list(columns)) if arrays else table


def open_delta(uri: str) -> Source:
    """A Delta table at its latest version; deletion vectors are refused, since deleted rows would still be counted."""
    from mercury.tables import Table

    table = Table.open(uri)
    files = [str(file).removeprefix("file://") for file in table.files()]
    schema = pa.schema([pa.field(field.name, _plain(field.type)) for field in pa.schema(table.schema)])
    constants = [_partition_values(file, schema) for file in files]
    return ParquetSource(uri, files, kind="delta", version=table.version, schema=schema, constants=constants)


def _partition_values(file: str, schema: pa.Schema) -> dict[str, Any]:
    """The partition values of a file, as its path says them (``…/column=value/…``)."""
    from urllib.parse import unquote

    values: dict[str, Any] = {}
    for folder in Path(file).parent.parts:
        name, sign, text = folder.partition("=")
        if sign and name in schema.names:
            decoded = unquote(text)
            null = decoded == "__HIVE_DEFAULT_PARTITION__"
            values[name] = None if null else pa.scalar(decoded).cast(schema.field(name).type).as_py()
    return values


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return pa.string() if is_text(kind) else kind


def _same_unit(logical: Any, kind: pa.TimestampType) -> bool:
    """Whether a file stores times in the unit in which Arrow reads them, so that raw statistics are comparable."""
    units = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    return units.get(kind.unit, "?") in str(logical.to_json()) if logical is not None else False


def _corrupt(path: str, error: Exception) -> CorruptDataError:
    text = str(error).splitlines()[0]
    return CorruptDataError(f"the file cannot be read as Parquet: {text}", where=path, fix="Write it again")
