"""Bare and dirty files: the right series with a note, or one error with the row and the fix; never a silent guess."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.errors import DataError, MercuryError, SchemaError, UsageError
from mercury.forecasting import forecast, read_panel


def write(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(text)
    return path


def daily(count: int, first: date = date(2026, 1, 1)) -> list[str]:
    return [str(first + timedelta(days=number)) for number in range(count)]


def csv(rows: list[str]) -> str:
    return "ds,y\n" + "\n".join(rows) + "\n"


DAYS = [f"{day},{number}" for number, day in enumerate(daily(10))]


@pytest.mark.parametrize(
    ("times", "name"),
    [
        (daily(20), "D"),
        ([day for day in daily(40) if date.fromisoformat(day).weekday() < 5], "B"),
        ([str(date(2026, 1, 4) + timedelta(weeks=number)) for number in range(12)], "W"),
        ([f"2026-{month:02d}" for month in range(1, 13)], "MS"),
        ([f"2026-{month:02d}-01" for month in range(1, 13)], "MS"),
        ([str(date(2026 + (month // 12), month % 12 + 1, 1) - timedelta(days=1)) for month in range(1, 14)], "ME"),
        (["2025-01-01", "2025-04-01", "2025-07-01", "2025-10-01", "2026-01-01"], "QS"),
        (["2025-03-31", "2025-06-30", "2025-09-30", "2025-12-31"], "QE"),
        ([f"{year}-01-01" for year in range(2000, 2012)], "YS"),
        ([f"2026-01-01T{hour:02d}:30:00" for hour in range(24)], "h"),
        ([f"2026-01-01T00:{minute:02d}:00" for minute in range(0, 60, 15)], "15min"),
    ],
)
def test_the_frequency_is_found_and_goes_on(times: list[str], name: str, tmp_path: Path) -> None:
    # A fifth may be missing, but for the first and last.
    kept = [time for place, time in enumerate(times) if place % 7 != 3 or place in (0, len(times) - 1)]
    path = write(tmp_path, csv([f"{time},{place}" for place, time in enumerate(kept)]))

    panel = read_panel(path)

    assert panel.frequency.name == name
    assert panel.lengths.tolist() == [len(times)]
    full = [time if "T" in time else f"{time}-01" if len(time) == 7 else time for time in times]
    assert [
        str(np.datetime64(int(at), "us"))[: len(time)] for at, time in zip(panel.times(0), full, strict=True)
    ] == full
    after = panel.frequency.time(panel.frequency.step(panel.times(0)[-1:]) + 1)
    assert after[0] > panel.times(0)[-1]


def test_columns_are_chosen_and_the_choice_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "shop,when,sales,temp\n" + "".join(
        f"{shop},{day},{number},9.5\n" for number, day in enumerate(daily(6)) for shop in ("b", "a")))  # fmt: skip

    panel = read_panel(path)

    assert panel.ids == ("a", "b")
    assert panel.notes[:3] == ("time is 'when': its type", "value is 'sales': its name",
                               "series are told apart by 'shop': the only text")  # fmt: skip
    assert panel.notes[3] == "frequency D: 10 of 10 neighbours are one step apart"


def test_years_as_numbers_and_other_delimiters_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "year;shop;sales\n" + "".join(f"{year};a;{year - 2000}\n" for year in range(2001, 2012)))

    panel = read_panel(path)

    assert (panel.frequency.name, panel.lengths.tolist()) == ("YS", [11])
    assert panel.notes[0] == "time is 'year': its numbers are years"
    assert forecast(panel, 1).table["ds"][0].as_py() == datetime(2012, 1, 1, tzinfo=UTC)


def test_days_of_a_time_zone_stay_days_over_summer_time_and_hours_stay_hours() -> None:
    zone = ZoneInfo("America/New_York")
    days = [datetime(2026, 2, 20, tzinfo=zone) + timedelta(days=number) for number in range(40)]
    hours = [datetime(2026, 3, 7, tzinfo=UTC) + timedelta(hours=number) for number in range(72)]
    kind = pa.timestamp("us", tz="America/New_York")

    daily = read_panel(pa.table({"ds": pa.array(days, kind), "y": [1.0] * 40}))
    hourly = read_panel(pa.table({"ds": pa.array(hours, kind), "y": [1.0] * 72}))

    assert (daily.frequency.name, daily.lengths.tolist()) == ("D", [40])
    assert "times are days of America/New_York, and are given as they stand there" in daily.notes
    assert forecast(daily, 1).table["ds"][0].as_py() == datetime(2026, 4, 1, tzinfo=UTC)
    assert (hourly.frequency.name, hourly.lengths.tolist()) == ("h", [72])


def test_rows_in_any_order_give_the_same_answer(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    days = pa.array(np.tile(np.datetime64("2026-01-01") + np.arange(50), 3))
    table = pa.table({"id": np.repeat(["x", "y", "z"], 50).tolist(), "ds": days, "y": rng.normal(9, 1, 150)})
    shuffled = table.take(pa.array(rng.permutation(150)))
    pq.write_table(shuffled, tmp_path / "data.parquet")

    one, other = forecast(read_panel(table), 5), forecast(read_panel(tmp_path / "data.parquet"), 5)

    assert one.table.equals(other.table)
    assert one.leaderboard == other.leaderboard


def test_each_series_is_forecast_from_its_own_end() -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [("long", first + timedelta(days=number), 5.0) for number in range(30)]
    rows += [("short", first + timedelta(days=number), 5.0) for number in range(12)]
    table = pa.table({"id": [row[0] for row in rows], "ds": [row[1] for row in rows], "y": [row[2] for row in rows]})

    panel = read_panel(table)
    made = forecast(panel, 2).table.to_pylist()

    assert "1 of 2 series end before the others and are forecast from there, as 'short'" in panel.notes
    assert [(row["id"], row["ds"].day, row["ds"].month) for row in made] == [
        ("long", 31, 1), ("long", 1, 2), ("short", 13, 1), ("short", 14, 1)
    ]  # fmt: skip


def test_where_nothing_happened_a_series_goes_on_to_the_end_of_the_panel() -> None:
    days = [date(2026, 1, day) for day in (*range(1, 11), 3, 5)]
    table = pa.table({"id": ["a"] * 10 + ["b"] * 2, "ds": days, "y": [1.0] * 12})

    panel = read_panel(table, gaps="zero")

    assert panel.series(1).tolist() == [1, 0, 1, 0, 0, 0, 0, 0]
    assert panel.notes[-1] == "6 missing steps in 1 of 2 series were filled by zero"
    assert [row["ds"].day for row in forecast(panel, 1).table.to_pylist()] == [11, 11]


def test_gaps_are_filled_as_told(tmp_path: Path) -> None:
    path = write(tmp_path, csv([row for row in DAYS if not row.startswith("2026-01-05")]))

    assert read_panel(path).series(0).tolist() == [*range(10)]
    assert read_panel(path, gaps="zero").series(0).tolist() == [0, 1, 2, 3, 0, 5, 6, 7, 8, 9]
    assert "1 missing steps in 1 of 1 series were filled by interpolation" in read_panel(path).notes
    empty = write(tmp_path, csv([row if not row.startswith("2026-01-05") else "2026-01-05," for row in DAYS]))
    assert read_panel(empty).series(0).tolist() == [*range(10)]


def test_copies_are_joined_as_told(tmp_path: Path) -> None:
    path = write(tmp_path, csv([*DAYS, "2026-01-03,40"]))

    assert read_panel(path, duplicates="sum").series(0)[2] == 42
    assert read_panel(path, duplicates="mean").series(0)[2] == 21
    assert read_panel(path, duplicates="last").series(0)[2] == 40


MISTAKES: list[tuple[str, dict[str, Any], type[MercuryError], str]] = [
    ("ds,y\n", {}, DataError, "the file has no rows"),
    (
        csv([*DAYS, "2026-01-03,40"]),
        {},
        DataError,
        r"1 rows repeat a time of their series: 'value' has two for 2026-01-03.*row 3 and 11\)\. Remove them, name",
    ),
    (
        csv([*DAYS, "2026-02-10,1"]),
        {},
        DataError,
        r"73% of the steps of 'value' are missing, the first at 2026-01-11.*after .*row 10\)\. Say what a missing row",
    ),
    (csv([row for row in DAYS if "05" not in row]), {"gaps": "refuse"}, DataError, "10% of the steps of 'value' are"),
    (
        csv([*DAYS, "2026-01-11T06:00:00,1"]),
        {},
        DataError,
        r"1 rows lie between the steps of D, one at 2026-01-11T06.*row 11",
    ),
    (
        csv(["2026-01-01,1", "2026-01-02,2", "2026-01-03,inf", "2026-01-04,4"]),
        {},
        DataError,
        "1 values are infinite.*row 3",
    ),
    (csv(["2026-01-01,1", "2026-01-02,-1e300"]), {}, DataError, r"infinite, or larger than 1e\+100.*row 2"),
    (csv(["2026-01-01,1", "2026-01-02,many"]), {"value": "y"}, DataError, r"'many' is no number.*row 2, column 'y'"),
    (csv(["2026-01-01,1", "2026-01-02,many"]), {}, DataError, r"'many' is no number.*row 2, column 'y'"),
    (csv(["2026-01-01,1", "soon,2"]), {"time": "ds"}, DataError, r"'soon' is no time.*row 2, column 'ds'"),
    (csv(["2026-01-01,1", "soon,2"]), {}, DataError, r"'soon' is no time.*row 2, column 'ds'"),
    (csv([*DAYS, "2026-01-11,1,2"]), {}, MercuryError, r"the file cannot be read: .*Expected 2 columns, got 3"),
    ("year,y\n2012,1\n13,2\n", {}, DataError, r"13 is no year.*row 2, column 'year'"),
    ("", {}, MercuryError, "the file cannot be read: Empty CSV"),
    (csv(["2026-01-01,1", ",2"]), {}, DataError, r"1 rows have no time.*row 2"),
    ("a,y\nx,1\n", {}, DataError, "no column holds times.*Name it with --time"),
    ("ds,a,b\n2026-01-01,1,2\n", {}, DataError, "2 columns hold numbers.*Say which one to forecast with --value"),
    ("ds,a,b,y\n2026-01-01,p,q,2\n", {}, DataError, "2 columns hold text.*Say which one names the series with --id"),
    ("ds,y\n2026-01-01,\n", {"value": "y"}, DataError, "no series has a value"),
    (csv(DAYS), {"value": "yy"}, SchemaError, "there is no column 'yy'.*--value.*Did you mean 'y'"),
    (csv(DAYS), {"freq": "fortnight"}, UsageError, "'fortnight' is no frequency"),
    (csv(DAYS), {"freq": "MS"}, DataError, "9 rows lie between the steps of MS"),
    (csv([f"2026-01-01T00:00:{second:02d},1" for second in (0, 1, 3, 8, 20, 21, 43)]), {}, DataError, "of the steps"),
    (
        csv([f"2026-01-{day:02d}T{day * day % 23:02d}:{3 * day:02d}:00,1" for day in range(1, 19)]),
        {},
        DataError,
        "the times have no frequency",
    ),
]


@pytest.mark.parametrize(("text", "options", "kind", "message"), MISTAKES)
def test_a_bad_file_is_one_clear_error(
    text: str, options: dict[str, Any], kind: type[MercuryError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        read_panel(write(tmp_path, text), **options)


def test_a_series_of_nothing_is_left_out_with_a_note() -> None:
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    table = pa.table({"id": ["a"] * 3 + ["b"] * 3, "ds": days * 2, "y": [1.0, 2.0, 3.0, None, None, None]})

    panel = read_panel(table)

    assert panel.ids == ("a",)
    assert "'b' has no value at all and is left out" in panel.notes
