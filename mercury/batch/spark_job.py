"""The Spark engine: one query over pinned Parquet files on Spark on Ray; executors write the result as files.

The files go into a folder inside the output table, where no reader looks until a commit names them. Nothing crosses
Python, and no Delta jar is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mercury.batch.inputs import Input
from mercury.errors import UsageError
from mercury.expressions import Expression
from mercury.runtime.session import ray_session
from mercury.runtime.spark import spark_deadline, spark_session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class SparkSize:
    """How much of the cluster a run takes: executors, and the CPUs and heap of each."""

    executors: int = 1
    cores: int = 2
    memory: str = "1g"


def run(
    sql: str,
    inputs: Sequence[Input],
    schema: pa.Schema,
    folder: str,
    *,
    app: str,
    size: SparkSize | None = None,
    deadline: float = 3600.0,
) -> list[str]:
    """Write the answer of a query to Parquet files in `folder`, and return their paths, sorted.

    Raises `UsageError` when Spark cannot analyse the query or `folder` is not on a shared file system,
    `DeadlineExceededError` after `deadline` seconds.
    """
    if "://" in folder:
        raise UsageError(
            f"Spark's executors cannot write to {folder}",
            where="lake",
            fix="Use a lake on a shared file system, or engine='duckdb'",
        )
    from pyspark.errors import AnalysisException, ParseException

    taken = size or SparkSize()
    with (
        ray_session(),
        spark_session(app, executors=taken.executors, cores=taken.cores, memory=taken.memory) as spark,
        spark_deadline(spark, deadline, f"the Spark query of {app}"),
    ):
        try:
            for each in inputs:
                _read(spark, each).createOrReplaceTempView(each.name)
            answer = spark.sql(sql)
            columns = [answer[field.name].cast(field.dataType).alias(field.name) for field in _spark_schema(schema)]
            answer.select(*columns).write.parquet(folder)
        except (AnalysisException, ParseException) as error:
            raise UsageError(f"Spark cannot run the query: {str(error).splitlines()[0]}", where="sql") from error
    for left in Path(folder).glob(".*.crc"):
        left.unlink()  # Hadoop's checksums of its own files, which nothing but Hadoop reads
    return sorted(str(path) for path in Path(folder).glob("*.parquet"))


def _read(spark: SparkSession, each: Input) -> DataFrame:
    schema = _spark_schema(each.schema)
    if not each.files:
        return spark.createDataFrame([], schema)
    reader = spark.read.schema(schema)
    if each.partition_by:
        reader = reader.option("basePath", each.uri)
    rows = reader.parquet(*each.files)
    return rows.where(Expression.parse(each.where).sql("spark", each.schema)) if each.where else rows


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema)
