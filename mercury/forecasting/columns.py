"""Which column of a table is the time, which the value, which names the series, and why: by type, content and name.

A choice that is not clear is an error that names the candidates, and each choice has an option.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import DataError, SchemaError, did_you_mean
from mercury.forecasting.cells import all_times, is_time, known, like_number

TIME_NAMES = ("ds", "time", "date", "datetime", "timestamp", "month", "day", "week", "hour", "period", "year", "ts")
VALUE_NAMES = ("y", "value", "target", "sales", "demand", "count", "amount", "quantity", "volume", "price", "n")
ID_NAMES = ("unique_id", "id", "series", "item", "item_id", "store", "sku", "name", "key", "product")

_LOOKED_AT = 500
"""Texts of a column that say what it holds; what does not fit is blamed when all of it is read."""

_OWN = 0.5
"""Names by rows, from which on a column of text without a telling name is remarks rather than names of series."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that a panel is made of; several ``ids`` name a series together."""

    time: str
    value: str
    ids: tuple[str, ...]


def find_columns(
    table: pa.Table, where: str, time: str | None, value: str | None, ids: Sequence[str], notes: list[str]
) -> Columns:
    """What was named, and what is found for the rest; ``notes`` gets the reasons.

    Raises `SchemaError` for a name that does not exist, `DataError` where nothing, or too much, could be meant.
    """
    for option, name in (("--time", time), ("--value", value), *(("--id", name) for name in ids)):
        if name is not None and name not in table.column_names:
            raise SchemaError(
                f"there is no column {name!r}", where=f"{where}, {option}", fix=did_you_mean(name, table.column_names)
            )
    # A column without a name is a row number that somebody's tool has added.
    kinds = {name: _kind(table[name]) for name in table.column_names if name.strip()}
    free = {name: kind for name, kind in kinds.items() if name not in (time, value, *ids)}
    time = time or _find_time(table, free, where, notes)
    free.pop(time, None)
    value = value or _find_value(table, free, where, notes)
    free.pop(value, None)
    ids = tuple(ids) or _find_ids(table, free, where, notes)
    unused = [name for name in table.column_names if name not in (time, value, *ids)]
    if unused:
        notes.append(f"not used: {', '.join(map(repr, unused))}")
    return Columns(time, value, tuple(ids))


def _find_time(table: pa.Table, kinds: dict[str, str], where: str, notes: list[str]) -> str:
    typed = [name for name, kind in kinds.items() if kind == "time"]
    years = [name for name, kind in kinds.items() if name.lower() == "year" and kind == "number"]
    named = [name for name in kinds if name.lower() in TIME_NAMES]
    found = typed or years or named[:1]  # what is only called a time is read as one, and blamed if it is none
    if not found:
        raise DataError(
            "no column holds times",
            where=f"{where}, columns {', '.join(table.column_names)}",
            fix="Name it with --time, and write times as 2013-01-31 or 2013-01-31T12:00:00",
        )
    chosen = _chosen(found, TIME_NAMES)
    if chosen is None:
        raise DataError(
            f"{len(found)} columns hold times",
            where=f"{where}, columns {', '.join(found)}",
            fix="Say which one with --time",
        )
    text = pa.types.is_string(table[chosen].type)
    content = "its text can be read as times" if text else "its type"
    why = content if typed else "its numbers are years" if years else "its name"
    notes.append(f"time is {chosen!r}: {why}")
    return chosen


def _find_value(table: pa.Table, kinds: dict[str, str], where: str, notes: list[str]) -> str:
    numeric = [name for name, kind in kinds.items() if kind == "number"]
    others = [name for name in numeric if name.lower() not in ID_NAMES]
    candidates = others or numeric
    chosen = _chosen(candidates, VALUE_NAMES)
    if chosen is None:
        raise DataError(
            f"{len(candidates)} columns hold numbers" if candidates else "no column holds numbers",
            where=f"{where}, columns {', '.join(candidates or table.column_names)}",
            fix="Say which one to forecast with --value",
        )
    notes.append(f"value is {chosen!r}: " + ("the only numbers" if len(candidates) == 1 else "its name"))
    return chosen


def _find_ids(table: pa.Table, kinds: dict[str, str], where: str, notes: list[str]) -> tuple[str, ...]:
    """Columns that are called like an id, else the only one of text that repeats its names."""
    named = [name for name in kinds if name.lower() in ID_NAMES]
    text = [name for name, kind in kinds.items() if kind == "text" and name.lower() not in (*ID_NAMES, *TIME_NAMES)]
    repeating = [name for name in text if pc.count_distinct(table[name]).as_py() <= _OWN * table.num_rows]
    found = named[:1] if len(named) == 1 else [*named, *repeating]
    if len(found) > 1:
        raise DataError(
            f"{len(found)} columns may name the series",
            where=f"{where}, columns {', '.join(found)}",
            fix=f"Say which one does with --id, or all that do together, as --id {','.join(found)}",
        )
    if not found:
        return ()
    notes.append(f"series are told apart by {found[0]!r}: {'its name' if named else 'the only text that repeats'}")
    return (found[0],)


def _chosen(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The only name, or the first by the usual ones; None when none is usual."""
    if len(names) == 1:
        return names[0]
    named = [name for name in names if name.lower() in usual]
    return min(named, key=lambda name: usual.index(name.lower()), default=None)


def _kind(column: pa.ChunkedArray) -> str:
    """``time``, ``number``, ``text`` or ``other``."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "time"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if not pa.types.is_string(kind):
        return "other"
    sample = known(column.drop_null().slice(0, _LOOKED_AT)).drop_null()
    texts = sample.to_pylist()
    if _mostly(texts, like_number):
        return "number"
    return "time" if texts and (all_times(sample) or _mostly(texts, is_time)) else "text"


def _mostly(texts: Sequence[str], test: Callable[[str], bool]) -> bool:
    """Whether nine tenths of texts are of a kind, or all but one of a few: the others are then mistakes."""
    right = sum(map(test, texts))
    return right > 0 and (right >= 0.9 * len(texts) or (len(texts) > 1 and right == len(texts) - 1))
