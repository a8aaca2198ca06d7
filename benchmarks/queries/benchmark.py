"""Eight questions of a dashboard: Mercury from its rollups, and DuckDB on the base table.

The base table is asked twice: as DuckDB's own file, which is the fastest there is, and as the Parquet files of the
Delta table, which is what a lake has. All by one thread. Answers must be equal (floats to 1e-9), but for the
percentile, which DuckDB sorts for and Mercury keeps within 1 %.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import harness, peers
from benchmarks.harness import Contender, Task, answer_path
from benchmarks.queries import data
from benchmarks.queries.questions import QUESTIONS, ROUNDS

HERE = Path(__file__).parent
ABOUT = "business questions from rollups against DuckDB on the base table"
DEFAULT_ROWS = 10_000_000
FAST_ROWS = 200_000
CONTENDERS = ("duckdb-native", "duckdb-parquet", "mercury")

ACCURACY = {"p90": 0.02}
"""One hundredth is the sketch's; the ranks that both answer may be one apart."""


def run(
    folder: Path, *, rows: int, repeat: int, only: Collection[str] = (), say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Figures of each question, the routes that were taken, and what the rollups cost."""
    home = folder / str(rows)
    home.mkdir(parents=True, exist_ok=True)
    say(f"table and rollups of {rows:,} rows")
    built = data.write(home, rows)
    python = peers.python_of("duckdb", HERE / "requirements-duckdb.txt", say)
    chosen = [name for name in CONTENDERS if not only or name in only]
    figures, routes = [], []
    for question in QUESTIONS:
        task = Task(question, rows * ROUNDS, [_contender(name, question, home, python) for name in chosen], compare)
        figures += harness.run(task, home / "answers", repeat=repeat, say=say)
        if "mercury" in chosen:
            answer = answer_path(home / "answers", task, "mercury")
            route = (pq.read_schema(answer).metadata or {}).get(b"route", b"").decode()
            routes.append([question, f"`{QUESTIONS[question][0]}`", route])
    cells = ", ".join(f"{name} {count:,}" for name, count in built["cells"].items())
    cost = [
        ["CPU seconds to build", f"{built['cpu_seconds']:.1f}"],
        ["cells", cells],
        ["MB of Parquet, base", f"{built['base_bytes'] / 1e6:,.0f}"],
        ["MB of Parquet, rollups", f"{built['rollup_bytes'] / 1e6:,.0f}"],
    ]
    ours = ["mercury-platform", "duckdb", "pyarrow", "numba", "deltalake"]
    return {
        "rows": rows,
        "rounds": ROUNDS,
        "figures": figures,
        "tables": [
            {"title": "Questions and how Mercury answered", "columns": ["", "query", "route"], "rows": routes},
            {"title": "The four rollups", "columns": ["", ""], "rows": cost},
        ],
        "versions": peers.versions(sys.executable, ours)
        | {"peer duckdb": peers.versions(python, ["duckdb"])["duckdb"]},
    }


def compare(one: Path, other: Path) -> str | None:
    """How two answers differ; None when they agree."""
    first, second = (pq.read_table(path) for path in (one, other))
    if first.num_rows != second.num_rows or set(first.column_names) != set(second.column_names):
        return f"{first.shape} and {second.shape}"
    keys = [name for name in first.column_names if name in ("day", "month", "hour", "carrier", "origin")]
    if keys:
        first, second = (table.sort_by([(name, "ascending") for name in keys]) for table in (first, second))
    for name in first.column_names:
        within = ACCURACY.get(name, 1e-9)
        for row, (a, b) in enumerate(zip(first[name].to_pylist(), second[name].to_pylist(), strict=True)):
            same = abs(a - b) <= within * max(abs(a), abs(b)) if isinstance(a, float) else a == b
            if not same:
                return f"row {row}, {name}: {a!r} and {b!r}"
    return None


def _contender(name: str, question: str, home: Path, python: str) -> Contender:
    if name == "mercury":
        return Contender(name, [sys.executable, "-m", "benchmarks.queries.mercury_run", question, str(home)])
    form = name.removeprefix("duckdb-")
    return Contender(name, [python, "-m", "benchmarks.queries.duckdb_run", form, question, str(home)])
