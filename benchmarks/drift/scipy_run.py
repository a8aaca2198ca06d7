"""A report by scipy, a test for each column: ``scipy_run.py report|window FOLDER ANSWER NOTE``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from benchmarks.drift.data import CATEGORIES, NUMBERS
from benchmarks.work import arguments, work


def main() -> None:
    """Kolmogorov and Smirnov's test of numbers, the chi-square test and the greatest change of a share of others."""
    task, folder, answer, note = arguments()
    home, current = Path(folder), "current" if task == "report" else "window"
    if task == "report":
        with work(note):
            found = _report(pd.read_parquet(home / "reference.parquet"), pd.read_parquet(home / f"{current}.parquet"))
    else:
        reference = pd.read_parquet(home / "reference.parquet")
        with work(note):
            found = _report(reference, pd.read_parquet(home / f"{current}.parquet"))
    # Of a million rows any difference is significant, so a p-value alone flags what does not matter.
    flagged = [distance > 0.05 for distance in found.values()]
    pq.write_table(pa.table({"column": list(found), "distance": list(found.values()), "flagged": flagged}), answer)


def _report(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, float]:
    found = {}
    for name in NUMBERS:
        tested = stats.ks_2samp(reference[name].dropna(), current[name].dropna(), method="asymp")
        found[name] = float(tested.statistic)
    for name in CATEGORIES:
        counts = pd.concat([reference[name].value_counts(), current[name].value_counts()], axis=1).fillna(0)
        stats.chi2_contingency(counts.to_numpy())
        shares = counts / counts.sum()
        found[name] = float((shares.iloc[:, 0] - shares.iloc[:, 1]).abs().max())
    return found


if __name__ == "__main__":
    main()
