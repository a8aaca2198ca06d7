"""Mercury's contenders: ``mercury_run.py ENGINE TASK DATA ANSWER NOTE``."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.work import arguments, work
from mercury.definitions import Aggregate, Count, CountDistinct, Max, Mean, Min, Quantile, Sum, Variance
from mercury.summaries import Summary, SummarySpec, finish, merge, partial

BATCH_ROWS = 1_000_000

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
    engine, task, data, answer, note = arguments()
    spec = SummarySpec(KEYS[task], AGGREGATES[task])
    run = {"arrow": _arrow, "duckdb": _duckdb, "spark": _spark}[engine]
    pq.write_table(run(spec, data, note), answer)


def _arrow(spec: SummarySpec, data: str, note: str) -> pa.Table:
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with work(note):
        parts: list[Summary] = []
        for batch in pq.ParquetFile(data).iter_batches(batch_size=BATCH_ROWS):
            parts.append(partial(spec, batch))
        return finish(merge(parts))


def _duckdb(spec: SummarySpec, data: str, note: str) -> pa.Table:
    with work(note):
        return finish(partial(spec, [data], engine="duckdb"))


def _spark(spec: SummarySpec, data: str, note: str) -> pa.Table:
    from pyspark.sql import SparkSession

    from mercury.runtime.session import prepare_environment
    from mercury.runtime.spark import JAVA_OPTIONS, SPARK_CONFIGURATION

    prepare_environment()
    builder = SparkSession.builder.master("local[1]")
    settings = SPARK_CONFIGURATION | {
        "spark.sql.shuffle.partitions": "1",
        "spark.driver.memory": "2g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": JAVA_OPTIONS,
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    session.range(1).collect()  # What a session costs to start is stated apart.
    with work(note):
        table = finish(partial(spec, session.read.parquet(data), engine="spark"))
    session.stop()
    return table


if __name__ == "__main__":
    main()
