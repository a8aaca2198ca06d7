"""The peer polars, lazily scanned: ``polars_run.py TASK DATA THREADS ANSWER NOTE``."""

from __future__ import annotations

import polars as pl

from benchmarks.work import arguments, work


def main() -> None:
    """Compute the task's answer and write it."""
    task, data, threads, answer, note = arguments()
    if pl.thread_pool_size() != int(threads):
        raise SystemExit(f"polars has {pl.thread_pool_size()} threads, not {threads}: set POLARS_MAX_THREADS")
    delay = pl.col("dep_delay")
    with work(note):
        rows = pl.scan_parquet(data)
        if task == "exact":
            found = rows.group_by("carrier", "origin", pl.col("ts").dt.hour().cast(pl.Int64).alias("hour")).agg(
                pl.len().cast(pl.Int64).alias("flights"),
                pl.col("distance").sum().alias("miles"),
                delay.mean().alias("mean"),
                delay.var().alias("variance"),
                delay.min().alias("least"),
                delay.max().alias("most"),
            )
        else:
            # polars has no sketch of quantiles: it sorts.
            found = rows.group_by("carrier").agg(
                pl.col("tail").approx_n_unique().cast(pl.Int64).alias("tails"),
                delay.quantile(0.5, "lower").alias("p50"),
                delay.quantile(0.99, "lower").alias("p99"),
            )
        table = found.sort(pl.all()).collect(engine="streaming")
    table.write_parquet(answer)


if __name__ == "__main__":
    main()
