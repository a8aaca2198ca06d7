"""A report by Mercury: ``mercury_run.py report|window FOLDER ANSWER NOTE``."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.drift.data import NUMBERS
from benchmarks.work import arguments, work
from mercury.observability import DriftReport, compare, profile, reference_profile

TOLERANCE = 0.05


def main() -> None:
    """Profile and compare; of a window, the reference's profile is there already."""
    task, folder, answer, note = arguments()
    home = Path(folder)
    pa.set_cpu_count(1)
    if task == "report":
        with work(note):
            known = pq.read_table(home / "reference.parquet")
            reference = reference_profile(known)
            then = profile(known, reference)
            report = compare(then, profile(pq.read_table(home / "current.parquet"), reference), tolerance=TOLERANCE)
    else:
        known = pq.read_table(home / "reference.parquet")
        reference = reference_profile(known)
        then = profile(known, reference)
        profile(known.slice(0, 1000), reference)
        with work(note):
            report = compare(then, profile(pq.read_table(home / "window.parquet"), reference), tolerance=TOLERANCE)
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
