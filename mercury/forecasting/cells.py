"""Columns as times and numbers, with the row and the word of what is neither."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import DataError, SchemaError
from mercury.forecasting.arrays import to_numpy
from mercury.forecasting.frequency import ON_GRID

_NOTHING = r"^(|#N/A( N/A)?|#NA|-?1\.#(IND|QNAN)|-?NaN|-?nan|N/A|NA|NULL|n/a|null|None|<NA>|NaT)$"
"""What stands for a value that is not there, in a column of numbers or times; the ids NA and null are ids."""

_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.IGNORECASE)
_MARKED = re.compile(r"[+-]?\d{1,3}([,. '\u00a0\u202f]\d{3})+([.,]\d+)?")
_COMMA = r"^[+-]?\d*,\d+$"
_THOUSANDS = r"^[+-]?[1-9]\d{0,2},\d{3}$"
_MONTH = r"\d{4}-\d{2}"
_ZONED = r"\d[ T].*(Z|[+-]\d{2}(:?\d{2})?)$"
_MIDNIGHT = r"[ T]00(:?00){0,2}(\.0*)?(Z|[+-]\d{2}(:?\d{2})?)$"
_PLAIN_NUMBERS = "Write numbers with a decimal point, and nothing between thousands"
_TIME_FIX = "Write times as 2013-01-31 or 2013-01-31T12:00:00"


def known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts without the blanks around them, null for what stands for a value that is not there."""
    texts = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.match_substring_regex(texts, _NOTHING), pa.nulls(len(texts), pa.string()), texts)


def is_number(text: str) -> bool:
    """Whether a text is a number, with a decimal point or comma.

    >>> [is_number(text) for text in ("1.5", "-1,5", "1e5", "007", "many", "1,234,567")]
    [True, True, True, True, False, False]
    """
    return _NUMBER.fullmatch(text.strip()) is not None


def like_number(text: str) -> bool:
    """Whether a text is a number, or would be one without the marks between its thousands."""
    return is_number(text) or _MARKED.fullmatch(text.strip()) is not None


def is_time(text: str) -> bool:
    """Whether a text is a day, a month or an instant of ISO 8601.

    >>> [is_time(text) for text in ("2013-01-31", "2013-01", "2013-01-31 12:00Z", "31/01/2013", "2013", "2013-02-30")]
    [True, True, True, False, False, False]
    """
    return re.match(_MONTH, text.strip()) is not None and all_times(pa.chunked_array([[text.strip()]]))


def all_times(texts: pa.ChunkedArray) -> bool:
    """Whether all of some texts are times, of one kind."""
    try:
        _parsed(texts)
    except pa.ArrowInvalid:
        return False
    return True


def numbers(column: pa.ChunkedArray, name: str, where: str, notes: list[str]) -> np.ndarray:
    """A column as float64, NaN where nothing stands.

    Raises `DataError` for a word, and for numbers of which it cannot be known what their commas mean.
    """
    if not pa.types.is_string(column.type):
        try:
            return to_numpy(column.cast(pa.float64(), safe=False))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaError(
                f"{name!r} is {column.type}, not numbers", where=where, fix="Name the column of numbers with --value"
            ) from error
    texts = known(column)
    if pc.any(pc.match_substring(texts, ",")).as_py():
        texts = _with_points(texts, name, where, notes)
    try:
        return to_numpy(texts.cast(pa.float64()))
    except pa.ArrowInvalid as error:
        place = next(at for at, text in enumerate(texts.to_pylist()) if text and not _readable(text))
        raise DataError(
            f"{column[place].as_py()!r} is no number",
            where=_cell(where, place, name),
            fix=_PLAIN_NUMBERS if like_number(column[place].as_py()) else "Mend or remove it",
        ) from error


def times(column: pa.ChunkedArray, name: str, where: str, notes: list[str]) -> np.ndarray:
    """A column as microseconds UTC; a time without a zone is taken as it stands.

    Days of a zone stay the days of its calendar, so that summer time does not move them. Raises `DataError` for what is
    no time, and for a row without one.
    """
    kind = column.type
    if pa.types.is_integer(kind) or (pa.types.is_string(kind) and name.lower() == "year"):
        micro = _years(column, name, where)
    elif pa.types.is_string(kind):
        micro = _instants(_days_of_offsets(known(column), notes), name, where)
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micro = _micro(_wall_days(column, notes), name, where)
    else:
        raise SchemaError(f"{name!r} is {kind}, not a time", where=where, fix="Name the column of times with --time")
    if micro.null_count:
        first = pc.index(pc.is_null(micro), True).as_py()
        raise DataError(
            f"{micro.null_count:,} rows have no time", where=_cell(where, first, name), fix="Fill or remove them"
        )
    return to_numpy(micro.cast(pa.int64()))


def names(columns: list[pa.ChunkedArray], where: str) -> pa.Array:
    """The name of each row's series: one column as text, or several with a slash between."""
    texts = [column.cast(pa.string()) for column in columns]
    joined = pc.binary_join_element_wise(*texts, "/") if len(texts) > 1 else texts[0]
    if joined.null_count:
        first = pc.index(pc.is_null(joined), True).as_py()
        raise DataError("the id is missing", where=f"{where}, row {first + 1:,}", fix="Name the series of each row")
    return joined.combine_chunks()


def _readable(text: str) -> bool:
    return is_number(text) and "," not in text


def _with_points(texts: pa.ChunkedArray, name: str, where: str, notes: list[str]) -> pa.ChunkedArray:
    """Numbers with decimal commas, with points instead."""
    commas = texts.filter(pc.match_substring(texts, ","))
    decimal = pc.match_substring_regex(commas, _COMMA)
    point = pc.match_substring(texts, ".")
    if not pc.all(decimal).as_py() or pc.any(point).as_py():
        return texts  # words, thousands or both: the first is blamed
    if pc.all(pc.match_substring_regex(commas, _THOUSANDS)).as_py():
        first = pc.index(pc.match_substring(texts, ","), True).as_py()
        text = texts[first].as_py()
        raise DataError(
            f"{text!r} may be {text.replace(',', '')} or {text.replace(',', '.')}",
            where=_cell(where, first, name),
            fix=_PLAIN_NUMBERS,
        )
    notes.append(f"the commas of {name!r} are decimal commas")
    return pc.replace_substring(texts, ",", ".")


def _days_of_offsets(texts: pa.ChunkedArray, notes: list[str]) -> pa.ChunkedArray:
    """Midnights with an offset as the days that they begin, so that summer time does not move them."""
    if not _is_zoned(texts):
        return texts
    midnight = pc.match_substring_regex(texts, _MIDNIGHT)
    if (pc.mean(midnight).as_py() or 0) < ON_GRID or pc.all(pc.ends_with(texts, "Z")).as_py():
        return texts
    notes.append("times are days of their offsets, and are given as they stand there")
    return pc.replace_substring_regex(texts, r"(\d[ T].*?)(Z|[+-]\d{2}(:?\d{2})?)$", r"\1")


def _instants(texts: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    try:
        return _parsed(texts)
    except pa.ArrowInvalid as error:
        usual = texts.drop_null()[0].as_py()
        zoned, monthly = re.search(_ZONED, usual) is not None, re.fullmatch(_MONTH, usual) is not None
        for place, text in enumerate(texts.to_pylist()):
            if text is None:
                continue
            if not is_time(text):
                fault, fix = f"{text!r} is no time", _TIME_FIX
            elif (re.search(_ZONED, text) is not None) != zoned:
                fault, fix = f"{text!r} has {'no' if zoned else 'a'} zone, other than {usual!r}", "Give all or none one"
            elif (re.fullmatch(_MONTH, text) is not None) != monthly:
                fault, fix = f"{text!r} stands with {usual!r}", "Write all of them as months, or all as days"
            else:
                continue
            raise DataError(fault, where=_cell(where, place, name), fix=fix) from error
        raise


def _parsed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times of text: days, months (2013-01) and instants, all with an offset or none."""
    if _is_zoned(texts):
        return pc.cast(texts, pa.timestamp("us", tz="UTC"))
    if pc.all(pc.match_substring_regex(texts, f"^{_MONTH}$")).as_py():
        texts = pc.binary_join_element_wise(texts, "01", "-")
    return pc.cast(texts, pa.timestamp("us"))


def _is_zoned(texts: pa.ChunkedArray) -> bool:
    there = texts.drop_null()
    return len(there) > 0 and re.search(_ZONED, there[0].as_py()) is not None


def _micro(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    finer = getattr(column.type, "unit", None) == "ns"
    try:
        return column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)), safe=not finer)
    except pa.ArrowInvalid as error:
        raise DataError(f"{name!r} holds times that no calendar has: {error}", where=where, fix=_TIME_FIX) from error


def _years(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    texts = known(column.cast(pa.string()))
    wrong = pc.invert(pc.match_substring_regex(texts, r"^[12]\d{3}$"))
    first = pc.index(wrong, True).as_py()
    if first >= 0:
        raise DataError(
            f"{texts[first].as_py()} is no year",
            where=_cell(where, first, name),
            fix="Write years as 2013, and other times as 2013-01-31 or 2013-01-31T12:00:00",
        )
    return pc.cast(pc.binary_join_element_wise(texts, "01", "01", "-"), pa.timestamp("us"))


def _wall_days(column: pa.ChunkedArray, notes: list[str]) -> pa.ChunkedArray:
    """Days of a time zone as they stand on its calendar; other times as they were."""
    zone = getattr(column.type, "tz", None)
    if zone in (None, "UTC"):
        return column
    wall = pc.local_timestamp(column)
    midnight = pc.equal(wall, pc.floor_temporal(wall, unit="day"))
    if (pc.mean(midnight).as_py() or 0) < ON_GRID:
        return column
    notes.append(f"times are days of {zone}, and are given as they stand there")
    return wall


def _cell(where: str, place: int, name: str) -> str:
    return f"{where}, row {place + 1:,}, column {name!r}"
