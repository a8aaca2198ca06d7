"""JSON objects to Arrow rows by a schema, strictly: an unknown column or another type is refused, nothing is coerced.

Two readers give the same rows. The flat parser (`flat_json`) reads the whole buffer of values in one compiled pass
and leaves out every value that it is not sure of: escapes, unknown or repeated keys, odd numbers, broken text. Those
go one by one through msgspec, which decides: so exactly the bad values are refused, each with its reason, and one bad
value does not slow down its neighbours. A template parser for uniform producers can stand before these two.

Times are ISO 8601 text with a zone, dates ISO 8601 text, binary columns base64 text. A column that an object does not
have is null. Of a repeated key the last value counts. Negative zero is read as zero.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from mercury.definitions import arrow_schema
from mercury.errors import UsageError, did_you_mean
from mercury.streaming.codecs import Decoded
from mercury.streaming.codecs.flat_json import FlatParser
from mercury.time import parse_instant

MALFORMED = "malformed"
WRONG_TYPE = "type"
UNKNOWN_COLUMN = "unknown_column"

_INTEGERS = {"int32": 31, "int64": 63}
_SHOWN = 80


class JsonCodec:
    """Decodes JSON objects whose members are the columns of a schema (`mercury.definitions.TYPES`).

    ``columnar=False`` sends every value through the row-wise reader.
    """

    def __init__(self, schema: Mapping[str, str], *, columnar: bool = True) -> None:
        self.schema = arrow_schema(schema)
        self._rowwise = _Rowwise(schema)
        self._flat = FlatParser(schema) if columnar else None

    def decode(self, values: pa.Array) -> Decoded:
        """Rows of a binary array of JSON texts; see `Decoded`."""
        if self._flat is None:
            return self._decode_rowwise(values, np.arange(len(values)))
        rows, sure = self._flat.parse(values)
        if sure.all():
            return Decoded(rows, np.arange(len(values)), np.empty(0, dtype=np.int64), [], [])
        unsure = np.flatnonzero(~sure)
        others = self._decode_rowwise(values.take(pa.array(unsure)), unsure)
        positions = np.concatenate([np.flatnonzero(sure), others.positions])
        if len(others.positions):
            order = np.argsort(positions, kind="stable")
            rows, positions = pa.concat_tables([rows, others.rows]).take(pa.array(order)), positions[order]
        return Decoded(rows.combine_chunks(), positions, others.bad, others.kinds, others.reasons)

    def _decode_rowwise(self, values: pa.Array, positions: np.ndarray) -> Decoded:
        good: list[tuple[Any, ...]] = []
        good_at: list[int] = []
        bad_at: list[int] = []
        kinds: list[str] = []
        reasons: list[str] = []
        for position, value in zip(positions.tolist(), values.to_pylist(), strict=True):
            try:
                good.append(self._rowwise.decode(value))
                good_at.append(position)
            except _Refused as refusal:
                bad_at.append(position)
                kinds.append(refusal.kind)
                reasons.append(refusal.reason)
        columns = list(zip(*good, strict=True)) if good else [()] * len(self.schema)
        rows = pa.Table.from_arrays(
            [_column(column, field.type) for column, field in zip(columns, self.schema, strict=True)],
            schema=self.schema,
        )
        return Decoded(rows, np.array(good_at, dtype=np.int64), np.array(bad_at, dtype=np.int64), kinds, reasons)


class _Refused(Exception):
    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class _Rowwise:
    """The reference: one value at a time."""

    def __init__(self, schema: Mapping[str, str]) -> None:
        self._schema = dict(schema)
        names = [f"column_{index}" for index in range(len(schema))]
        struct = msgspec.defstruct(
            "Event",
            [(name, _annotation(kind), None) for name, kind in zip(names, schema.values(), strict=True)],
            rename=dict(zip(names, schema, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decoder = msgspec.json.Decoder(struct)
        self._names = names
        self._conversions: list[tuple[int, str, Callable[[Any], Any]]] = [
            (index, column, _CONVERSIONS[kind])
            for index, (column, kind) in enumerate(schema.items())
            if kind in _CONVERSIONS
        ]

    def decode(self, value: bytes | None) -> tuple[Any, ...]:
        if value is None:
            raise _Refused(MALFORMED, "the message has no value (a tombstone)")
        try:
            struct = self._decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._explain(value, str(error)) from None
        row = [getattr(struct, name) for name in self._names]
        for index, column, convert in self._conversions:
            if row[index] is not None:
                try:
                    row[index] = convert(row[index])
                except (UsageError, ValueError, OverflowError, binascii.Error):
                    raise _wrong_type(column, self._schema[column], row[index]) from None
        return tuple(row)

    def _explain(self, value: bytes, message: str) -> _Refused:
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            return _Refused(MALFORMED, f"malformed JSON: not UTF-8 at byte {error.start}")
        try:
            document = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            return _Refused(MALFORMED, f"malformed JSON: {error}")
        if not isinstance(document, dict):
            return _Refused(MALFORMED, f"not a JSON object: {_shown(document)}")
        for column, item in document.items():
            if column not in self._schema:
                near = did_you_mean(column, self._schema)
                return _Refused(UNKNOWN_COLUMN, f"unknown column {column!r}. {near}")
            if item is not None and not _fits(item, self._schema[column]):
                return _wrong_type(column, self._schema[column], item)
        return _Refused(MALFORMED, f"malformed JSON: {message}")


def _annotation(kind: str) -> Any:
    if kind in _INTEGERS:
        bits = _INTEGERS[kind]
        return Annotated[int, msgspec.Meta(ge=-(2**bits), le=2**bits - 1)] | None
    return {"float32": float, "float64": float, "bool": bool}.get(kind, str) | None


def _fits(item: object, kind: str) -> bool:
    if kind in _INTEGERS:
        bits = _INTEGERS[kind]
        return isinstance(item, int) and not isinstance(item, bool) and -(2**bits) <= item < 2**bits
    if kind.startswith("float"):
        return isinstance(item, (int, float)) and not isinstance(item, bool) and math.isfinite(item)
    return isinstance(item, bool if kind == "bool" else str)


def _finite_float32(value: float) -> float:
    if abs(value) >= 3.4028235677973366e38:  # rounds to infinity
        raise OverflowError
    return value


def _date(text: str) -> datetime.date:
    if len(text) != 10:
        raise ValueError
    return datetime.date.fromisoformat(text)


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "timestamp": parse_instant,
    "date": _date,
    "binary": lambda text: base64.b64decode(text, validate=True),
    "float32": _finite_float32,
}


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _wrong_type(column: str, kind: str, item: object) -> _Refused:
    return _Refused(WRONG_TYPE, f"column {column!r} is not a {kind}: {_shown(item)}")


def _shown(item: object) -> str:
    text = json.dumps(item, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _column(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    if pa.types.is_floating(kind):
        wide = [None if value is None else value + 0.0 for value in values]
        return pa.array(wide, pa.float64()).cast(kind, safe=False)
    return pa.array(values, kind)
