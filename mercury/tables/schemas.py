"""What may be written into a table: rows that fit its schema, or that change it in ways every reader survives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import DataError, NotFoundError, SchemaError, did_you_mean

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""Name of the folder of rows whose partition column is NULL, which every reader takes for it."""
LONGEST_FOLDER_NAME = 255
"""Bytes of a folder's name on most file systems."""

_WIDTH = {pa.int8(): 1, pa.int16(): 2, pa.int32(): 3, pa.int64(): 4, pa.float32(): 11, pa.float64(): 12}


@dataclass(frozen=True)
class Fit:
    """Rows in the table's column order and types, and the schema that the table needs to hold them."""

    rows: pa.Table
    schema: pa.Schema
    added: tuple[str, ...]
    widened: tuple[str, ...]


def delta_type(type_: pa.DataType) -> pa.DataType:
    """The Arrow type in which a table keeps values of this one: one per type that Delta knows.

    >>> delta_type(pa.dictionary(pa.int32(), pa.large_string()))
    DataType(string)
    >>> delta_type(pa.timestamp("ns", tz="Europe/Paris"))
    TimestampType(timestamp[us, tz=UTC])
    """
    types = pa.types
    if types.is_dictionary(type_):
        return delta_type(type_.value_type)
    if types.is_large_string(type_) or types.is_string_view(type_):
        return pa.string()
    if types.is_large_binary(type_) or types.is_binary_view(type_) or types.is_fixed_size_binary(type_):
        return pa.binary()
    if types.is_timestamp(type_):
        return pa.timestamp("us", tz="UTC" if type_.tz else None)
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        item = type_.value_field
        return pa.list_(pa.field("element", delta_type(item.type), item.nullable))
    if types.is_struct(type_):
        return pa.struct([pa.field(part.name, delta_type(part.type), part.nullable) for part in type_])
    if types.is_map(type_):
        return pa.map_(delta_type(type_.key_type), delta_type(type_.item_type))
    return type_


def table_schema(schema: pa.Schema, where: str) -> pa.Schema:
    """The schema as a table keeps it; `SchemaError` for types that Delta does not have."""
    fields = []
    seen: dict[str, str] = {}
    for field in schema:
        twin = seen.setdefault(field.name.lower(), field.name)
        if twin is not field.name and len([other for other in schema.names if other.lower() == field.name.lower()]) > 1:
            raise SchemaError(
                f"columns {twin!r} and {field.name!r} differ in case only, or not at all", where=where, fix="Rename one"
            )
        type_ = delta_type(field.type)
        if not _known(type_):
            raise SchemaError(
                f"column {field.name!r} has the type {field.type}, which tables do not hold",
                where=where,
                fix="Cast it: unsigned integers to int64, durations to int64 microseconds, times of day to text",
            )
        fields.append(pa.field(field.name, type_, field.nullable))
    return pa.schema(fields)


def fit(rows: pa.Table, schema: pa.Schema, *, evolve: bool, where: str, partition_by: tuple[str, ...] = ()) -> Fit:
    """`rows` as the table takes them.

    A column may be missing if it is nullable: it is filled with NULL. A narrower integer or float goes into a wider
    column, since no value changes. Everything else is a change of the contract: without `evolve` it raises
    `SchemaError`; with it, new nullable columns and wider integers or floats are taken into the schema.
    """
    if len(set(rows.column_names)) != rows.num_columns:
        twice = next(name for name in rows.column_names if rows.column_names.count(name) > 1)
        raise SchemaError(f"two columns are named {twice!r}", where=where, fix="Rename or drop one")
    known = {field.name: field for field in schema}
    fields, added, widened = list(schema), [], []
    for given in rows.schema:
        expected = known.get(given.name)
        if expected is None:
            fields.append(_new_column(given, schema, evolve, where))
            added.append(given.name)
        elif not _fits(given.type, expected.type):
            wider = delta_type(given.type)
            if not evolve or not _widens(expected.type, wider):
                raise SchemaError(
                    f"column {given.name!r} has the type {given.type}, but the table has {expected.type}",
                    where=where,
                    fix="Cast it before writing"
                    + (", or write with evolve=True" if _widens(expected.type, wider) else ""),
                )
            if given.name in partition_by:
                raise SchemaError(f"partition column {given.name!r} cannot be widened", where=where)
            fields[schema.get_field_index(given.name)] = expected.with_type(wider)
            widened.append(given.name)
    target = pa.schema(fields)
    columns = []
    for field in target:
        column = _column(rows, field, where)
        if not field.nullable and column.null_count:
            raise DataError(f"column {field.name!r} has {column.null_count} nulls, but must have none", where=where)
        if field.name in partition_by:
            _require_partition_values(column, field, where)
        columns.append(column)
    return Fit(pa.table(columns, schema=target), target, tuple(added), tuple(widened))


def require_partition_columns(schema: pa.Schema, partition_by: Sequence[str], where: str) -> None:
    """Raise unless these are columns whose values Delta can keep as text in the log."""
    for name in partition_by:
        if name not in schema.names:
            raise NotFoundError(f"partition column {name!r} is not in the schema", where=where)
        type_ = schema.field(name).type
        if pa.types.is_nested(type_) or pa.types.is_binary(type_):
            raise SchemaError(
                f"partition column {name!r} has the type {type_}",
                where=where,
                fix="Partition by text, numbers, dates, times or booleans",
            )


def _require_partition_values(column: pa.ChunkedArray, field: pa.Field, where: str) -> None:
    """Raise for values that a reader would get back as others."""
    if pa.types.is_string(field.type):
        for text, named in (("", "an empty text"), (NO_VALUE, f"the text {NO_VALUE!r}")):
            if pc.any(pc.equal(column, text)).as_py():
                raise DataError(
                    f"partition column {field.name!r} holds {named}, which Delta keeps as NULL",
                    where=where,
                    fix="Write NULL or another value",
                )
    if not (pa.types.is_string(field.type) or pa.types.is_floating(field.type)):
        return
    for value in pc.unique(column.drop_null()).to_pylist():
        text = value if isinstance(value, str) else np.format_float_positional(value)
        if len(field.name) + 1 + len(quote(text)) > LONGEST_FOLDER_NAME:
            raise DataError(
                f"partition column {field.name!r} holds {value!r:.80}, which is too long for a folder's name",
                where=where,
                fix=f"Partition by a shorter value: a folder's name holds {LONGEST_FOLDER_NAME} bytes",
            )


def _new_column(given: pa.Field, schema: pa.Schema, evolve: bool, where: str) -> pa.Field:
    if not evolve:
        near = did_you_mean(given.name, schema.names)
        raise SchemaError(
            f"the table has no column {given.name!r} of type {given.type}",
            where=where,
            fix=f"{near + ' ' if near else ''}(evolve=True adds a column)",
        )
    if any(name.lower() == given.name.lower() for name in schema.names):
        raise SchemaError(f"new column {given.name!r} differs from another in case only", where=where, fix="Rename it")
    # Rows that are there already have no value for it, whatever the new rows promise.
    return table_schema(pa.schema([given.with_nullable(True)]), where).field(0)


def _column(rows: pa.Table, field: pa.Field, where: str) -> pa.ChunkedArray:
    place = rows.schema.get_field_index(field.name)
    if place < 0:
        if not field.nullable:
            raise SchemaError(f"column {field.name!r} of type {field.type} is missing", where=where, fix="Add it")
        return pa.chunked_array([pa.nulls(rows.num_rows, field.type)])
    column = rows.column(place)
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(
            f"column {field.name!r} of type {column.type} holds a value that {field.type} cannot: {error}", where=where
        ) from None


def _fits(given: pa.DataType, expected: pa.DataType) -> bool:
    given = delta_type(given)
    return pa.types.is_null(given) or same_type(given, expected) or _widens(given, expected)


def _widens(narrow: pa.DataType, wide: pa.DataType) -> bool:
    low, high = _WIDTH.get(narrow), _WIDTH.get(wide)
    return low is not None and high is not None and 0 < high - low < 5


def same_type(left: pa.DataType, right: pa.DataType) -> bool:
    """Equal but for names and nullability inside lists and maps, which writers set as they please."""
    if pa.types.is_list(left) and pa.types.is_list(right):
        return same_type(left.value_type, right.value_type)
    if pa.types.is_map(left) and pa.types.is_map(right):
        return same_type(left.key_type, right.key_type) and same_type(left.item_type, right.item_type)
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        return [part.name for part in left] == [part.name for part in right] and all(
            same_type(a.type, b.type) for a, b in zip(left, right, strict=True)
        )
    return left == right


def _known(type_: pa.DataType) -> bool:
    types = pa.types
    if types.is_list(type_):
        return _known(type_.value_type)
    if types.is_map(type_):
        return _known(type_.key_type) and _known(type_.item_type)
    if types.is_struct(type_):
        return all(_known(part.type) for part in type_)
    tests = (types.is_boolean, types.is_signed_integer, types.is_string, types.is_binary, types.is_date32)
    floats = types.is_float32(type_) or types.is_float64(type_)
    return floats or types.is_timestamp(type_) or types.is_decimal128(type_) or any(test(type_) for test in tests)
