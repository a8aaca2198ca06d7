"""A Spark 3.5 with the reference implementation of Delta, in a process of its own: SQL in, rows out, as JSON lines.

It is apart from the session of other tests, since its extensions must be there when a session starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DELTA = "io.delta:delta-spark_2.12:3.3.2"
_TRUST_STORE = Path("/etc/ssl/certs/java/cacerts")


class DeltaSpark:
    """Runs SQL in the other process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def sql(self, statement: str) -> list[dict[str, Any]]:
        """The rows of a statement; values that JSON lacks come as text. `RuntimeError` with Spark's message."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(statement) + "\n")
        self._process.stdin.flush()
        while True:
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"Spark ended with {self._process.wait()} at {statement!r}")
            if line.startswith("mercury "):
                break
        answer = json.loads(line.removeprefix("mercury "))
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return list(answer["rows"])


@contextmanager
def delta_spark() -> Iterator[DeltaSpark]:
    """A running Spark; its jars are kept in the user's cache, so only the first start needs a network."""
    from mercury.runtime.session import prepare_environment

    environment = prepare_environment({**os.environ})
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield DeltaSpark(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def _serve() -> None:
    from pyspark.sql import SparkSession

    from mercury.runtime.spark import JAVA_OPTIONS, SPARK_CONFIGURATION

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mercury" / "ivy"
    cache.mkdir(parents=True, exist_ok=True)
    java = JAVA_OPTIONS + (f" -Djavax.net.ssl.trustStore={_TRUST_STORE}" if _TRUST_STORE.exists() else "")
    # Ivy downloads before the session's own options apply.
    os.environ["JDK_JAVA_OPTIONS"] = java
    builder = SparkSession.builder.master("local[2]").appName("delta")
    for name, value in {
        **SPARK_CONFIGURATION,
        "spark.jars.packages": DELTA,
        "spark.jars.ivy": str(cache),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {
                "rows": [row.asDict(recursive=True) for row in spark.sql(json.loads(line)).collect()]
            }
        except Exception as error:
            answer = {"error": str(error)[:2000]}
        print("mercury " + json.dumps(answer, default=str), flush=True)
    spark.stop()


if __name__ == "__main__":
    _serve()
