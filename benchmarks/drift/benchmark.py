"""Drift of 30 columns: Mercury, scipy's tests, NannyML and Evidently, all by one thread.

Distances are held against the exact ones: scipy's to rounding, Mercury's within the certificate that it states itself,
NannyML's within 0.005 (it bins large references). Evidently computes others (normed Wasserstein, Jensen-Shannon): the
columns that each flags stand beside those that were changed. Of a day's profile from its hours, counts must be the same
as those of all its rows bit for bit.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import harness, peers
from benchmarks.drift import data
from benchmarks.harness import Contender, Task, answer_path

HERE = Path(__file__).parent
ABOUT = "drift of 30 columns against Evidently, NannyML and scipy"
DEFAULT_ROWS = 1_000_000
FAST_ROWS = 20_000
CONTENDERS = ("scipy", "mercury", "nannyml", "evidently", "reading")
OURS = ("mercury", "reading")
TASKS = {"report": "current", "window": "window"}
MERGED = {"day": "rows at once", "hours": "rows in 24 parts", "kept": "24 kept profiles"}

UNSEEN = 0.02
"""By how much Mercury's change of a share may be more: it counts all categories that the reference lacks as one."""


def run(
    folder: Path, *, rows: int, repeat: int, only: Collection[str] = (), say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Figures of a whole report, of one more window and of merging, and which columns each contender flags."""
    home = folder / str(rows)
    if not (home / "distances.json").exists():
        home.mkdir(parents=True, exist_ok=True)
        say(f"two tables of {rows:,} rows and {len(data.NUMBERS) + len(data.CATEGORIES)} columns")
        data.write(home, rows)
    exact = json.loads((home / "distances.json").read_text())
    theirs = [name for name in CONTENDERS if name not in OURS]
    pythons = dict.fromkeys(OURS, sys.executable) | {
        name: peers.python_of(name, HERE / f"requirements-{name}.txt", say) for name in theirs
    }
    chosen = [name for name in CONTENDERS if not only or name in only]
    figures, flagged = [], []
    for work, distances in TASKS.items():
        task = Task(
            "a report" if work == "report" else "one window more",
            rows if work == "report" else rows // data.PARTS,
            [_contender(name, f"{name}_run", work, home, pythons[name]) for name in chosen],
            lambda *_: None,
            lambda name, answer, true=exact[distances]: check(name, answer, true),  # type: ignore[misc]
        )
        figures += harness.run(task, home / "answers", repeat=repeat, say=say)
        for name in chosen:
            if name == "reading":
                continue
            found = pq.read_table(answer_path(home / "answers", task, name))
            named = [
                column
                for column, yes in zip(*(found[c].to_pylist() for c in ("column", "flagged")), strict=True)
                if yes
            ]
            flagged.append([task.name, name, ", ".join(sorted(named))])
    if "mercury" in chosen:
        contenders = [
            _contender(name, "merge_run", way, home, sys.executable, "profile") for way, name in MERGED.items()
        ]
        figures += harness.run(
            Task("a day's profile", rows, contenders, differ), home / "answers", repeat=repeat, say=say
        )
    ours = ["mercury-platform", "pyarrow", "numpy", "numba"]
    peer_versions = {name: peers.versions(pythons[name], [name])[name] for name in theirs}
    return {
        "rows": rows,
        "figures": figures,
        "tables": [
            {
                "title": f"Columns flagged (changed: {', '.join(data.CHANGED)})",
                "columns": ["", "by", "columns"],
                "rows": flagged,
            }
        ],
        "versions": peers.versions(sys.executable, ours)
        | {f"peer {name}": version for name, version in peer_versions.items()},
    }


def check(name: str, answer: Path, exact: dict[str, float]) -> str | None:
    """How an answer is beyond its bounds; None when it is not."""
    if name == "reading":
        return None
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


def differ(one: Path, other: Path) -> str | None:
    """How two profiles differ: in a count at all, or in a sum by more than rounding; None when they do not."""
    first, second = pq.read_table(one), pq.read_table(other)
    counted = ["reference", "column", "slot", "rows"]
    if not first.select(counted).equals(second.select(counted)):
        return "other counts"
    sums = [table["total"].fill_null(0.0).to_numpy() for table in (first, second)]
    return None if np.allclose(*sums, rtol=1e-9, atol=1e-9) else "other sums"


def _contender(name: str, script: str, work: str, home: Path, python: str, kind: str | None = None) -> Contender:
    one = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    # Peers would send word of their use to their makers, and wait for it.
    quiet = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}
    command = [python, "-m", f"benchmarks.drift.{script}", work, str(home)]
    return Contender(name, command, one | quiet, kind)
