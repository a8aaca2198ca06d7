"""A report by Mercury: ``mercury_run.py report|window FOLDER ANSWER NOTE``."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.drift.data import NUMBERS
from benchmarks.work import arguments, work
from mercury.observability import DriftReport, ParquetColumns, compare, learn, profile

TOLERANCE = 0.05


def main() -> None:
    """Profile and compare; of a window, the reference's profile is there already."""
    task, folder, answer, note = arguments()
    home = Path(folder)
    pa.set_cpu_count(1)
    # Loads the kernels and scipy, as the peers' imports load theirs.
    _, few = learn(pa.table({"x": [0.0, 1.0], "s": pa.array(["a", "b"]).dictionary_encode()}))
    compare(few, few)
    if task == "report":
        with work(note):
            reference, then = learn(ParquetColumns(home / "reference.parquet"))
            now = profile(ParquetColumns(home / "current.parquet"), reference)
            report = compare(then, now, tolerance=TOLERANCE)
    else:
        reference, then = learn(ParquetColumns(home / "reference.parquet"))
        with work(note):
            now = profile(ParquetColumns(home / "window.parquet"), reference)
            report = compare(then, now, tolerance=TOLERANCE)
    pq.write_table(_answer(report), answer)


def _answer(report: DriftReport) -> pa.Table:
    names, values, certificates = [], [], []
    for name, column in report.columns.items():
        found = column.statistics["ks" if name in NUMBERS else "l_infinity"]
        names.append(name)
        values.append(found.value)
        certificates.append(found.certificate or 0.0)
    verdicts = [column.verdict == "drift" for column in report.columns.values()]
    return pa.table({"column": names, "distance": values, "certificate": certificates, "flagged": verdicts})


if __name__ == "__main__":
    main()
