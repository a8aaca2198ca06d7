"""Counts and sums of a thousand shops, in which no user can be made out: Mercury, OpenDP, and exact DuckDB.

The same bounds and budget for both: 4 shops a user and 5 rows each, epsilon 1, delta 1e-8, shops found by how many
users they have. How many shops were named, and how far their counts are from the exact ones, stands beside the speed:
bounding takes what a user has beyond the bounds, and noise comes on top.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import harness, peers
from benchmarks.harness import Contender, Task
from benchmarks.private_groupby import data

HERE = Path(__file__).parent
ABOUT = "user-bounded private counts and sums: Mercury against OpenDP and exact DuckDB"
DEFAULT_ROWS = 10_000_000
FAST_ROWS = 200_000
CONTENDERS = ("duckdb-exact", "mercury", "opendp")


def run(
    folder: Path, *, rows: int, repeat: int, only: Collection[str] = (), say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Figures, and how many shops each named with what error."""
    file = data.write(folder / f"payments-{rows}.parquet", rows)
    python = peers.python_of("opendp", HERE / "requirements-opendp.txt", say)
    found: dict[str, Path] = {}

    def kept(name: str, answer: Path) -> str | None:
        found[name] = answer
        return None if pq.read_table(answer).num_rows else "no shop was named"

    chosen = [name for name in CONTENDERS if not only or name in only]
    task = Task("count and sum", rows, [_contender(name, file, python) for name in chosen], lambda *_: None, kept)
    figures = harness.run(task, folder, repeat=repeat, say=say)
    utility = [
        [name, *_utility(found["duckdb-exact"], answer)] for name, answer in found.items() if "duckdb-exact" in found
    ]
    theirs = {f"peer {name}": version for name, version in peers.versions(python, ["opendp", "polars"]).items()}
    return {
        "rows": rows,
        "figures": figures,
        "tables": [
            {"title": "What was answered", "columns": ["", "shops named", "median error of a count"], "rows": utility}
        ],
        "versions": peers.versions(sys.executable, ["mercury-platform", "opendp", "duckdb"]) | theirs,
    }


def _utility(exact: Path, answer: Path) -> list[str]:
    """Shops named, and the median relative error of their counts."""
    truth = dict(zip(*(pq.read_table(exact)[name].to_pylist() for name in ("shop", "n")), strict=True))
    rows = pq.read_table(answer, columns=["shop", "n"]).to_pylist()
    apart = [abs(row["n"] - truth[row["shop"]]) / truth[row["shop"]] for row in rows]
    return [f"{len(rows):,}", f"{np.median(apart):.1%}"]


def _contender(name: str, file: Path, python: str) -> Contender:
    system = name.partition("-")[0]
    environment = {"POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    runner = python if system == "opendp" else sys.executable
    return Contender(
        name, [runner, "-m", f"benchmarks.private_groupby.{system}_run", str(file)], environment, kind=None
    )
