"""Mercury's contenders: ``mercury_run.py ENGINE TASK DATA THREADS ANSWER NOTE``.

What a process does once (imports, compiled kernels, a database, a Spark session) is done before the work, on the rows
of a small batch: it is part of starting up, as the peers' imports are.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.work import arguments, work
from mercury.definitions import Aggregate, Count, CountDistinct, Max, Mean, Min, Quantile, Sum, Variance
from mercury.summaries import SummarySpec, finish, merge, partial

BATCH_ROWS = 1_000_000
FEW_ROWS = 1_000

AGGREGATES: dict[str, dict[str, Aggregate]] = {
    "exact": {
        "flights": Count(),
        "miles": Sum("distance"),
        "mean": Mean("dep_delay"),
        "variance": Variance("dep_delay"),
        "least": Min("dep_delay"),
        "most": Max("dep_delay"),
    },
    "sketches": {"tails": CountDistinct("tail"), "p50": Quantile("dep_delay", 0.5), "p99": Quantile("dep_delay", 0.99)},
}
KEYS = {
    "exact": {"carrier": "carrier", "origin": "origin", "hour": "hour(ts)"},
    "sketches": {"carrier": "carrier"},
}


def main() -> None:
    """Compute the task's answer and write it."""
    engine, task, data, threads, answer, note = arguments()
    spec = SummarySpec(KEYS[task], AGGREGATES[task])
    run = {"arrow": _arrow, "duckdb": _duckdb, "spark": _spark}[engine]
    pq.write_table(run(spec, data, int(threads), note), answer)


def _arrow(spec: SummarySpec, data: str, threads: int, note: str) -> pa.Table:
    pa.set_cpu_count(threads)
    pa.set_io_thread_count(threads)
    few = partial(spec, _few(data))
    finish(merge([few, few]))
    with work(note):
        file = pq.ParquetFile(data)
        if threads == 1:
            parts = [partial(spec, batch) for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False)]
        else:
            # One reader may not serve several threads at once.
            def part(group: int) -> Any:
                return partial(spec, pq.ParquetFile(data).read_row_group(group, use_threads=False))

            with ThreadPoolExecutor(threads) as pool:
                parts = list(pool.map(part, range(file.num_row_groups)))
        return finish(merge(parts))


def _duckdb(spec: SummarySpec, data: str, threads: int, note: str) -> pa.Table:
    from mercury.summaries.engines import duckdb  # `mercury.summaries.partial` has one thread.

    finish(duckdb.partial(spec, _few(data), threads=threads))
    with work(note):
        return finish(duckdb.partial(spec, [data], threads=threads))


def _spark(spec: SummarySpec, data: str, threads: int, note: str) -> pa.Table:
    session = _spark_session(threads)
    finish(partial(spec, session.read.parquet(data).limit(FEW_ROWS), engine="spark"))
    with work(note):
        table = finish(partial(spec, session.read.parquet(data), engine="spark"))
    session.stop()
    return table


def _few(data: str) -> pa.RecordBatch:
    return next(pq.ParquetFile(data).iter_batches(batch_size=FEW_ROWS, use_threads=False))


def _spark_session(threads: int) -> Any:
    from pyspark.sql import SparkSession

    from mercury.runtime.session import prepare_environment
    from mercury.runtime.spark import JAVA_OPTIONS, SPARK_CONFIGURATION

    prepare_environment()
    builder: Any = SparkSession.builder.master(f"local[{threads}]")
    settings = {
        **SPARK_CONFIGURATION,
        "spark.sql.shuffle.partitions": str(threads),
        "spark.driver.memory": "2g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": JAVA_OPTIONS,
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


if __name__ == "__main__":
    main()
