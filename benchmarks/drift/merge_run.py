"""The profile of a day in three ways: ``merge_run.py day|hours|kept FOLDER ANSWER NOTE``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.drift.data import PARTS
from benchmarks.work import arguments, work
from mercury.observability import Profile, Reference, merge, profile, reference_profile


def main() -> None:
    """From its rows at once, from its rows in 24 parts that are merged, from 24 kept profiles without rows."""
    task, folder, answer, note = arguments()
    home = Path(folder)
    pa.set_cpu_count(1)
    known = pq.read_table(home / "reference.parquet")
    reference = reference_profile(known)
    profile(known.slice(0, 1000), reference)
    del known
    with TemporaryDirectory() as kept:
        if task == "kept":
            for hour, part in enumerate(_hours(pq.read_table(home / "current.parquet"), reference)):
                for name, table in part.to_tables().items():
                    pq.write_table(table, Path(kept) / f"{hour}-{name}.parquet")
        with work(note):
            if task == "day":
                found = profile(pq.read_table(home / "current.parquet"), reference)
            elif task == "hours":
                found = merge(_hours(pq.read_table(home / "current.parquet"), reference))
            else:
                found = merge([_kept(Path(kept), hour, reference) for hour in range(PARTS)])
    pq.write_table(found.to_tables()["slots"], answer)


def _hours(rows: pa.Table, reference: Reference) -> list[Profile]:
    size = -(-rows.num_rows // PARTS)
    return [profile(rows.slice(hour * size, size), reference) for hour in range(PARTS)]


def _kept(folder: Path, hour: int, reference: Reference) -> Profile:
    tables = {name: pq.read_table(folder / f"{hour}-{name}.parquet") for name in ("slots", "columns")}
    return Profile.from_tables(tables, reference)


if __name__ == "__main__":
    main()
