"""A panel of monthly series: Mercury's three methods with their combination, and statsforecast's, on one thread.

The last 18 months of each series are held out, and every contender's error on them stands in the results: speed at a
worse accuracy is worth nothing. ``mercury-point`` does what the peers do; ``mercury-intervals`` adds the backtest, the
leaderboard and conformal intervals with measured coverage.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import harness, peers
from benchmarks.forecast import data
from benchmarks.harness import Contender, Task
from mercury.forecasting import mase, smape
from mercury.forecasting.naive import naive_errors

HERE = Path(__file__).parent
ABOUT = "1,000 monthly series, 18 steps ahead: Mercury against statsforecast's AutoETS and DynamicOptimizedTheta"
DEFAULT_ROWS = 1_000
FAST_ROWS = 1_000
"""Here rows are series."""

PEERS = ("SeasonalNaive", "DynamicOptimizedTheta", "AutoETS")
CONTENDERS = (*(f"statsforecast-{model}" for model in PEERS), "mercury-point", "mercury-intervals")


def run(
    folder: Path, *, rows: int, repeat: int, only: Collection[str] = (), say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Figures, and every contender's accuracy on the months held out; ``rows`` is the number of series."""
    file = data.write(folder / f"monthly-{rows}.parquet", rows)
    python = peers.python_of("statsforecast", HERE / "requirements-statsforecast.txt", say)
    chosen = [name for name in CONTENDERS if not only or name in only]
    errors: dict[str, dict[str, float]] = {}

    def checked(name: str, answer: Path) -> str | None:
        errors[name] = accuracy(file, answer)
        naive = errors.get("statsforecast-SeasonalNaive", {}).get("MASE", np.inf)
        return None if errors[name]["MASE"] <= naive else f"a MASE of {errors[name]['MASE']:.3f} is worse than naive"

    task = Task("monthly", rows, [_contender(name, file, python) for name in chosen], lambda *_: None, checked)
    figures = harness.run(task, folder, repeat=repeat, say=say)
    own = peers.versions(sys.executable, ["mercury-platform", "numba", "numpy"])
    theirs = {f"peer {name}": version for name, version in peers.versions(python, ["statsforecast", "numpy"]).items()}
    columns = ["", "MASE", "sMAPE %"]
    table = [[name, f"{found['MASE']:.3f}", f"{found['sMAPE']:.2f}"] for name, found in errors.items()]
    return {
        "rows": rows,
        "figures": figures,
        "tables": [{"title": "Error on the 18 months held out", "columns": columns, "rows": table}],
        "versions": own | theirs,
    }


def accuracy(file: Path, answer: Path) -> dict[str, float]:
    """MASE and sMAPE of an answer on the months held out."""
    rows, made = pq.read_table(file), pq.read_table(answer).sort_by([("unique_id", "ascending"), ("ds", "ascending")])
    names, starts = np.unique(rows["unique_id"].to_numpy(zero_copy_only=False), return_index=True)
    values = rows["y"].to_numpy()
    ends = np.append(starts[1:], len(values))
    known = [values[low : high - data.HORIZON] for low, high in zip(starts, ends, strict=True)]
    actual = np.stack([values[high - data.HORIZON : high] for high in ends])
    edges = np.concatenate([[0], np.cumsum([len(part) for part in known])])
    forecast = made["forecast"].to_numpy().reshape(len(names), data.HORIZON)
    scale = naive_errors(np.concatenate(known), edges, 12)
    return {"MASE": mase(actual, forecast, scale), "sMAPE": smape(actual, forecast)}


def _contender(name: str, file: Path, python: str) -> Contender:
    one = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    system, _, work = name.partition("-")
    runner = sys.executable if system == "mercury" else python
    return Contender(name, [runner, "-m", f"benchmarks.forecast.{system}_run", work, str(file)], one, kind=None)
