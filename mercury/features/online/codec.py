"""Bytes of the online store: entity keys, and rows with their times, epoch and nulls.

A stored row is a head, a null bitmap and a body::

    head    format u8 · event time i64 · created time i64 · epoch i64         (25 bytes, little endian)
    nulls   one bit per feature, least first, ceil(features / 8) bytes
    body    fixed: 8 bytes per feature (i64, or f64), 1 for a boolean         when every feature is such a number
            packed: a msgpack list                                            otherwise

A key is one part per key column: a tag and the value, so that no two keys of different types are equal::

    i · int64 big endian        integers, booleans        s · length u32 · UTF-8        text
    t · int64 big endian        times, in microseconds    b · length u32 · bytes        binary

A key longer than LMDB allows is replaced by a BLAKE2b digest of 32 bytes under the tag ``h``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from mercury.errors import CorruptDataError, SchemaError, UsageError
from mercury.features.instants import Side, instants
from mercury.time import from_datetime, parse_instant

FORMAT = 1

HEAD = struct.Struct("<Bqqq")
MAX_KEY = 480
"""Bytes of an entity key that are stored as they are; LMDB's limit is 511 with the view's prefix."""

INTEGER, FLOAT, BOOLEAN, TIME, TEXT, BYTES, PACKED = "int", "float", "bool", "time", "text", "bytes", "packed"

_FIXED = {INTEGER: "q", FLOAT: "d", BOOLEAN: "?", TIME: "q"}
_INT = struct.Struct(">q")
_LENGTH = struct.Struct(">I")
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True)
class Layout:
    """What is needed to write and read the rows of one view: names and storage kinds of its keys and features."""

    keys: tuple[tuple[str, str], ...]
    features: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, schema: pa.Schema, keys: Sequence[str], features: Sequence[str]) -> Layout:
        """The layout of rows of an Arrow schema."""
        for name in keys:
            if kind_of(schema.field(name).type) not in (INTEGER, BOOLEAN, TIME, TEXT, BYTES):
                raise SchemaError(
                    f"key {name!r} of type {schema.field(name).type} cannot be looked up",
                    fix="Keys are integers, text, binary, dates or times",
                )
        return cls(
            tuple((name, kind_of(schema.field(name).type)) for name in keys),
            tuple((name, kind_of(schema.field(name).type)) for name in features),
        )

    @property
    def fixed(self) -> bool:
        """Whether every feature has a fixed width."""
        return all(kind in _FIXED for _, kind in self.features)

    @property
    def bitmap_bytes(self) -> int:
        """Bytes of the null bitmap."""
        return (len(self.features) + 7) // 8

    def to_dict(self) -> dict[str, Any]:
        """Form in the store's own metadata."""
        return {"keys": [list(pair) for pair in self.keys], "features": [list(pair) for pair in self.features]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Layout:
        """The layout that `to_dict` wrote."""
        return cls(
            tuple((name, kind) for name, kind in data["keys"]), tuple((name, kind) for name, kind in data["features"])
        )


def kind_of(type_: pa.DataType) -> str:
    """How values of an Arrow type are stored."""
    if pa.types.is_dictionary(type_):
        return kind_of(type_.value_type)
    if pa.types.is_boolean(type_):
        return BOOLEAN
    if pa.types.is_integer(type_) and type_ != pa.uint64():
        return INTEGER
    if pa.types.is_floating(type_):
        return FLOAT
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return TIME
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return TEXT
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
        return BYTES
    if pa.types.is_null(type_) or pa.types.is_nested(type_):
        return PACKED
    raise SchemaError(f"values of type {type_} cannot be served", fix="Cast the feature in its expression")


def encode_key(values: Sequence[Any], layout: Layout) -> bytes | None:
    """Bytes of one entity's key values in the order of the layout; None when one is null.

    Raises `UsageError` for a value of another type than the key column's.
    """
    parts = []
    for value, (name, kind) in zip(values, layout.keys, strict=True):
        if value is None:
            return None
        parts.append(_encode_part(value, name, kind))
    key = parts[0] if len(parts) == 1 else b"".join(parts)
    return key if len(key) <= MAX_KEY else b"h" + hashlib.blake2b(key, digest_size=32).digest()


def encode_keys(rows: pa.Table, layout: Layout) -> list[bytes | None]:
    """`encode_key` of every row of a table."""
    columns = [column_values(rows[name], kind) for name, kind in layout.keys]
    return [encode_key(values, layout) for values in zip(*columns, strict=True)]


def column_values(column: pa.ChunkedArray, kind: str) -> list[Any]:
    """Python values of a column as they are stored: times become int microseconds."""
    if kind == TIME:
        micros = instants(column, Side.LABEL, assume_tz="UTC")
        nulls = column.is_null().to_numpy()
        return [None if null else int(value) for value, null in zip(micros, nulls, strict=True)]
    return column.to_pylist()


def encode_rows(
    rows: pa.Table, layout: Layout, event: np.ndarray, created: np.ndarray, epoch: np.ndarray
) -> list[bytes]:
    """Stored bytes of each row; the three arrays are int64, microseconds and epochs."""
    count = rows.num_rows
    bitmap = np.zeros((count, layout.bitmap_bytes), np.uint8)
    for place, (name, _) in enumerate(layout.features):
        if rows[name].null_count:
            bitmap[:, place // 8] |= rows[name].is_null().to_numpy().astype(np.uint8) << (place % 8)
    head = np.zeros(count, np.dtype([("f", "u1"), ("e", "<i8"), ("c", "<i8"), ("p", "<i8")]))
    head["f"], head["e"], head["c"], head["p"] = FORMAT, event, created, epoch
    prefix = np.concatenate([head.view(np.uint8).reshape(count, HEAD.size), bitmap], axis=1)
    if layout.fixed:
        body = _fixed_body(rows, layout)
        whole = np.ascontiguousarray(np.concatenate([prefix, body], axis=1))
        data, width = whole.tobytes(), whole.shape[1]
        return [data[at : at + width] for at in range(0, len(data), width)]
    data, width = prefix.tobytes(), prefix.shape[1]
    columns = [column_values(rows[name], kind) for name, kind in layout.features]
    return [
        data[place * width : place * width + width] + _pack(values)
        for place, values in enumerate(zip(*columns, strict=True))
    ]


def decoder(layout: Layout) -> Callable[[bytes], tuple[int, int, int, list[Any]]]:
    """A function from stored bytes to (event time, created time, epoch, feature values)."""
    start = HEAD.size + layout.bitmap_bytes
    head = HEAD.unpack_from
    if not layout.fixed:

        def read_packed(data: bytes) -> tuple[int, int, int, list[Any]]:
            version, event, created, epoch = head(data)
            if version != FORMAT:
                raise _other_format(version)
            return event, created, epoch, _unpack(data[start:])

        return read_packed
    body = struct.Struct("<" + "".join(_FIXED[kind] for _, kind in layout.features))
    whole = start + body.size
    no_nulls = bytes(layout.bitmap_bytes)

    def read_fixed(data: bytes) -> tuple[int, int, int, list[Any]]:
        version, event, created, epoch = head(data)
        if version != FORMAT:
            raise _other_format(version)
        if len(data) != whole:
            raise CorruptDataError(f"an online row has {len(data)} bytes, not {whole}", fix="Materialize the view anew")
        values = list(body.unpack_from(data, start))
        bitmap = data[HEAD.size : start]
        if bitmap != no_nulls:
            for place in _bits(bitmap):
                values[place] = None
        return event, created, epoch, values

    return read_fixed


def _fixed_body(rows: pa.Table, layout: Layout) -> np.ndarray:
    fields = [
        (f"f{place}", {"q": "<i8", "d": "<f8", "?": "u1"}[_FIXED[kind]])
        for place, (_, kind) in enumerate(layout.features)
    ]
    body = np.zeros(rows.num_rows, np.dtype(fields))
    for place, (name, kind) in enumerate(layout.features):
        column = rows[name]
        if kind == TIME:
            numbers = np.where(column.is_null().to_numpy(), 0, instants(column, Side.LABEL, assume_tz="UTC"))
        else:
            target = {INTEGER: pa.int64(), FLOAT: pa.float64(), BOOLEAN: pa.bool_()}[kind]
            cast = column.cast(target)
            numbers = cast.fill_null(False if kind == BOOLEAN else 0).to_numpy()
        body[f"f{place}"] = numbers
    return body.view(np.uint8).reshape(rows.num_rows, body.dtype.itemsize)


def _encode_part(value: Any, name: str, kind: str) -> bytes:
    if kind == TEXT and isinstance(value, str):
        text = value.encode()
        return b"s" + _LENGTH.pack(len(text)) + text
    if kind in (INTEGER, BOOLEAN) and isinstance(value, int) and -(2**63) <= value < 2**63:
        return b"i" + _INT.pack(value)
    if kind == TIME:
        return b"t" + _INT.pack(_micros(value, name))
    if kind == BYTES and isinstance(value, bytes):
        return b"b" + _LENGTH.pack(len(value)) + value
    raise UsageError(f"key {name!r} is {value!r}", fix=f"Give {'a whole number' if kind == INTEGER else kind}")


def _micros(value: Any, name: str) -> int:
    if isinstance(value, datetime):
        return from_datetime(value)
    if isinstance(value, date):
        return parse_instant(value.isoformat())
    if isinstance(value, str):
        return parse_instant(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise UsageError(f"key {name!r} is {value!r}, not a time", fix="Give ISO 8601 text or microseconds")


def _bits(bitmap: bytes) -> Iterator[int]:
    for byte, bits in enumerate(bitmap):
        while bits:
            low = bits & -bits
            yield byte * 8 + low.bit_length() - 1
            bits ^= low


def _other_format(version: int) -> CorruptDataError:
    return CorruptDataError(f"online row format {version} is not {FORMAT}", fix="Upgrade Mercury, or materialize anew")
