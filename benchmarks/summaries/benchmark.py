"""Summaries: our engines, and raw DuckDB and polars, over one Parquet file.

``exact``: count, sum, mean, variance, least and greatest by carrier, origin and hour (1,152 groups). ``sketches``: an
approximate distinct count and two quantiles by carrier. Reading the file is part of the work. Both run with one thread,
for speed per core, and with two; Spark, whose figures per core are the same, only with two. Exact answers must be equal
(floats to 1e-9), and so must the sketches of our engines among themselves. Every sketch is held against the truth: one
of ours beyond its stated bound fails the run; peers state none, and fail it where they would be other work.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import harness, peers
from benchmarks.harness import BenchmarkError, Contender, Task
from benchmarks.summaries import data

HERE = Path(__file__).parent
ABOUT = "Mercury's engines against raw DuckDB and polars: exact aggregates and sketches, by one thread and by two"
DEFAULT_ROWS = 10_000_000
FAST_ROWS = 200_000

TASKS = ("exact", "sketches")
THREADS = (1, 2)
CONTENDERS = ("duckdb", "polars", "mercury-arrow", "mercury-duckdb", "mercury-spark")
"""The baseline comes first."""

QUANTILE_ACCURACY = 0.01
DISTINCT_ERROR = 4 * 1.04 / math.sqrt(1 << 12)
"""Four standard errors of HyperLogLog with 4,096 registers: one group in 16,000 is beyond them by chance."""

PEER_DISTINCT_ERROR = 0.1
"""Relative; a peer that is farther from the truth does not do the same work, nor does one whose quantile is more than
two hundredths of the ranks away."""


def run(
    folder: Path, *, rows: int, repeat: int, only: Collection[str] = (), say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Figures of all tasks, the errors of the sketches, and versions of what ran; `only` names contenders."""
    file = data.write(folder / f"flights-{rows}.parquet", rows)
    pythons = {name: peers.python_of(name, HERE / f"requirements-{name}.txt", say) for name in ("duckdb", "polars")}
    chosen = [name for name in CONTENDERS if not only or name in only]
    truth = exact_answer(pythons["duckdb"], file, folder)
    errors: dict[str, dict[str, float]] = {}

    def within_bounds(name: str, answer: Path) -> str | None:
        errors[name] = sketch_errors(truth, pq.read_table(answer))
        return beyond_bounds(name, truth, pq.read_table(answer))

    figures = []
    for threads in THREADS:
        for name in TASKS:
            contenders = [
                _contender(contender, name, file, threads, pythons)
                for contender in chosen
                if threads > 1 or contender != "mercury-spark"
            ]
            if "mercury-arrow" in chosen and threads == 1:
                _compile(_contender("mercury-arrow", name, file, 1, pythons), folder)
            if contenders:
                check = within_bounds if name == "sketches" else lambda *_: None
                task = Task(name, rows, contenders, compare, check, threads)
                figures += harness.run(task, folder, repeat=repeat, say=say)
    ours = ["mercury-platform", "pyarrow", "numpy", "numba", "duckdb", "pyspark"]
    theirs = {f"peer {name}": peers.versions(python, [name])[name] for name, python in pythons.items()}
    return {
        "rows": rows,
        "bytes": file.stat().st_size,
        "figures": figures,
        "sketch_errors": errors,
        "versions": peers.versions(sys.executable, ours) | theirs,
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


def exact_answer(python: str, file: Path, folder: Path) -> pa.Table:
    """Exact distinct counts and quantiles by carrier, computed by the peer DuckDB outside of all measurements."""
    answer = folder / "truth.parquet"
    command = [python, "-m", "benchmarks.summaries.duckdb_run", "truth", str(file), "1", str(answer), f"{answer}.json"]
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, cwd=harness.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"the exact answer failed\n{done.stderr[-2000:]}")
    return pq.read_table(answer)


def sketch_errors(truth: pa.Table, found: pa.Table) -> dict[str, float]:
    """The greatest relative error over the groups, by column; infinite when the groups are others."""
    truth, found = _ordered(truth), _ordered(found)
    if truth["carrier"].to_pylist() != found["carrier"].to_pylist():
        return dict.fromkeys(("tails", "p50", "p99"), math.inf)
    worst = {}
    for name in ("tails", "p50", "p99"):
        right = truth[name].cast(pa.float64())
        apart = pc.abs(pc.divide(pc.subtract(found[name].cast(pa.float64()), right), right))
        worst[name] = round(pc.max(apart).as_py(), 6)
    return worst


def beyond_bounds(name: str, truth: pa.Table, found: pa.Table) -> str | None:
    """What of a contender's sketches is beyond its bound; None when all are within."""
    errors, mercury = sketch_errors(truth, found), name.startswith("mercury")
    bounds = {"tails": DISTINCT_ERROR if mercury else PEER_DISTINCT_ERROR}
    if mercury:
        bounds |= dict.fromkeys(("p50", "p99"), QUANTILE_ACCURACY)
    for column, bound in bounds.items():
        if errors[column] > bound * (1 + 1e-9):
            return f"{column} is off by {errors[column]:.4f}, beyond {bound:.4f}"
    for column in ("p50", "p99"):
        values, low, high = (
            _ordered(table)[end]
            for table, end in ((found, column), (truth, f"{column}_low"), (truth, f"{column}_high"))
        )
        inside = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
        if not mercury and not pc.all(inside, skip_nulls=False).as_py():
            return f"{column} is more than two hundredths of the ranks away"
    return None


def _contender(name: str, task: str, file: Path, threads: int, pythons: dict[str, str]) -> Contender:
    environment = {"POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    work = [task, str(file), str(threads)]
    if name in pythons:
        command = [pythons[name], "-m", f"benchmarks.summaries.{name}_run", *work]
        return Contender(name, command, environment, kind="exact" if task == "exact" else None)
    engine = name.removeprefix("mercury-")
    command = [sys.executable, "-m", "benchmarks.summaries.mercury_run", engine, *work]
    return Contender(name, command, environment, kind="exact" if task == "exact" else "mercury")


def _compile(arrow: Contender, folder: Path) -> None:
    """Let numba compile and keep its kernels, which it does once for an installation and not once for a run."""
    answer = str(folder / "compiled")
    done = harness.measure([*arrow.command, answer, f"{answer}.json"], arrow.environment)
    if done.returncode:
        raise BenchmarkError(f"{arrow.name} failed\n{done.output[-3000:]}")


def _ordered(table: pa.Table) -> pa.Table:
    keys = [name for name in ("carrier", "origin", "hour") if name in table.column_names]
    return table.sort_by([(name, "ascending") for name in keys])
