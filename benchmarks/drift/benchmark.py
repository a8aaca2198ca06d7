"""Drift of 30 columns: Mercury, scipy's tests, NannyML and Evidently, all by one thread.

Distances are held against the exact ones: scipy's to rounding, Mercury's within the certificate that it states itself,
NannyML's within 0.005 (it bins large references). Evidently computes others (normed Wasserstein, Jensen-Shannon): the
columns that each flags stand beside those that were changed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import harness, peers
from benchmarks.drift import data
from benchmarks.harness import Contender, Task, answer_path

HERE = Path(__file__).parent
ABOUT = "drift of 30 columns against Evidently, NannyML and scipy"
DEFAULT_ROWS = 1_000_000
FAST_ROWS = 20_000
CONTENDERS = ("scipy", "mercury", "nannyml", "evidently")
TASKS = {"report": "current", "window": "window"}

UNSEEN = 0.02
"""By how much Mercury's change of a share may be more: it counts all categories that the reference lacks as one."""


def run(
    folder: Path, *, rows: int, repeat: int, only: Collection[str] = (), say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Figures of a whole report and of one more window, and which columns each contender flags."""
    home = folder / str(rows)
    if not (home / "distances.json").exists():
        home.mkdir(parents=True, exist_ok=True)
        say(f"two tables of {rows:,} rows and {len(data.NUMBERS) + len(data.CATEGORIES)} columns")
        data.write(home, rows)
    exact = json.loads((home / "distances.json").read_text())
    pythons = {"mercury": sys.executable} | {
        name: peers.python_of(name, HERE / f"requirements-{name}.txt", say) for name in CONTENDERS if name != "mercury"
    }
    chosen = [name for name in CONTENDERS if not only or name in only]
    figures, flagged = [], []
    for work, distances in TASKS.items():
        task = Task(
            "a report" if work == "report" else "one window more",
            rows if work == "report" else rows // data.PARTS,
            [_contender(name, work, home, pythons[name]) for name in chosen],
            lambda *_: None,
            lambda name, answer, true=exact[distances]: check(name, answer, true),  # type: ignore[misc]
        )
        figures += harness.run(task, home / "answers", repeat=repeat, say=say)
        for name in chosen:
            found = pq.read_table(answer_path(home / "answers", task, name))
            named = [
                column
                for column, yes in zip(*(found[c].to_pylist() for c in ("column", "flagged")), strict=True)
                if yes
            ]
            flagged.append([task.name, name, ", ".join(sorted(named))])
    ours = ["mercury-platform", "pyarrow", "numpy", "numba"]
    theirs = {name: peers.versions(pythons[name], [name])[name] for name in CONTENDERS if name != "mercury"}
    return {
        "rows": rows,
        "figures": figures,
        "tables": [
            {"title": f"Columns flagged (changed: {', '.join(data.CHANGED)})", "columns": ["", "", ""], "rows": flagged}
        ],
        "versions": peers.versions(sys.executable, ours)
        | {f"peer {name}": version for name, version in theirs.items()},
    }


def check(name: str, answer: Path, exact: dict[str, float]) -> str | None:
    """How an answer is beyond its bounds; None when it is not."""
    rows = pq.read_table(answer).to_pylist()
    if [row["column"] for row in rows] != [*data.NUMBERS, *data.CATEGORIES]:
        return "other columns"
    if name == "evidently":
        return None
    for row in rows:
        below = exact[row["column"]] - row["distance"]
        if row["column"] in data.CATEGORIES:
            allowed = (-UNSEEN, 1e-9) if name == "mercury" else (-1e-9, 1e-9)
        elif name == "nannyml":
            allowed = (-5e-3, 5e-3)
        else:
            allowed = (-1e-9, row.get("certificate", 0.0) + 1e-9)
        if not allowed[0] <= below <= allowed[1]:
            return f"{row['column']}: {row['distance']}, exactly {exact[row['column']]}"
    return None


def _contender(name: str, work: str, home: Path, python: str) -> Contender:
    one = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    # Peers would send word of their use to their makers, and wait for it.
    quiet = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}
    command = [python, "-m", f"benchmarks.drift.{name}_run", work, str(home)]
    return Contender(name, command, one | quiet, kind=None)
