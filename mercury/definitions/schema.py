"""Column types by plain names, so that a schema is readable, serialises, and means the same on every engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mercury.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

TYPES = ("string", "int32", "int64", "float32", "float64", "bool", "timestamp", "date", "binary")
"""The types a schema may name. ``timestamp`` is microseconds in UTC."""


def check_schema(schema: Mapping[str, str], where: str) -> None:
    """Raise `DefinitionError` for a schema without columns, an unknown type, and columns that engines would confuse."""
    if not schema:
        raise DefinitionError("the schema has no columns", where=where, fix="List columns as {'name': 'type'}")
    seen: dict[str, str] = {}
    for column, kind in schema.items():
        if kind not in TYPES:
            raise DefinitionError(
                f"column {column!r} has the unknown type {kind!r}", where=where, fix=did_you_mean(kind, TYPES)
            )
        # Delta and Spark do not tell such names apart, and DuckDB finds either by either.
        other = seen.setdefault(column.casefold(), column)
        if other != column:
            raise DefinitionError(
                f"columns {other!r} and {column!r} differ only in case", where=where, fix="Rename one"
            )


def arrow_schema(schema: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema that a schema of plain names stands for; every column is nullable."""
    import pyarrow as pa

    kinds = {
        "string": pa.string(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
        "binary": pa.binary(),
    }
    return pa.schema([pa.field(name, kinds[kind]) for name, kind in schema.items()])
