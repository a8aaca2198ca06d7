"""Exact counts and sums by DuckDB, first by user and shop and then by shop: ``duckdb_run.py DATA ANSWER NOTE``.

No private answer to a bound on users can be had for less, since that bound is on the groups of each user.
"""

from __future__ import annotations

import duckdb

from benchmarks.work import arguments, work

QUERY = """
    SELECT shop, sum(n)::BIGINT AS n, sum(cents)::BIGINT AS cents FROM (
        SELECT user, shop, count(*) AS n, sum(cents) AS cents FROM read_parquet(?) GROUP BY ALL
    ) GROUP BY ALL ORDER BY ALL
"""


def main() -> None:
    """Compute and write ``shop``, ``n``, ``cents``."""
    data, answer, note = arguments()
    with duckdb.connect(config={"threads": 1}) as connection:
        with work(note):
            connection.execute(f"CREATE TABLE answer AS {QUERY}", [data])
        connection.execute(f"COPY answer TO '{answer}'")


if __name__ == "__main__":
    main()
