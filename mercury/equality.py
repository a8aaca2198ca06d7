"""When two values are the same key: one rule for groups, joins, duplicates and units, whatever holds the values.

====================  =====================================================================
values                are equal when
====================  =====================================================================
integers              their numbers are, whatever their width
floats                their numbers are, as doubles; -0.0 is 0.0, and all NaN are one value
decimals              their numbers are, exactly: 1.5 is 1.50
text, binary          their bytes are: no case, accent or Unicode form is folded
dates, times          they are the same day, or the same microsecond (finer units floored)
timestamps            they are the same microsecond in UTC; without a zone, of the same clock
null                  never equals anything in a join; nulls are one group
====================  =====================================================================

Numbers, text and times never equal each other. Arrow's own functions tell -0.0 from 0.0 and one NaN from another, so
what they group, encode or look up goes through `normalized` first; DuckDB and Spark compare by this rule, and show
whichever zero came first unless the key is written as `key_sql` says. `mercury.runtime.hashing` hashes by it.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import SchemaError

Column: TypeAlias = "pa.Array | pa.ChunkedArray"

MICROSECOND = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Microseconds of a unit that is not finer than one."""


def normalized(column: Column) -> pa.Array:
    """The values as one array in the form and type in which equal keys are the same bytes; nulls stay null.

    Integers become int64 (uint64 stays), floats float64, text large_string, binary large_binary, dates date32, instants
    timestamps in microseconds (UTC where there was a zone); dictionaries are decoded. Other types stay as they are.

    >>> normalized(pa.array([-0.0, 0.0])).to_pylist()
    [0.0, 0.0]
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    whole = _whole(column)
    if isinstance(whole, pa.ExtensionArray):
        whole = whole.storage
    kind = whole.type
    if pa.types.is_floating(kind):
        return _one_zero_and_nan(whole.cast(pa.float64()))
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time(kind):
        return _microseconds(whole)
    return whole if kind == key_type(kind) else whole.cast(key_type(kind))


def key_type(kind: pa.DataType) -> pa.DataType:
    """The type in which `normalized` gives keys of a type.

    >>> key_type(pa.int8()), key_type(pa.timestamp("ns", tz="Europe/Paris"))
    (DataType(int64), TimestampType(timestamp[us, tz=UTC]))
    """
    if pa.types.is_dictionary(kind):
        return key_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return key_type(kind.storage_type)
    if pa.types.is_integer(kind):
        return pa.uint64() if kind == pa.uint64() else pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.large_string()
    if _is_binary(kind):
        return pa.large_binary()
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pa.types.is_duration(kind):
        return pa.duration("us")
    return pa.time64("us") if pa.types.is_time(kind) else kind


def comparable(left: Column, right: Column, *, name: str, sides: tuple[str, str]) -> tuple[pa.Array, pa.Array]:
    """Two key columns, each `normalized`, in one type in which equal keys are equal.

    Parameters
    ----------
    name : the key's name, for the error.
    sides : where the columns come from, for the error, such as ``("the labels", "view 'orders'")``.

    Raises `SchemaError` for types whose values are never equal, such as text and numbers.
    """
    one, other = normalized(left), normalized(right)
    kinds = (one.type, other.type)
    if kinds[0] == kinds[1]:
        return one, other
    if pa.types.is_null(kinds[0]):
        return one.cast(kinds[1]), other
    if pa.types.is_null(kinds[1]):
        return one, other.cast(kinds[0])
    if all(pa.types.is_integer(kind) or pa.types.is_decimal(kind) for kind in kinds):
        common = _common_decimal(*kinds)
        if common is not None:
            # What does not fit int64 equals no int64.
            return one.cast(common), other.cast(common)
    raise SchemaError(
        f"key {name!r} is {left.type} in {sides[0]} and {right.type} in {sides[1]}",
        fix="Give both the same type; text, numbers and times are never equal to each other",
    )


def key_sql(text: str, kind: pa.DataType) -> str:
    """A key as a SQL expression whose equal values are also shown alike, for DuckDB and Spark.

    >>> key_sql("price", pa.float64())
    '(price + 0.0e0)'
    """
    # Minus zero plus zero is zero; both engines hold all NaN for one value.
    return f"({text} + 0.0e0)" if pa.types.is_floating(kind) else text


def _whole(column: Column) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def _one_zero_and_nan(array: pa.Array) -> pa.Array:
    values = array.to_numpy(zero_copy_only=False) + 0.0
    values[np.isnan(values)] = np.nan
    mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    return pa.array(values, pa.float64(), mask=mask)


def _microseconds(array: pa.Array) -> pa.Array:
    kind = array.type
    wanted = key_type(kind)
    if kind.unit == "ns":
        nanoseconds = array.cast(pa.int64())
        values = nanoseconds.fill_null(0).to_numpy(zero_copy_only=False) // 1000
        mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
        return pa.array(values, pa.int64(), mask=mask).cast(wanted)
    if pa.types.is_time32(kind):
        return pc.multiply(array.cast(pa.int32()).cast(pa.int64()), MICROSECOND[kind.unit]).cast(wanted)
    return array if kind == wanted else array.cast(wanted)


def _common_decimal(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """A decimal type that holds all values of both, or None when there is none."""
    digits, scale = zip(*map(_digits, (one, other)), strict=True)
    whole = max(total - part for total, part in zip(digits, scale, strict=True))
    precision = whole + max(scale)
    if precision <= 38:
        return pa.decimal128(precision, max(scale))
    return pa.decimal256(precision, max(scale)) if precision <= 76 else None


def _digits(kind: pa.DataType) -> tuple[int, int]:
    if pa.types.is_decimal(kind):
        return kind.precision, kind.scale
    return 20, 0


def _is_binary(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )
