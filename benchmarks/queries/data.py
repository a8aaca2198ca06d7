"""The base table: the rows of the summaries benchmark, in order of time, as a Delta table, and as a DuckDB file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.summaries import data

FILES = 12
"""Data files of the Delta table, each a stretch of time."""


def write(folder: Path, rows: int) -> dict[str, Any]:
    """Make table, rollups and DuckDB file unless they are there; what the rollups cost and hold."""
    import json

    told = folder / "built.json"
    if not told.exists():
        built = _make(folder, rows)
        told.write_text(json.dumps(built))
    found: dict[str, Any] = json.loads(told.read_text())
    return found


def _make(folder: Path, rows: int) -> dict[str, Any]:
    import duckdb

    from benchmarks.queries.project import project
    from mercury.analytics import build_rollups
    from mercury.config import load_settings
    from mercury.lake import Lake
    from mercury.tables import Table

    source = data.write(folder / f"rows-{rows}.parquet", rows)
    settings = load_settings(folder / "mercury_project.py", {})
    with duckdb.connect(str(folder / "base.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE OR REPLACE TABLE base AS SELECT * FROM read_parquet('{source}') ORDER BY ts")
        table = Table.create(Lake(settings.lake).table("base"), data.SCHEMA, exist_ok=True)
        for number in range(FILES):
            part = connection.sql(f"SELECT * FROM base OFFSET {rows * number // FILES} "
                                  f"LIMIT {rows * (number + 1) // FILES - rows * number // FILES}")  # fmt: skip
            table.append(part.to_arrow_table().cast(data.SCHEMA))
    began, cpu = time.perf_counter(), time.process_time()
    builds = build_rollups(project, settings, "flights")
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "cells": {build.rollup: build.cells for build in builds},
        "base_bytes": _size(Path(settings.lake) / "tables"),
        "rollup_bytes": _size(Path(settings.lake) / "rollups"),
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))
