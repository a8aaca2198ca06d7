"""A Parquet file as columns that are read one at a time, so that a profile of it needs the memory of one column."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mercury.errors import CorruptDataError, NotFoundError


class ParquetColumns:
    """The columns of a Parquet file; each is read anew whenever it is asked for, text as dictionaries where it is so.

    Raises `NotFoundError` when there is no file, `CorruptDataError` when it is not Parquet.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            kinds = pq.read_schema(path)
            text = [field.name for field in kinds if pa.types.is_string(field.type)]
            self._file = pq.ParquetFile(path, read_dictionary=text)
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no file {path}", fix="Check the path") from error
        except pa.ArrowInvalid as error:
            raise CorruptDataError(f"not a Parquet file: {error}", where=str(path)) from error
        self.column_names: list[str] = list(kinds.names)

    def __getitem__(self, name: str, /) -> pa.ChunkedArray:
        """The values of one column."""
        return self._file.read(columns=[name], use_threads=False)[name]
