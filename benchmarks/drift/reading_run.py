"""Reading the tables, which every peer does too: ``reading_run.py report|window FOLDER ANSWER NOTE``."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.work import arguments, work


def main() -> None:
    """By Arrow's reader with one thread, whole tables; pandas reads by it too and converts what was read."""
    task, folder, answer, note = arguments()
    home = Path(folder)
    pa.set_cpu_count(1)
    if task == "window":
        pq.read_table(home / "reference.parquet")
    with work(note):
        tables = [pq.read_table(home / f"{name}.parquet") for name in _read(task)]
    pq.write_table(pa.table({"rows": [table.num_rows for table in tables]}), answer)


def _read(task: str) -> tuple[str, ...]:
    return ("reference", "current") if task == "report" else ("window",)


if __name__ == "__main__":
    main()
