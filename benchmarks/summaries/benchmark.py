"""Summaries on one core: our engines, and raw DuckDB and polars, over one Parquet file.

``exact``: count, sum, mean, variance, least and greatest by carrier, origin and hour (1,152 groups). ``sketches``: an
approximate distinct count and two quantiles by carrier. Every contender has one thread; reading the file is part of the
work. Exact answers must be equal (floats to 1e-9). Sketches are held against the truth: one of ours beyond its stated
bound fails the run; peers state none, and their errors are written down.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import harness, peers
from benchmarks.harness import BenchmarkError, Contender, Task
from benchmarks.summaries import data

HERE = Path(__file__).parent
NAME = "summaries"
DEFAULT_ROWS = 10_000_000
FAST_ROWS = 200_000

QUANTILE_ACCURACY = 0.01
DISTINCT_ERRORS = 4 * 1.04 / math.sqrt(1 << 12)
"""Four standard errors of HyperLogLog with 4,096 registers: one group in 16,000 is beyond them by chance."""

ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(harness.ROOT)}


def run(folder: Path, *, rows: int, repeat: int, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Figures of both tasks, the errors of the sketches, and versions of what ran."""
    file = data.write(folder / f"flights-{rows}.parquet", rows)
    duckdb = peers.python_of("duckdb", HERE / "requirements-duckdb.txt", say)
    polars = peers.python_of("polars", HERE / "requirements-polars.txt", say)

    def contenders(task: str) -> list[Contender]:
        # The baseline comes first; sketches of peers are of another kind, so only ours must agree.
        def ours(engine: str) -> Contender:
            command = [sys.executable, str(HERE / "mercury_run.py"), engine, task, str(file)]
            return Contender(f"mercury-{engine}", command, ONE_THREAD)

        def peer(name: str, python: str) -> Contender:
            command = [python, str(HERE / f"{name}_run.py"), task, str(file)]
            return Contender(name, command, ONE_THREAD, compared=task == "exact")

        mine = [ours("arrow"), ours("duckdb"), ours("spark")]
        theirs = [peer("duckdb", duckdb), peer("polars", polars)]
        return [theirs[0], *mine, theirs[1]] if task == "exact" else [*mine, *theirs]

    figures = []
    for task in ("exact", "sketches"):
        figures += harness.run(Task(task, rows, contenders(task), compare), folder, repeat=repeat, say=say)
    truth = _truth(duckdb, file, folder)
    errors = {
        name: _errors(truth, pq.read_table(folder / f"sketches-{name}.parquet"))
        for name in (contender.name for contender in contenders("sketches"))
    }
    for name, found in errors.items():
        if name.startswith("mercury"):
            _check_bounds(name, found)
    return {
        "rows": rows,
        "bytes": file.stat().st_size,
        "threads": 1,
        "figures": figures,
        "sketch_errors": errors,
        "versions": {
            **peers.versions(sys.executable, ["pyarrow", "numpy", "numba", "duckdb", "pyspark"]),
            "peer duckdb": peers.versions(duckdb, ["duckdb"])["duckdb"],
            "peer polars": peers.versions(polars, ["polars"])["polars"],
        },
    }


def compare(one: Path, other: Path) -> str | None:
    """How two answers differ: other rows, other integers or texts, or floats apart by more than 1e-9."""
    first, second = (_ordered(pq.read_table(path)) for path in (one, other))
    if first.num_rows != second.num_rows or set(first.column_names) != set(second.column_names):
        return f"{first.shape} and {second.shape}, {first.column_names} and {second.column_names}"
    for name in first.column_names:
        mine, theirs = first[name].to_pylist(), second[name].to_pylist()
        for row, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            same = math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) and isinstance(b, float) else a == b
            if not same:
                return f"row {row}, {name}: {a!r} and {b!r}"
    return None


def _ordered(table: pa.Table) -> pa.Table:
    keys = [name for name in ("carrier", "origin", "hour") if name in table.column_names]
    return table.sort_by([(name, "ascending") for name in keys])


def _truth(python: str, file: Path, folder: Path) -> pa.Table:
    answer = folder / "truth.parquet"
    command = [python, str(HERE / "duckdb_run.py"), "truth", str(file), str(answer), str(folder / "truth.json")]
    answer.unlink(missing_ok=True)
    subprocess.run(command, check=True, cwd=harness.ROOT, env=ONE_THREAD)
    return pq.read_table(answer)


def _errors(truth: pa.Table, found: pa.Table) -> dict[str, float]:
    """The greatest relative error over the groups, by column."""
    truth, found = _ordered(truth), _ordered(found)
    worst = {}
    for name in ("tails", "p50", "p99"):
        right = truth[name].cast(pa.float64())
        apart = pc.abs(pc.divide(pc.subtract(found[name].cast(pa.float64()), right), right))
        worst[name] = round(pc.max(apart).as_py(), 6)
    return worst


def _check_bounds(name: str, errors: dict[str, float]) -> None:
    for column, error in errors.items():
        bound = DISTINCT_ERRORS if column == "tails" else QUANTILE_ACCURACY
        if error > bound * (1 + 1e-9):
            raise BenchmarkError(f"{name}: {column} is off by {error:.4f}, beyond the stated {bound:.4f}")
