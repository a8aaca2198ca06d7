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
        ([f"{year}-{day}" for year in range(2000, 2006) for day in ("06-30", "12-31")], "2QE"),
        ([f"{2000 + month // 12}-{month % 12 + 1:02d}" for month in range(0, 40, 2)], "2MS"),
        ([str(date(1969, 12, 1) + timedelta(days=day)) for day in range(60) if (day + 1) % 7 not in (0, 6)], "B"),
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
    assert panel.notes == (
        "time is 'when': its text can be read as times",
        "value is 'sales': its name",
        "series are told apart by 'shop': the only text that repeats",
        "not used: 'temp'",
        "frequency D: 10 of 10 neighbours are one step apart",
    )


def test_years_as_numbers_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "year,shop,sales\n" + "".join(f"{year},a,{year - 2000}\n" for year in range(2001, 2012)))

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
    (csv([*DAYS, "2026-01-03,"]), {}, DataError, "1 rows repeat a time of their series"),
    (
        csv([f"{time},1" for time in ("2026-01-05", "2026-01-12", "2026-01-20", "2026-01-27", "2026-02-04")]),
        {},
        DataError,
        r"the times have no frequency: only 40% lie on a grid of W, not 2026-01-20T00:00:00Z .*row 3\)",
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
    (csv(["01/31/2026,1"]), {}, DataError, r"'01/31/2026' is no time .*row 1, column 'ds'\)\. Write times as 2013-01"),
    (csv(["2026-01-01T00:00:00Z,1", "2026-01-02,2"]), {}, DataError, "'2026-01-02' has no zone, other than .*row 2"),
    (csv(["2026-01,1", "2026-02-01,2"]), {}, DataError, "'2026-02-01' stands with '2026-01' .*row 2"),
    ("year,y\n2012,1\n13,2\n", {}, DataError, r"13 is no year.*row 2, column 'year'"),
    ("sent,due,y\n2026-01-01,2026-01-01,1\n", {}, DataError, "2 columns hold times.*sent, due.*which one with --time"),
    (
        "ds,y\n1970-01-01T00:00:00,1\n2026-01-01T00:00:00,2\n2026-01-01T00:00:01,2\n2026-01-01T00:00:02,2\n",
        {"gaps": "zero"},
        DataError,
        "1,767,225,603 steps of s are too many, 'value' alone goes from 1970-01-01T00:00:00Z to 2026-01-01T00:00:02Z",
    ),
    (csv(["2026-01-01,1", ",2"]), {}, DataError, r"1 rows have no time.*row 2"),
    ("a,y\nx,1\n", {}, DataError, "no column holds times.*Name it with --time"),
    ("ds,a,b\n2026-01-01,1,2\n", {}, DataError, "2 columns hold numbers.*Say which one to forecast with --value"),
    (
        "ds,a,b,y\n" + "".join(f"{day},{a},{b},1\n" for day in daily(2) for a in "pq" for b in "rs"),
        {},
        DataError,
        "2 columns may name the series .*columns a, b.*Say which one does with --id, or all that do together, as --id",
    ),
    ("ds,y\n2026-01-01,\n", {"value": "y"}, DataError, "no series has a value"),
    (csv(DAYS), {"value": "yy"}, SchemaError, "there is no column 'yy'.*--value.*Did you mean 'y'"),
    (csv(DAYS), {"freq": "fortnight"}, UsageError, "'fortnight' is no frequency"),
    (csv(DAYS), {"freq": "99999999999999999999D"}, UsageError, "is no frequency"),
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
    assert "1 series has no value at all and is left out, as 'b'" in panel.notes


def test_an_empty_value_beside_a_known_one_is_no_part_of_their_sum(tmp_path: Path) -> None:
    path = write(tmp_path, csv([*DAYS, "2026-01-03,", "2026-01-03,40"]))

    assert read_panel(path, duplicates="sum").series(0)[2] == 42
    assert read_panel(path, duplicates="mean").series(0)[2] == 21
    assert read_panel(path, duplicates="last").series(0)[2] == 40
    assert "2 repeated times were joined by their mean" in read_panel(path, duplicates="mean").notes


def test_series_of_different_frequencies_are_refused_by_group(tmp_path: Path) -> None:
    rows = [f"a,{day},1" for day in daily(60)] + [f"b,2026-0{month}-01,1" for month in range(1, 5)]
    path = write(tmp_path, "id,ds,y\n" + "\n".join(rows))

    with pytest.raises(DataError, match=r"the series are of 2 frequencies \(D: 1, as 'a'; MS: 1, as 'b'\) .*row 61"):
        read_panel(path)
    monthly = [f"{name},2026-{month:02d}-01,1" for month in range(1, 13) for name in "abcdefghijklmnopqrstuvwxyz"]
    path = write(tmp_path, "id,ds,y\n" + "\n".join([*monthly, *(f"zz,{day},1" for day in daily(20))]))
    with pytest.raises(DataError, match=r"MS: 26, as 'a'; D: 1, as 'zz'"):
        read_panel(path)


def test_days_of_sales_that_are_rarely_next_to_each_other_are_still_days(tmp_path: Path) -> None:
    days = [day for place, day in enumerate(daily(90)) if place % 2 == 0 or place % 7 == 3]
    months = [f"{2000 + month // 12}-{month % 12 + 1:02d}" for month in range(90) if month % 5 in (0, 2)]

    sold = read_panel(write(tmp_path, csv([f"{day},1" for day in days])), gaps="zero")
    counted = read_panel(write(tmp_path, csv([f"{month},1" for month in months])), gaps="zero")

    assert (sold.frequency.name, sold.series(0).sum(), len(sold.values)) == ("D", len(days), 89)
    assert (counted.frequency.name, counted.series(0).sum(), len(counted.values)) == ("MS", len(months), 88)


def test_remarks_do_not_name_series_and_a_name_in_two_columns_does(tmp_path: Path) -> None:
    noted = write(tmp_path, "ds,y,remark\n" + "".join(f"{day},1,bought by {day}\n" for day in daily(9)))
    assert (len(read_panel(noted)), "not used: 'remark'" in read_panel(noted).notes) == (1, True)

    rows = [f"{day},{shop},{item},1" for day in daily(9) for shop in ("x", "y") for item in ("7", "007")]
    both = write(tmp_path, "ds,shop,item,y\n" + "\n".join(rows))
    assert read_panel(both, id=["shop", "item"]).ids == ("x/007", "x/7", "y/007", "y/7")
    with pytest.raises(DataError, match=r"repeat a time of their series: '007' has two.*name what tells series apart"):
        read_panel(both, id="item")


def test_midnights_with_offsets_stay_days_over_summer_time(tmp_path: Path) -> None:
    days = daily(10, date(2026, 3, 4))
    path = write(tmp_path, csv([f"{day}T00:00:00{'-05:00' if day < '2026-03-09' else '-04:00'},1" for day in days]))

    panel = read_panel(path)

    assert (panel.frequency.name, panel.lengths.tolist()) == ("D", [10])
    assert "times are days of their offsets, and are given as they stand there" in panel.notes
    assert forecast(panel, 1).rows()[0]["ds"] == "2026-03-14T00:00:00Z"


def test_hours_by_the_wall_clock_are_refused_when_one_comes_twice_and_joined_as_told(tmp_path: Path) -> None:
    path = write(tmp_path, csv([f"2026-11-01T{hour:02d}:00:00,{hour}" for hour in (0, 1, 1, *range(2, 12))]))

    with pytest.raises(DataError, match=r"two for 2026-11-01T01:00:00Z .*row 2 and 3\).*--duplicates sum, mean"):
        read_panel(path)
    assert read_panel(path, duplicates="mean").series(0).tolist() == [*range(12)]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_texts_of_any_type_of_arrow_are_read(kind: pa.DataType) -> None:
    days = [date(2026, 1, 1) + timedelta(days=place // 2) for place in range(20)]
    columns = {"shop": pa.array(["a", "b"] * 10).cast(kind), "ds": pa.array(map(str, days), pa.large_string())}

    panel = read_panel(pa.table({**columns, "y": pa.array([10**17 + 1] * 20)}))

    assert (panel.ids, panel.lengths.tolist(), panel.values[0]) == (("a", "b"), [10, 10], 1e17)
    exact = pa.table({"ds": pa.array(days[::2]), "y": pa.array([1.25] * 10).cast(pa.decimal128(5, 2))})
    assert read_panel(exact).series(0).tolist() == [1.25] * 10
