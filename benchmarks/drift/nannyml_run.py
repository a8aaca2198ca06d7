"""A report by NannyML's univariate calculator: ``nannyml_run.py report|window FOLDER ANSWER NOTE``."""

from __future__ import annotations

import warnings
from pathlib import Path

import nannyml
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.drift.data import CATEGORIES, NUMBERS
from benchmarks.work import arguments, work


def main() -> None:
    """One chunk; of a window, the calculator is fitted already."""
    task, folder, answer, note = arguments()
    warnings.simplefilter("ignore")
    home = Path(folder)
    if task == "report":
        with work(note):
            found = _calculate(_fitted(home), pd.read_parquet(home / "current.parquet"))
    else:
        calculator = _fitted(home)
        with work(note):
            found = _calculate(calculator, pd.read_parquet(home / "window.parquet"))
    flagged = [distance > 0.05 for distance in found.values()]
    pq.write_table(pa.table({"column": list(found), "distance": list(found.values()), "flagged": flagged}), answer)


def _fitted(home: Path) -> nannyml.UnivariateDriftCalculator:
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=[*NUMBERS, *CATEGORIES],
        treat_as_categorical=CATEGORIES,
        continuous_methods=["kolmogorov_smirnov"],
        categorical_methods=["l_infinity"],
        chunk_number=1,
    )
    return calculator.fit(pd.read_parquet(home / "reference.parquet"))


def _calculate(calculator: nannyml.UnivariateDriftCalculator, current: pd.DataFrame) -> dict[str, float]:
    frame = calculator.calculate(current).filter(period="analysis").to_df()
    methods = dict.fromkeys(NUMBERS, "kolmogorov_smirnov") | dict.fromkeys(CATEGORIES, "l_infinity")
    return {name: float(frame[(name, method, "value")].iloc[0]) for name, method in methods.items()}


if __name__ == "__main__":
    main()
