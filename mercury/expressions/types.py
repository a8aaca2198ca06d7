"""The few kinds of value that an expression knows, and the Arrow types that they stand for."""

from __future__ import annotations

from enum import Enum

import pyarrow as pa


class Kind(Enum):
    """What a value is. ``UNKNOWN`` is a column without a schema; ``NULL`` is a value that can only be NULL."""

    BOOL = "bool"
    INT = "integer"
    FLOAT = "float"
    TEXT = "text"
    DATE = "date"
    TIME = "timestamp"
    INTERVAL = "interval"
    NULL = "null"
    UNKNOWN = "unknown"


NUMBERS = frozenset({Kind.INT, Kind.FLOAT})
MOMENTS = frozenset({Kind.DATE, Kind.TIME})
ANY = frozenset({Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.TEXT, Kind.DATE, Kind.TIME})

ARROW = {
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.DATE: pa.date32(),
    Kind.TIME: pa.timestamp("us", tz="UTC"),
    Kind.NULL: pa.null(),
}
"""The Arrow type that each kind has when it comes out of an expression."""


def kind_of(type_: pa.DataType) -> Kind | None:
    """The kind of a column of this Arrow type; None when expressions do not take it (uint64, decimal, lists, binary).

    >>> kind_of(pa.int16())
    <Kind.INT: 'integer'>
    """
    if pa.types.is_dictionary(type_):
        return kind_of(type_.value_type)
    if pa.types.is_integer(type_):
        return None if pa.types.is_uint64(type_) else Kind.INT
    for test, kind in (
        (pa.types.is_boolean, Kind.BOOL),
        (pa.types.is_floating, Kind.FLOAT),
        (pa.types.is_string, Kind.TEXT),
        (pa.types.is_large_string, Kind.TEXT),
        (pa.types.is_string_view, Kind.TEXT),
        (pa.types.is_date, Kind.DATE),
        (pa.types.is_timestamp, Kind.TIME),
        (pa.types.is_null, Kind.NULL),
    ):
        if test(type_):
            return kind
    return None


def is_canonical(type_: pa.DataType) -> bool:
    """Whether an engine holds a column of this type just as expressions mean it, so that it needs no cast."""
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return True
    return type_ in ARROW.values()
