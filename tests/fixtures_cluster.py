"""A local Ray and a local Spark for tests, each started once per session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from mercury.runtime.session import RaySession


@pytest.fixture(scope="session")
def ray_local() -> Iterator[RaySession]:
    """A Ray of this process's own with four logical CPUs; it is never one that runs on the machine already."""
    from mercury.runtime.session import LOCAL, ray_session

    with ray_session(address=LOCAL, num_cpus=4, object_store_bytes=256 << 20) as session:
        yield session


@pytest.fixture(scope="session")
def spark_local() -> Iterator[SparkSession]:
    """A Spark of two threads in one JVM, without Ray, set as Mercury sets its sessions (UTC, microseconds)."""
    from pyspark.sql import SparkSession

    from mercury.runtime.session import prepare_environment
    from mercury.runtime.spark import JAVA_OPTIONS, SPARK_CONFIGURATION

    prepare_environment()
    builder = SparkSession.builder.master("local[2]").appName("tests")
    for name, value in SPARK_CONFIGURATION.items():
        builder = builder.config(name, value)
    spark = (
        builder.config("spark.sql.shuffle.partitions", "4")
        .config("spark.driver.memory", "1g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.extraJavaOptions", JAVA_OPTIONS)
        .getOrCreate()
    )
    yield spark
    spark.stop()
