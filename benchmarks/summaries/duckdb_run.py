"""The peer DuckDB, as plain SQL: ``duckdb_run.py TASK DATA THREADS ANSWER NOTE``."""

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
    # Beside the exact quantiles, the values two hundredths of the ranks and one rank more to either side.
    "truth": """
        SELECT carrier, tails, delays[1 + floor(0.5 * last)::BIGINT] AS p50,
               delays[greatest(1, floor(0.48 * last)::BIGINT)] AS p50_low,
               delays[least(1 + last, 2 + ceil(0.52 * last)::BIGINT)] AS p50_high,
               delays[1 + floor(0.99 * last)::BIGINT] AS p99,
               delays[greatest(1, floor(0.97 * last)::BIGINT)] AS p99_low, delays[1 + last] AS p99_high
        FROM (
            SELECT carrier, count(DISTINCT tail) AS tails, count(dep_delay) - 1 AS last,
                   list(dep_delay ORDER BY dep_delay) FILTER (dep_delay IS NOT NULL) AS delays
            FROM read_parquet(?) GROUP BY carrier
        )
        ORDER BY carrier
    """,
}


def main() -> None:
    """Compute the task's answer and write it."""
    task, data, threads, answer, note = arguments()
    with duckdb.connect(config={"threads": int(threads)}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        with work(note):
            connection.execute(f"CREATE TABLE answer AS {QUERIES[task]}", [data])
        connection.execute(f"COPY answer TO '{answer}' (FORMAT parquet)")


if __name__ == "__main__":
    main()
