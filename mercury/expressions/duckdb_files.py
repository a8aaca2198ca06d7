"""Parquet files as DuckDB must read them, so that an expression means over files what it means in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa

_PATTERN = re.compile(r"([*?\[])")
"""What DuckDB would take for a pattern in a file's name."""


def parquet(paths: Iterable[str], *, options: str = "") -> str:
    """DuckDB's table function over these files: columns by name, whatever the names of folders say.

    Parameters
    ----------
    paths : local files or addresses, taken to the letter.
    options : more of the function's options, such as ``filename = 'path'``.
    """
    listed = ", ".join("'" + _PATTERN.sub(r"[\1]", path).replace("'", "''") + "'" for path in paths)
    more = f", {options}" if options else ""
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false{more})"


def parquet_column(field: pa.Field) -> str:
    """A column of such files, to be selected before anything is computed with it.

    Parquet's statistics leave NaN out, and DuckDB takes them at their word: it would drop a NaN from ``v > 5``, answer
    ``isnan(v)`` with false and find a maximum that is too small. Behind an expression that may be NaN it cannot.
    """
    name = '"' + field.name.replace('"', '""') + '"'
    if not pa.types.is_floating(field.type):
        return name
    type_ = "FLOAT" if pa.types.is_float32(field.type) else "DOUBLE"
    return f"if(isnan({name}), 'NaN'::{type_}, {name}) AS {name}"
