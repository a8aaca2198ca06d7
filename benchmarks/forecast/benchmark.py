"""Panels of monthly series: Mercury's three methods with their combination, and statsforecast's, on one thread.

``monthly`` are 1,000 made series, ``m3`` the 1,428 real ones of the M3 competition; the last 18 months of each are held
out, and every contender's error on them stands in the results, since speed at a worse accuracy is worth nothing.
``mercury-point`` does what the peers' models do; ``mercury-intervals`` adds the backtest, the leaderboard and conformal
intervals with measured coverage, as the peer's ``-native`` and ``-conformal`` do in their ways. Mercury's work includes
finding columns and frequency and checking the axis; the peer's begins with a data frame that is in order.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import harness, peers
from benchmarks.forecast import data
from benchmarks.harness import Contender, Task
from mercury.forecasting import mase, owa, smape
from mercury.forecasting.naive import naive_errors
from mercury.forecasting.seasonality import is_seasonal, seasonal_shape

HERE = Path(__file__).parent
ABOUT = "monthly series, 18 steps ahead: Mercury against statsforecast's DOT, AutoETS and their combination"
DEFAULT_ROWS = 1_000
FAST_ROWS = 1_000
"""Here rows are series."""

MONTHS = 12
OURS = ("mercury-point", "mercury-intervals")
TASKS = {
    "monthly": ("statsforecast-DOT", "statsforecast-Naive", "statsforecast-AutoETS", *OURS),
    "m3": (
        "statsforecast-DOT",
        "statsforecast-Naive",
        "statsforecast-DOT+CES+AutoETS",
        "statsforecast-DOT-native",
        "statsforecast-DOT-conformal",
        *OURS,
    ),
}
CONTENDERS = tuple(dict.fromkeys(name for names in TASKS.values() for name in names))


def run(
    folder: Path, *, rows: int, repeat: int, only: Collection[str] = (), say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Figures, and every contender's accuracy on the months held out; ``rows`` is the number of made series."""
    python = peers.python_of("statsforecast", HERE / "requirements-statsforecast.txt", say)
    figures, tables = [], []
    for name, contenders in TASKS.items():
        file = data.write(folder / f"monthly-{rows}.parquet", rows) if name == "monthly" else _competition(folder, say)
        judged = Judged(file)
        chosen = [_contender(each, file, python) for each in contenders if not only or each in only]
        series = len(judged.actual)
        task = Task(name, series, chosen, lambda *_: None, judged.check)
        figures += harness.run(task, folder, repeat=repeat, say=say)
        columns = ["", "sMAPE %", "MASE", "OWA", "80 % held", "95 % held", "MSIS 95"]
        title = f"{name}: {series:,} series, errors and coverage on the 18 months held out"
        tables.append({"title": title, "columns": columns, "rows": judged.rows})
    own = peers.versions(sys.executable, ["mercury-platform", "numba", "numpy"])
    theirs = {f"peer {name}": version for name, version in peers.versions(python, ["statsforecast", "numpy"]).items()}
    return {"rows": rows, "figures": figures, "tables": tables, "versions": own | theirs}


class Judged:
    """Errors and coverage of answers for one file, by the definitions of the M4 competition."""

    def __init__(self, file: Path) -> None:
        rows = pq.read_table(file).sort_by([("unique_id", "ascending"), ("ds", "ascending")])
        names, starts = np.unique(rows["unique_id"].to_numpy(zero_copy_only=False), return_index=True)
        values = rows["y"].to_numpy()
        ends = np.append(starts[1:], len(values))
        known = [values[low : high - data.HORIZON] for low, high in zip(starts, ends, strict=True)]
        edges = np.concatenate([[0], np.cumsum([len(part) for part in known])])
        self.actual = np.stack([values[high - data.HORIZON : high] for high in ends])
        self._names = names
        self._scale = naive_errors(np.concatenate(known), edges, MONTHS)
        naive2 = np.stack([_naive2(part) for part in known])
        self._naive2 = smape(self.actual, naive2), mase(self.actual, naive2, self._scale)
        self._found = {"Naive2": [f"{self._naive2[0]:.2f}", f"{self._naive2[1]:.3f}", "1.0000", "", "", ""]}

    @property
    def rows(self) -> list[list[str]]:
        """One row of cells for each contender."""
        return [[name, *cells] for name, cells in self._found.items()]

    def check(self, name: str, answer: Path) -> str | None:
        """Keep the figures of an answer; what is wrong with one that misses series, or is worse than Naive2."""
        made = pq.read_table(answer).sort_by([("unique_id", "ascending"), ("ds", "ascending")])
        if made["unique_id"].to_pylist() != np.repeat(self._names, data.HORIZON).tolist():
            return "forecasts of other series than asked for"
        forecasts = self._column(made, "forecast")
        errors = smape(self.actual, forecasts), mase(self.actual, forecasts, self._scale)
        weighted = owa(*errors, *self._naive2)
        held = []
        for level in (80, 95):
            if f"lo-{level}" in made.column_names and not made[f"lo-{level}"].null_count:
                low, high = (self._column(made, f"{end}-{level}") for end in ("lo", "hi"))
                held.append(f"{np.mean((low <= self.actual) & (self.actual <= high)):.1%}")
        if held:
            held.append(f"{self._interval_score(low, high, 0.05):.2f}")
        self._found[name] = [f"{errors[0]:.2f}", f"{errors[1]:.3f}", f"{weighted:.4f}", *(held or ["", "", ""])]
        benchmark = name.endswith("Naive")
        return None if benchmark or weighted <= 1 else f"an OWA of {weighted:.3f} is worse than Naive2"

    def _interval_score(self, low: np.ndarray, high: np.ndarray, alpha: float) -> float:
        """M4's mean scaled interval score: width, and 2 / alpha of what lies outside, by in-sample naive error."""
        beyond = np.maximum(low - self.actual, 0) + np.maximum(self.actual - high, 0)
        known = self._scale > 0
        return float(np.mean((high - low + 2 / alpha * beyond)[known].mean(axis=1) / self._scale[known]))

    def _column(self, made: Any, name: str) -> np.ndarray:
        return made[name].to_numpy().reshape(self.actual.shape)


def _naive2(y: np.ndarray) -> np.ndarray:
    """The last value, adjusted for a season where one is significant: the benchmark of the M competitions."""
    ahead = len(y) + np.arange(data.HORIZON)
    if not is_seasonal(y, MONTHS):
        return np.full(data.HORIZON, y[-1])
    shape = seasonal_shape(y, MONTHS, True)
    return y[-1] / shape[(len(y) - 1) % MONTHS] * shape[ahead % MONTHS]


def _competition(folder: Path, say: Callable[[str], None]) -> Path:
    file = folder / "m3-monthly.parquet"
    if not file.exists():
        python = peers.python_of("competition", HERE / "requirements-competition.txt", say)
        module = [python, "-m", "benchmarks.forecast.competition", str(file)]
        subprocess.run(module, check=True, cwd=harness.ROOT)
    return file


def _contender(name: str, file: Path, python: str) -> Contender:
    one = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    system, _, work = name.partition("-")
    runner = sys.executable if system == "mercury" else python
    return Contender(name, [runner, "-m", f"benchmarks.forecast.{system}_run", work, str(file)], one, kind=None)
