"""Reading a bare file: which column is the time, which the value, which names the series, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from mercury.errors import CorruptDataError, DataError, NotFoundError, SchemaError, UsageError, did_you_mean
from mercury.forecasting.frequency import ON_GRID
from mercury.forecasting.panel import Duplicates, Gaps, Panel, make_panel

TIME_NAMES = ("ds", "time", "date", "datetime", "timestamp", "month", "day", "week", "hour", "period", "year", "ts")
VALUE_NAMES = ("y", "value", "target", "sales", "demand", "count", "amount", "quantity", "volume", "price", "n")
ID_NAMES = ("unique_id", "id", "series", "item", "item_id", "store", "sku", "name", "key", "product")


def read_panel(
    source: str | Path | pa.Table,
    *,
    time: str | None = None,
    value: str | None = None,
    id: str | None = None,
    freq: str | None = None,
    gaps: Gaps = "auto",
    duplicates: Duplicates = "refuse",
) -> Panel:
    """A panel from a CSV or Parquet file, or from an Arrow table.

    Columns that are not named are found by name and by content; the panel's notes say what was chosen and why. See
    `make_panel` for gaps, duplicates and what is refused.
    """
    table, where = (source, "the table") if isinstance(source, pa.Table) else (_read(Path(source)), str(source))
    if not table.num_rows:
        raise DataError("the file has no rows", where=where, fix="Give at least one time and value")
    for option, name in (("--time", time), ("--value", value), ("--id", id)):
        if name is not None and name not in table.column_names:
            raise SchemaError(
                f"there is no column {name!r}", where=f"{where}, {option}", fix=did_you_mean(name, table.column_names)
            )
    notes: list[str] = []
    time = time or _find_time(table, where, [name for name in (value, id) if name], notes)
    value = value or _find_value(table, where, [name for name in (time, id) if name], notes)
    id = id or _find_id(table, time, value, notes)
    values = _numbers(table[value], value, where)
    times, kept = _times(_wall_days(table[time], notes), time, where)
    if not kept.all():
        missing = int((~kept).sum())
        first = int(np.flatnonzero(~kept)[0])
        raise DataError(
            f"{missing:,} rows have no time", where=f"{where}, row {first + 1:,}", fix=f"Fill or remove {time!r}"
        )
    ids = None if id is None else pc.cast(table[id].combine_chunks(), pa.string())
    return make_panel(ids, times, values, where=where, freq=freq, gaps=gaps, duplicates=duplicates, notes=tuple(notes))


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise NotFoundError(f"there is no file {str(path)!r}", fix="Give the path of a CSV or Parquet file")
    try:
        if path.suffix in (".parquet", ".pq"):
            return pq.read_table(path)
        parsing = pacsv.ParseOptions(delimiter=_delimiter(path))
        return pacsv.read_csv(
            path, parse_options=parsing, convert_options=pacsv.ConvertOptions(strings_can_be_null=True)
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptDataError(
            f"the file cannot be read: {str(error).splitlines()[0]}", where=str(path), fix="Write it as CSV or Parquet"
        ) from error


def _delimiter(path: Path) -> str:
    """What most often stands between the names of the first line."""
    with path.open("rb") as file:
        header = file.readline(1 << 20).decode("utf-8", errors="replace")
    return max(",;\t|", key=header.count)


def _find_time(table: pa.Table, where: str, taken: Sequence[str], notes: list[str]) -> str:
    free = [name for name in table.column_names if name not in taken]
    typed = [name for name in free if pa.types.is_temporal(table[name].type)]
    text = [name for name in free if pa.types.is_string(table[name].type) and _mostly(table[name], _is_time)]
    years = [name for name in free if name.lower() == "year" and pa.types.is_integer(table[name].type)]
    chosen = _by_name(typed or text or years, TIME_NAMES)
    if chosen is None:
        raise DataError(
            "no column holds times",
            where=f"{where}, columns {', '.join(table.column_names)}",
            fix="Name it with --time",
        )
    why = "its type" if typed else "its text can be read as times" if text else "its numbers are years"
    notes.append(f"time is {chosen!r}: {why}")
    return chosen


def _find_value(table: pa.Table, where: str, taken: Sequence[str], notes: list[str]) -> str:
    numeric = [
        name
        for name in table.column_names
        if name not in taken and (pa.types.is_integer(table[name].type) or pa.types.is_floating(table[name].type))
    ]
    if not numeric:  # a column of numbers with a few words in it: the words are what is wrong
        free = [name for name in table.column_names if name not in taken and pa.types.is_string(table[name].type)]
        numeric = [name for name in free if _mostly(table[name], _is_number)]
    chosen = _by_name(numeric, VALUE_NAMES) if len(numeric) != 1 else numeric[0]
    named = [name for name in numeric if name.lower() in VALUE_NAMES]
    if chosen is None or (len(numeric) > 1 and not named):
        raise DataError(
            f"{len(numeric)} columns hold numbers" if numeric else "no column holds numbers",
            where=f"{where}, columns {', '.join(numeric or table.column_names)}",
            fix="Say which one to forecast with --value",
        )
    notes.append(f"value is {chosen!r}: " + ("the only numbers" if len(numeric) == 1 else "its name"))
    return chosen


def _find_id(table: pa.Table, time: str, value: str, notes: list[str]) -> str | None:
    """A column of text, or one that is called like an id, is the name of the series."""
    free = [name for name in table.column_names if name not in (time, value)]
    named = [name for name in free if name.lower() in ID_NAMES]
    text = [name for name in free if pa.types.is_string(table[name].type) or pa.types.is_dictionary(table[name].type)]
    chosen = _by_name(named, ID_NAMES) or (text[0] if len(text) == 1 else None)
    if chosen is None and text:
        raise DataError(
            f"{len(text)} columns hold text",
            where=f"columns {', '.join(text)}",
            fix="Say which one names the series with --id",
        )
    if chosen is not None:
        why = "its name" if chosen in named else "the only text"
        notes.append(f"series are told apart by {chosen!r}: {why}")
    return chosen


def _by_name(names: Sequence[str], usual: Sequence[str]) -> str | None:
    ranked = sorted(names, key=lambda name: usual.index(name.lower()) if name.lower() in usual else len(usual))
    return ranked[0] if ranked else None


def _mostly(column: pa.ChunkedArray, test: Callable[[str], bool]) -> bool:
    """Whether nine tenths of the first texts are of a kind, or all but one of a few: the others are then mistakes."""
    texts = [text for text in column.slice(0, 500).to_pylist() if text is not None]
    right = sum(map(test, texts))
    return right > 0 and (right >= 0.9 * len(texts) or (len(texts) > 1 and right == len(texts) - 1))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    try:
        _as_timestamps(pa.chunked_array([[text]]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _as_timestamps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times of text: ISO 8601 dates, months (2013-01) and instants."""
    if pa.types.is_string(column.type) and pc.all(pc.match_substring_regex(column, r"^\d{4}-\d{2}$")).as_py():
        column = pc.binary_join_element_wise(column, "01", "-")
    return pc.cast(column, pa.timestamp("us"))


def _times(column: pa.ChunkedArray, name: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds UTC, and which rows have one; a time without a zone is taken as it stands."""
    kind = column.type
    if pa.types.is_integer(kind):
        return _years(column, name, where)
    if not pa.types.is_temporal(kind) and not pa.types.is_string(kind):
        raise SchemaError(f"{name!r} is {kind}, not a time", where=where, fix="Name the column of times with --time")
    if not pa.types.is_timestamp(kind):
        try:
            column = _as_timestamps(column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            place = _first_unreadable(column)
            raise DataError(
                f"{column[place].as_py()!r} is no time", where=f"{where}, row {place + 1:,}, column {name!r}",
                fix="Write times as 2013-01-31 or 2013-01-31T12:00:00",
            ) from error  # fmt: skip
    micro = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None))).cast(pa.int64())
    return micro.fill_null(0).to_numpy(), pc.is_valid(micro).to_numpy()


def _wall_days(column: pa.ChunkedArray, notes: list[str]) -> pa.ChunkedArray:
    """Days of a time zone as they stand on its calendar, so that summer time does not move them; else as it was."""
    zone = getattr(column.type, "tz", None)
    if zone in (None, "UTC"):
        return column
    wall = pc.local_timestamp(column)
    midnight = pc.equal(wall, pc.floor_temporal(wall, unit="day"))
    if (pc.mean(midnight).as_py() or 0) < ON_GRID:
        return column
    notes.append(f"times are days of {zone}, and are given as they stand there")
    return wall


def _years(column: pa.ChunkedArray, name: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    years = column.cast(pa.int64()).fill_null(1970).to_numpy()
    wrong = np.flatnonzero((years < 1000) | (years > 2999))
    if len(wrong):
        raise DataError(
            f"{years[wrong[0]]} is no year",
            where=f"{where}, row {wrong[0] + 1:,}, column {name!r}",
            fix="Write years as 2013, and other times as 2013-01-31 or 2013-01-31T12:00:00",
        )
    times = (years - 1970).astype("datetime64[Y]").astype("datetime64[us]").astype(np.int64)
    return times, pc.is_valid(column).to_numpy()


def _first_unreadable(column: pa.ChunkedArray) -> int:
    for place in range(len(column)):
        try:
            _as_timestamps(column.slice(place, 1))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return place
    return 0


def _numbers(column: pa.ChunkedArray, name: str, where: str) -> np.ndarray:
    try:
        numbers = column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        for place, value in enumerate(column.to_pylist()):
            try:
                float(value) if value is not None else None
            except (TypeError, ValueError):
                raise DataError(
                    f"{value!r} is no number",
                    where=f"{where}, row {place + 1:,}, column {name!r}",
                    fix="Mend or remove it",
                ) from error
        raise UsageError(f"{name!r} is {column.type}, not numbers", where=where) from error
    return numbers.to_numpy().astype(np.float64)
