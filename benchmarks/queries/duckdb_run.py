"""A question by DuckDB over the base table: ``duckdb_run.py native|parquet QUESTION FOLDER ANSWER NOTE``."""

from __future__ import annotations

from pathlib import Path

import duckdb

from benchmarks.queries.questions import QUESTIONS, ROUNDS
from benchmarks.work import arguments, work


def main() -> None:
    """Ask once to open files, then several times."""
    form, question, folder, answer, note = arguments()
    home = Path(folder)
    native = form == "native"
    with duckdb.connect(str(home / "base.duckdb") if native else ":memory:", read_only=native) as connection:
        connection.execute("SET threads = 1")
        connection.execute("SET TimeZone = 'UTC'")
        sql = QUESTIONS[question][1]
        if not native:
            files = sorted(str(path) for path in (home / ".mercury" / "lake" / "tables" / "base").glob("*.parquet"))
            sql = sql.replace("FROM base", f"FROM read_parquet({files!r})")
        statement = f"CREATE OR REPLACE TEMP TABLE found AS {sql}"
        connection.execute(statement)
        with work(note):
            for _ in range(ROUNDS):
                connection.execute(statement)
        connection.execute(f"COPY found TO '{answer}' (FORMAT parquet)")


if __name__ == "__main__":
    main()
