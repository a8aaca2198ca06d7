"""Ray and Spark sessions: what they start, join, refuse and leave as it was."""

from __future__ import annotations

import sys

import pytest

from mercury.errors import UnavailableError
from mercury.runtime.session import (
    RaySession,
    check_reachable,
    java_home,
    prepare_environment,
    ray_data_preset,
    ray_session,
)
from tests.listening import beyond_loopback, listening


def test_environment_names_this_python_and_finds_java(tmp_path: object) -> None:
    environment = prepare_environment({"PATH": str(tmp_path)})
    assert environment["PYSPARK_PYTHON"] == sys.executable
    assert environment["JAVA_HOME"] and environment["PATH"].startswith(environment["JAVA_HOME"])
    assert java_home(environment) is None


@pytest.mark.ray
def test_a_session_inside_a_session_is_the_same_one(ray_local: RaySession) -> None:
    import ray

    with ray_session() as inner:
        assert inner.address == ray_local.address
        assert not inner.owned
    assert ray.is_initialized()
    assert ray.cluster_resources()["CPU"] == 4
    assert ray_local.owned and ray_local.address.split(":")[0].startswith("127.")


@pytest.mark.ray
def test_a_local_ray_listens_on_loopback_only(ray_local: RaySession) -> None:
    places = listening()
    assert len(places) > 5
    assert beyond_loopback(places) == []


@pytest.mark.ray
def test_ray_data_is_set_for_few_cpus(ray_local: RaySession) -> None:
    ray_data_preset(4)
    import ray.data

    context = ray.data.DataContext.get_current()
    assert context.default_hash_shuffle_parallelism == 8
    rows = ray.data.range(100).groupby("id", num_partitions=2).count().take_all()
    assert sum(row["count()"] for row in rows) == 100


def test_a_cluster_that_is_not_there_is_named_in_the_error() -> None:
    with pytest.raises(UnavailableError, match=r"no Ray cluster answers at 127\.0\.0\.1:1: .*ray up"):
        check_reachable("127.0.0.1:1")


@pytest.mark.spark
def test_spark_local_keeps_microseconds_in_utc(spark_local: object, tmp_path: object) -> None:
    import datetime as dt

    import pyarrow.parquet as pq

    moment = dt.datetime(1969, 12, 31, 23, 59, 59, 123456, tzinfo=dt.UTC)
    frame = spark_local.createDataFrame([(moment,)], "t timestamp")  # type: ignore[attr-defined]
    frame.coalesce(1).write.parquet(f"{tmp_path}/out")
    column = pq.read_table(f"{tmp_path}/out").column("t")
    assert str(column.type) == "timestamp[us, tz=UTC]"
    assert column.to_pylist() == [moment]
