"""The peer DuckDB, as plain SQL: ``duckdb_run.py TASK DATA ANSWER NOTE``."""

from __future__ import annotations

import duckdb

from benchmarks.work import arguments, work

QUERIES = {
    "exact": """
        SELECT carrier, origin, hour(ts) AS hour, count(*) AS flights, sum(distance)::BIGINT AS miles,
               avg(dep_delay) AS mean, var_samp(dep_delay) AS variance, min(dep_delay) AS least, max(dep_delay) AS most
        FROM read_parquet(?) GROUP BY ALL ORDER BY ALL
    """,
    "sketches": """
        SELECT carrier, approx_count_distinct(tail) AS tails, approx_quantile(dep_delay, 0.5) AS p50,
               approx_quantile(dep_delay, 0.99) AS p99
        FROM read_parquet(?) GROUP BY ALL ORDER BY ALL
    """,
    "truth": """
        SELECT carrier, tails, delays[1 + floor(0.5 * (len(delays) - 1))::BIGINT] AS p50,
               delays[1 + floor(0.99 * (len(delays) - 1))::BIGINT] AS p99
        FROM (
            SELECT carrier, count(DISTINCT tail) AS tails,
                   list(dep_delay ORDER BY dep_delay) FILTER (dep_delay IS NOT NULL) AS delays
            FROM read_parquet(?) GROUP BY carrier
        )
        ORDER BY carrier
    """,
}


def main() -> None:
    """Compute the task's answer and write it."""
    task, data, answer, note = arguments()
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        with work(note):
            connection.execute(f"CREATE TABLE answer AS {QUERIES[task]}", [data])
        connection.execute(f"COPY answer TO '{answer}' (FORMAT parquet)")


if __name__ == "__main__":
    main()
