"""One compiled pass over flat JSON objects: columns of all values that it can read beyond doubt.

The parser takes members in any order and any white space. A value that holds anything else than plain members of the
schema's types (escapes, nesting, a repeated or unknown key, text that is not UTF-8, a number out of range) is left to
the row-wise reader, never guessed. Floats of up to 15 digits are exact by one multiplication or division (Clinger
1990); longer ones are read by Python.
"""

from __future__ import annotations

from collections.abc import Mapping

import numba
import numpy as np
import pyarrow as pa

from mercury.definitions import arrow_schema
from mercury.streaming import records

_STRING, _INTEGER, _FLOAT, _BOOL, _TIMESTAMP, _UNREAD = range(6)
_KINDS = {"string": _STRING, "int32": _INTEGER, "int64": _INTEGER, "float64": _FLOAT, "float32": _FLOAT}
_KINDS |= {"bool": _BOOL, "timestamp": _TIMESTAMP, "date": _UNREAD, "binary": _UNREAD}
_ABSENT, _PRESENT, _NULL, _LONG_FLOAT = range(4)
_POWERS = 10.0 ** np.arange(23)
_EXACT = 1 << 53
_PLAIN = np.array([32 <= byte < 0x80 and byte not in b'"\\' for byte in range(256)])


class FlatParser:
    """Reads the values of one schema."""

    def __init__(self, schema: Mapping[str, str]) -> None:
        self.schema = arrow_schema(schema)
        names = [name.encode() for name in schema]
        self._names = np.frombuffer(b"".join(names) or b"\0", dtype=np.uint8)
        self._name_offsets = np.cumsum([0] + [len(name) for name in names], dtype=np.int64)
        self._kinds = np.array([_KINDS[kind] for kind in schema.values()], dtype=np.int64)
        small = np.array([kind == "int32" for kind in schema.values()])
        self._lows = np.where(small, -(1 << 31), -(1 << 63)).astype(np.int64)
        self._highs = np.where(small, (1 << 31) - 1, (1 << 63) - 1).astype(np.int64)

    def parse(self, values: pa.Array) -> tuple[pa.Table, np.ndarray]:
        """Rows of the values that were read, in order, and a mask (one bool per value) of which they are."""
        count, columns = len(values), len(self._kinds)
        data, offsets = _bytes_of(values)
        integers = np.zeros((columns, count), dtype=np.int64)
        floats = np.zeros((columns, count), dtype=np.float64)
        lengths = np.zeros((columns, count), dtype=np.int64)
        states = np.zeros((columns, count), dtype=np.uint8)
        sure = np.zeros(count, dtype=np.bool_)
        _parse(
            data,
            offsets,
            self._names,
            self._name_offsets,
            self._kinds,
            self._lows,
            self._highs,
            integers,
            floats,
            lengths,
            states,
            sure,
            _POWERS,
        )
        if values.null_count:
            sure &= values.is_valid().to_numpy(zero_copy_only=False)
        self._read_long_floats(data, integers, floats, lengths, states, sure)
        keep = slice(None) if sure.all() else np.flatnonzero(sure)
        arrays = [
            self._column(
                index, data, integers[index][keep], floats[index][keep], lengths[index][keep], states[index][keep]
            )
            for index in range(columns)
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema), sure

    def _read_long_floats(
        self,
        data: np.ndarray,
        integers: np.ndarray,
        floats: np.ndarray,
        lengths: np.ndarray,
        states: np.ndarray,
        sure: np.ndarray,
    ) -> None:
        for column, row in zip(*np.nonzero((states == _LONG_FLOAT) & sure), strict=True):
            start, length = integers[column, row], lengths[column, row]
            floats[column, row] = float(data[start : start + length].tobytes())
        for column in np.flatnonzero(self._kinds == _FLOAT):
            limit = 3.4028235677973366e38 if self.schema.types[column] == pa.float32() else np.inf
            sure &= np.abs(floats[column]) < limit

    def _column(
        self,
        index: int,
        data: np.ndarray,
        integers: np.ndarray,
        floats: np.ndarray,
        lengths: np.ndarray,
        states: np.ndarray,
    ) -> pa.Array:
        kind, type_ = self._kinds[index], self.schema.types[index]
        missing = (states == _ABSENT) | (states == _NULL)
        if kind == _STRING:
            return records.slices(data, integers, np.where(missing, -1, lengths), type_)
        mask = missing if missing.any() else None
        if kind == _FLOAT:
            return pa.array(floats.astype(np.float32) if type_ == pa.float32() else floats, type_, mask=mask)
        if kind == _BOOL:
            return pa.array(integers != 0, type_, mask=mask)
        if kind == _UNREAD:
            return pa.nulls(len(integers), type_)
        return pa.array(integers, pa.int64(), mask=mask).cast(type_)


def _bytes_of(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    _, offsets_buffer, data_buffer = values.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer else np.empty(0, dtype=np.uint8)
    return data, offsets


@numba.njit(cache=True, nogil=True, inline="always")
def _skip(data, p, end):  # type: ignore[no-untyped-def]
    while p < end and (data[p] == 32 or data[p] == 10 or data[p] == 13 or data[p] == 9):
        p += 1
    return p


@numba.njit(cache=True, nogil=True)
def _text_end(data, p, end):  # type: ignore[no-untyped-def]
    """Position of the closing quote of plain UTF-8 text that starts at p, or -1 (RFC 3629 table 3-7)."""
    while p < end:
        # Unsigned positions spare the check for negative ones, which costs a third of the scan.
        at, stop = np.uintp(p), np.uintp(end)
        while at < stop and _PLAIN[data[at]]:
            at += np.uintp(1)
        p = np.int64(at)
        if p == end:
            return -1
        c = data[p]
        if c == 34:
            return p
        if c == 92 or c < 32:
            return -1
        if 0xC2 <= c <= 0xDF:
            more = 1
        elif 0xE0 <= c <= 0xEF:
            more = 2
        elif 0xF0 <= c <= 0xF4:
            more = 3
        else:
            return -1
        if p + more >= end:
            return -1
        d = data[p + 1]
        if (c == 0xE0 and d < 0xA0) or (c == 0xED and d > 0x9F) or (c == 0xF0 and d < 0x90) or (c == 0xF4 and d > 0x8F):
            return -1
        for k in range(1, more + 1):
            if data[p + k] & 0xC0 != 0x80:
                return -1
        p += more + 1
    return -1


@numba.njit(cache=True, nogil=True)
def _expected_key_end(data, start, end, names, name_offsets, column):  # type: ignore[no-untyped-def]
    """Position of the quote that ends the key, when it is the name of this column; else -1."""
    first = np.uintp(name_offsets[column])
    length = np.uintp(name_offsets[column + 1]) - first
    at = np.uintp(start)
    if at + length >= np.uintp(end) or data[at + length] != 34:
        return -1
    k = np.uintp(0)
    while k < length:
        if names[first + k] != data[at + k]:
            return -1
        k += np.uintp(1)
    return np.int64(at + length)


@numba.njit(cache=True, nogil=True)
def _column_of(data, start, length, names, name_offsets, guess):  # type: ignore[no-untyped-def]
    """Index of the column named by these bytes, trying `guess` first; -1 for none."""
    columns = len(name_offsets) - 1
    for step in range(columns):
        column = (guess + step) % columns
        first = name_offsets[column]
        if name_offsets[column + 1] - first != length:
            continue
        same = True
        for k in range(length):
            if names[first + k] != data[start + k]:
                same = False
                break
        if same:
            return column
    return -1


@numba.njit(cache=True, nogil=True)
def _digits(data, p, count):  # type: ignore[no-untyped-def]
    """The number that exactly `count` digits at p make, or -1."""
    value = 0
    for k in range(count):
        c = data[p + k]
        if c < 48 or c > 57:
            return -1
        value = value * 10 + (c - 48)
    return value


@numba.njit(cache=True, nogil=True)
def _instant(data, p, end):  # type: ignore[no-untyped-def]
    """Microseconds of ``YYYY-MM-DDTHH:MM:SS[.ffffff](Z|±HH:MM)`` in [p, end), and whether it is one."""
    if end - p < 20 or data[p + 4] != 45 or data[p + 7] != 45 or data[p + 10] != 84:
        return 0, False
    if data[p + 13] != 58 or data[p + 16] != 58:
        return 0, False
    year, month, day = _digits(data, p, 4), _digits(data, p + 5, 2), _digits(data, p + 8, 2)
    hour, minute, second = _digits(data, p + 11, 2), _digits(data, p + 14, 2), _digits(data, p + 17, 2)
    if year < 1 or month < 1 or month > 12 or day < 1 or hour < 0 or hour > 23:
        return 0, False
    if minute < 0 or minute > 59 or second < 0 or second > 59:
        return 0, False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month == 2:
        longest = 29 if leap else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        longest = 30
    else:
        longest = 31
    if day > longest:
        return 0, False
    p += 19
    micros = 0
    if data[p] == 46:
        p += 1
        scale = 100_000
        while p < end and 48 <= data[p] <= 57:
            if scale == 0:
                return 0, False
            micros += (data[p] - 48) * scale
            scale //= 10
            p += 1
        if scale == 100_000:
            return 0, False
    shift = 0
    if p + 1 == end and data[p] == 90:
        p += 1
    elif p + 6 == end and (data[p] == 43 or data[p] == 45) and data[p + 3] == 58:
        zone_hour, zone_minute = _digits(data, p + 1, 2), _digits(data, p + 4, 2)
        if zone_hour < 0 or zone_hour > 23 or zone_minute < 0 or zone_minute > 59:
            return 0, False
        shift = (zone_hour * 60 + zone_minute) * (-60 if data[p] == 45 else 60)
    else:
        return 0, False
    # Days since 1970-01-01 by eras of 400 years that begin on 1 March (Hinnant, "chrono-compatible date algorithms").
    y = year - 1 if month <= 2 else year
    era = y // 400
    year_of_era = y - era * 400
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    days = era * 146_097 + day_of_era - 719_468
    return (days * 86_400 + hour * 3600 + minute * 60 + second - shift) * 1_000_000 + micros, True


@numba.njit(cache=True, nogil=True)
def _number(data, p, end):  # type: ignore[no-untyped-def]
    """End of the JSON number at p (-1 for none), its digits as an integer, their count, the exponent, is it whole."""
    negative = data[p] == 45
    if negative:
        p += 1
    first = p
    mantissa, digits, exponent, whole = 0, 0, 0, True
    while p < end and 48 <= data[p] <= 57:
        if digits < 18:
            mantissa = mantissa * 10 + (data[p] - 48)
        digits += 1
        p += 1
    if p == first or (p - first > 1 and data[first] == 48):
        return -1, 0, 0, 0, False
    if p < end and data[p] == 46:
        whole = False
        p += 1
        point = p
        while p < end and 48 <= data[p] <= 57:
            if digits < 18:
                mantissa = mantissa * 10 + (data[p] - 48)
            digits += 1
            p += 1
        if p == point:
            return -1, 0, 0, 0, False
        exponent = point - p
    if p < end and (data[p] == 101 or data[p] == 69):
        whole = False
        p += 1
        down = False
        if p < end and (data[p] == 43 or data[p] == 45):
            down = data[p] == 45
            p += 1
        point = p
        power = 0
        while p < end and 48 <= data[p] <= 57:
            power = min(power * 10 + (data[p] - 48), 100_000)
            p += 1
        if p == point:
            return -1, 0, 0, 0, False
        exponent += -power if down else power
    return p, -mantissa if negative else mantissa, digits, exponent, whole


@numba.njit(cache=True, nogil=True)
def _parse(data, offsets, names, name_offsets, kinds, lows, highs, integers, floats, lengths, states, sure, powers):  # type: ignore[no-untyped-def]
    for row in range(len(offsets) - 1):
        sure[row] = _parse_object(
            data, offsets[row], offsets[row + 1], row, names, name_offsets, kinds, lows, highs,
            integers, floats, lengths, states, powers,
        )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def _parse_object(  # type: ignore[no-untyped-def]
    data, p, end, row, names, name_offsets, kinds, lows, highs, integers, floats, lengths, states, powers
):
    p = _skip(data, p, end)
    if p >= end or data[p] != 123:
        return False
    p = _skip(data, p + 1, end)
    guess = 0
    if p < end and data[p] == 125:
        return _skip(data, p + 1, end) == end
    while True:
        if p >= end or data[p] != 34:
            return False
        start = p + 1
        p = _expected_key_end(data, start, end, names, name_offsets, guess)
        column = guess
        if p < 0:
            p = _text_end(data, start, end)
            if p < 0:
                return False
            column = _column_of(data, start, p - start, names, name_offsets, guess)
        if column < 0 or states[column, row] != _ABSENT:
            return False
        guess = column + 1 if column + 2 < len(name_offsets) else 0
        p = _skip(data, p + 1, end)
        if p >= end or data[p] != 58:
            return False
        p = _skip(data, p + 1, end)
        if p >= end:
            return False
        p = _parse_member(
            data, p, end, row, column, kinds[column], lows, highs, integers, floats, lengths, states, powers
        )
        if p < 0:
            return False
        p = _skip(data, p, end)
        if p >= end:
            return False
        if data[p] == 125:
            return _skip(data, p + 1, end) == end
        if data[p] != 44:
            return False
        p = _skip(data, p + 1, end)


@numba.njit(cache=True, nogil=True)
def _parse_member(data, p, end, row, column, kind, lows, highs, integers, floats, lengths, states, powers):  # type: ignore[no-untyped-def]
    """End of the value at p, which is stored, or -1 when it is not plainly of this kind."""
    c = data[p]
    if c == 110:
        if p + 4 > end or data[p + 1] != 117 or data[p + 2] != 108 or data[p + 3] != 108:
            return -1
        states[column, row] = _NULL
        return p + 4
    states[column, row] = _PRESENT
    if kind in (_STRING, _TIMESTAMP):
        if c != 34:
            return -1
        close = _text_end(data, p + 1, end)
        if close < 0:
            return -1
        if kind == _STRING:
            integers[column, row] = p + 1
            lengths[column, row] = close - p - 1
        else:
            instant, read = _instant(data, p + 1, close)
            if not read:
                return -1
            integers[column, row] = instant
        return close + 1
    if kind == _BOOL:
        if c == 116 and p + 4 <= end and data[p + 1] == 114 and data[p + 2] == 117 and data[p + 3] == 101:
            integers[column, row] = 1
            return p + 4
        if (
            c == 102
            and p + 5 <= end
            and data[p + 1] == 97
            and data[p + 2] == 108
            and data[p + 3] == 115
            and data[p + 4] == 101
        ):
            integers[column, row] = 0
            return p + 5
        return -1
    if kind == _UNREAD or (c != 45 and (c < 48 or c > 57)):
        return -1
    stop, mantissa, digits, exponent, whole = _number(data, p, end)
    if stop < 0:
        return -1
    if kind == _INTEGER:
        if not whole or digits > 18 or mantissa < lows[column] or mantissa > highs[column]:
            return -1
        integers[column, row] = mantissa
        return stop
    if digits <= 18 and -_EXACT <= mantissa <= _EXACT and -22 <= exponent <= 22:
        value = float(mantissa)
        floats[column, row] = value * powers[exponent] if exponent >= 0 else value / powers[-exponent]
    else:
        states[column, row] = _LONG_FLOAT
        integers[column, row] = p
        lengths[column, row] = stop - p
    return stop
