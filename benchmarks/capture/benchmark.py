"""Keeping served predictions: Mercury's capture against keeping none, and against a call of an actor per request.

Every prediction of both must be in its table in the end, or the run fails.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import harness, peers
from benchmarks.harness import BenchmarkError

HERE = Path(__file__).parent
ABOUT = "keeping served predictions against keeping none, and against an actor's call for each"
DEFAULT_ROWS = 3_000
FAST_ROWS = 1_000
CONTENDERS = ("serve",)


def run(
    folder: Path, *, rows: int, repeat: int, only: Collection[str] = (), say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Latencies and CPU by way, of as many requests as `rows` to each; all ways take part in every run."""
    home = folder / "project"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    say("20,000 accounts and a model")
    _call("data", str(home))
    found: list[dict[str, dict[str, float]]] = []
    for turn in range(repeat):
        _call("serve_run", str(rows), str(home), str(home / "answer.parquet"))
        found.append(_read(home / "answer.parquet", rows))
        say(f"{turn + 1}/{repeat}: " + ", ".join(f"{way} {ways['p50 ms']:.2f} ms" for way, ways in found[-1].items()))
    ours = ["mercury-platform", "ray", "lightgbm", "pyarrow"]
    return {
        "rows": rows,
        "figures": [],
        "ways": found,
        "tables": [
            {
                "title": f"Requests of one row, {rows:,} to each way in a run; median of {repeat} runs (least to most)",
                "columns": ["", *_COLUMNS],
                "rows": [
                    [way, *(_spread([turn[way][name] for turn in found]) for name in _COLUMNS)] for way in found[0]
                ],
            }
        ],
        "versions": peers.versions(sys.executable, ours),
    }


_COLUMNS = ("p50 ms", "p99 ms", "p50 ratio", "p99 ratio", "CPU ms a request", "µs of its thread", "MiB")


def _call(script: str, *arguments: str) -> None:
    done = harness.measure([sys.executable, "-m", f"benchmarks.capture.{script}", *arguments])
    if done.returncode:
        raise BenchmarkError(f"{script} failed\n{done.output[-3000:]}")


def _read(answer: Path, requests: int) -> dict[str, dict[str, float]]:
    table = pq.read_table(answer)
    ways = json.loads(table.schema.metadata[b"ways"])
    taken = {way: table[way].to_numpy() for way in ways}
    for way in ("capture", "actor"):
        wanted = requests + ways[way]["warm"]
        if ways[way]["rows"] != wanted:
            raise BenchmarkError(f"{way} kept {ways[way]['rows']:,} of {wanted:,} predictions")
    p50, p99 = ({way: float(np.quantile(taken[way], share)) for way in ways} for share in (0.5, 0.99))
    return {
        way: {
            "p50 ms": p50[way],
            "p99 ms": p99[way],
            "p50 ratio": p50[way] / p50["none"],
            "p99 ratio": p99[way] / p99["none"],
            "CPU ms a request": ways[way]["cpu_seconds"] / requests * 1e3,
            "µs of its thread": ways[way]["record_us"],
            "MiB": ways[way]["memory"] / harness.MIB,
        }
        for way in ways
    }


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
