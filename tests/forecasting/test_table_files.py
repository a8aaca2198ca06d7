"""CSV as people export it: dialects are read, and what cannot be is one error with the row."""

from __future__ import annotations

import gzip
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.errors import CorruptDataError, DataError, MercuryError, NotFoundError, SchemaError
from mercury.forecasting import read_panel

DAYS = [str(date(2026, 1, 1) + timedelta(days=place)) for place in range(10)]
PLAIN = "ds,y\n" + "\n".join(f"{day},{place}.5" for place, day in enumerate(DAYS)) + "\n"


def read(folder: Path, content: str | bytes, name: str = "data.csv", **options: Any) -> Any:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_panel(path, **options)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("byte_order_mark.csv", "\ufeff" + PLAIN),
        ("windows.csv", PLAIN.replace("\n", "\r\n")),
        ("no_last_newline.csv", PLAIN.rstrip("\n")),
        ("empty_lines.csv", PLAIN.replace("\n2026-01-05", "\n\n2026-01-05") + "\n\n"),
        ("semicolons.csv", PLAIN.replace(",", ";")),
        ("decimal_commas.csv", PLAIN.replace(",", ";").replace(".", ",")),
        ("quoted_decimal_commas.csv", re.sub(r"(\d+)\.5", r'"\1,5"', PLAIN)),
        ("tabs.tsv", PLAIN.replace(",", "\t")),
        ("bars.txt", PLAIN.replace(",", "|")),
        ("blanks.csv", PLAIN.replace(",", " , ")),
        ("packed.csv.gz", gzip.compress(PLAIN.encode(), mtime=0)),
        ("row_numbers.csv", "".join(f"{place or ''},{line}\n" for place, line in enumerate(PLAIN.split()))),
    ],
)
def test_a_dialect_is_read(name: str, content: str | bytes, tmp_path: Path) -> None:
    panel = read(tmp_path, content, name)

    assert panel.series(0).tolist() == [place + 0.5 for place in range(10)]
    assert panel.frequency.name == "D"
    assert ("the commas of 'y' are decimal commas" in panel.notes) == ("commas" in name)


def test_parquet_is_known_by_its_bytes_and_folders_add_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "shop=north"
    folder.mkdir()
    pq.write_table(pa.table({"ds": pa.array(np.array(DAYS, "datetime64[D]")), "y": np.arange(10.0)}), folder / "data")

    assert read_panel(folder / "data").notes[:2] == ("time is 'ds': its type", "value is 'y': the only numbers")


def test_ids_stay_what_they_are_written_as(tmp_path: Path) -> None:
    text = "ds,store,y\n" + "".join(f"{day},{store},1\n" for day in DAYS for store in ("NA", "null", "7", "007"))

    assert read(tmp_path, text).ids == ("007", "7", "NA", "null")


def test_a_column_is_what_all_of_it_is_and_not_what_its_first_megabyte_is(tmp_path: Path) -> None:
    hours = np.datetime_as_string(np.datetime64("1990-01-01T00") + np.arange(70_000), unit="m")
    values = ["1"] * 60_000 + ["1.5"] * 10_000

    panel = read(tmp_path, "ds,y\n" + "\n".join(map(",".join, zip(hours, values, strict=True))))

    assert panel.series(0)[-1] == 1.5
    with pytest.raises(DataError, match=r"'n\.a\.' is no number .*row 70,000, column 'y'"):
        read(tmp_path, "ds,y\n" + "\n".join(map(",".join, zip(hours, [*values[:-1], "n.a."], strict=True))))


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("", CorruptDataError, "the file is empty"),
        ("ds,y", MercuryError, "Empty CSV file"),
        ("ds,y\n", DataError, "the file has no rows"),
        (PLAIN + "2026-01-11,1,2\n", CorruptDataError, r"3 cells stand below 2 names \(.*row 11\)\. Mend the row"),
        (PLAIN + "2026-01-11\n", CorruptDataError, r"1 cells stand below 2 names \(.*row 11\)"),
        (PLAIN.partition("\n")[2], DataError, "the first line has '2026-01-01' where the name of a column belongs"),
        ("shop,2026-01,2026-02\na,1,2\n", DataError, "the first line has '2026-01' where the name of a column belongs"),
        ("ds,y,y\n2026-01-01,1,2\n", SchemaError, "two columns are named 'y'"),
        (
            PLAIN.encode("utf-16"),
            CorruptDataError,
            "no text, or text in UTF-16 .*Write it as CSV in UTF-8",
        ),
        ("ds,y\nh\u00fcbsch,1\n".encode("latin-1"), CorruptDataError, "invalid UTF8 data"),
        (b"PAR1" + PLAIN.encode(), CorruptDataError, "Parquet magic bytes not found in footer"),
        ("ds;y\n2026-01-01;1,500\n2026-01-02;2,250\n", DataError, r"'1,500' may be 1500 or 1\.500 .*row 1, column 'y'"),
        ("ds;y\n2026-01-01;0,5\n2026-01-02;1.5\n", DataError, r"'0,5' is no number .*row 1.*with a decimal point"),
        ("ds;y\n2026-01-01;5\n2026-01-02;1,500.5\n", DataError, r"'1,500\.5' is no number .*row 2.*between thousands"),
        ("ds;y\n2026-01-01;1,5\n2026-01-02;many\n", DataError, r"'many' is no number .*row 2.*Mend or remove it"),
    ],
)
def test_what_cannot_be_read_is_one_error_with_the_place(
    content: str | bytes, kind: type[MercuryError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        read(tmp_path, content)


def test_a_folder_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is a folder"):
        read_panel(tmp_path)
    with pytest.raises(NotFoundError, match=r"gone\.csv' does not exist"):
        read_panel(tmp_path / "gone.csv")
