"""A report by Evidently's drift preset as it comes: ``evidently_run.py report|window FOLDER ANSWER NOTE``."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

from benchmarks.drift.data import CATEGORIES, NUMBERS
from benchmarks.work import arguments, work

DEFINITION = DataDefinition(numerical_columns=NUMBERS, categorical_columns=CATEGORIES)


def main() -> None:
    """Normed Wasserstein distances of numbers, Jensen-Shannon's of categories: its choice for tables of this size."""
    task, folder, answer, note = arguments()
    warnings.simplefilter("ignore")
    home = Path(folder)
    if task == "report":
        with work(note):
            found = _report(_dataset(home / "reference.parquet"), _dataset(home / "current.parquet"))
    else:
        reference = _dataset(home / "reference.parquet")
        with work(note):
            found = _report(reference, _dataset(home / "window.parquet"))
    # Its threshold for both is 0.1.
    flagged = [distance >= 0.1 for distance in found.values()]
    pq.write_table(pa.table({"column": list(found), "distance": list(found.values()), "flagged": flagged}), answer)


def _dataset(path: Path) -> Dataset:
    return Dataset.from_pandas(pd.read_parquet(path), data_definition=DEFINITION)


def _report(reference: Dataset, current: Dataset) -> dict[str, float]:
    snapshot = Report([DataDriftPreset()]).run(current, reference)
    found = {}
    for metric in snapshot.dict()["metrics"]:
        column = metric.get("config", {}).get("column")
        if column is not None:
            found[column] = float(metric["value"])
    return {name: found[name] for name in [*NUMBERS, *CATEGORIES]}


if __name__ == "__main__":
    main()
