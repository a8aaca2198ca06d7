"""Spark on Ray through RayDP, set up so that times, Python and Java agree with the rest of Mercury.

What is worked around here: JDK 17 needs packages opened to Spark and Ray; executors would pick another Python; Spark
waits without end for executors that the cluster has no room for. Data leaves Spark by files, never by RayDP's memory
hand-over, which fails once an executor was replaced.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mercury.errors import DeadlineExceededError, UnavailableError
from mercury.runtime.session import prepare_environment

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_STOP_SECONDS = 10.0
_log = logging.getLogger(__name__)

_OPENED_PACKAGES = [
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.io",
    "java.net",
    "java.nio",
    "java.math",
    "java.text",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
]

JAVA_OPTIONS = " ".join(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED_PACKAGES)
"""Flags that Spark 3.5 and Ray's Java workers need on JDK 17."""

SPARK_CONFIGURATION: Mapping[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.adaptive.enabled": "true",
    # No _SUCCESS files: a table's log says what is complete.
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    # The web interface listens on every address of the machine and asks for no token.
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.pyspark.python": sys.executable,
    "spark.executorEnv.PYSPARK_PYTHON": sys.executable,
}
"""Settings of every Spark session of Mercury, in tests as well."""

START_DEADLINE = 120.0
"""Seconds until a first executor must have registered."""


@contextlib.contextmanager
def spark_session(
    app: str,
    *,
    executors: int = 1,
    cores: int = 1,
    memory: str = "1g",
    configuration: Mapping[str, str] | None = None,
    deadline: float = START_DEADLINE,
) -> Iterator[SparkSession]:
    """A Spark session whose executors are Ray actors, for the length of the block; one at a time per process.

    Parameters
    ----------
    app : name of the application, unique among those that run on the cluster.
    executors, cores, memory : number of executors, and the CPUs and heap of each, taken from Ray's resources.
    configuration : further Spark settings; they win over `SPARK_CONFIGURATION`.
    deadline : seconds until the first executor must have registered.

    The process must be connected to Ray (`mercury.runtime.session.ray_session`). Raises `UnavailableError` when it is
    not or when Spark does not start, `DeadlineExceededError` when no executor registers in time.
    """
    import ray

    if not ray.is_initialized():
        raise UnavailableError("Spark on Ray needs a Ray session", fix="Open mercury.runtime.ray_session() first")
    import raydp

    prepare_environment()
    settings = {
        **SPARK_CONFIGURATION,
        "spark.sql.shuffle.partitions": str(max(2, 2 * executors * cores)),
        "spark.driver.extraJavaOptions": JAVA_OPTIONS,
        "spark.executor.extraJavaOptions": JAVA_OPTIONS,
        "spark.ray.raydp_app_master.extraJavaOptions": JAVA_OPTIONS,
        **(configuration or {}),
    }
    until = time.monotonic() + deadline
    starting: concurrent.futures.Future[SparkSession] = concurrent.futures.Future()

    def start() -> None:
        try:
            starting.set_result(raydp.init_spark(app, executors, cores, memory, configs=settings))
        except BaseException as error:
            starting.set_exception(error)

    starter = threading.Thread(target=start, name="spark-start", daemon=True)
    starter.start()
    try:
        spark = starting.result(timeout=deadline)
    except concurrent.futures.TimeoutError:
        late = _too_late(app, executors, cores, memory, deadline)
        _abandon(app, starter)
        raise late from None
    except Exception as error:
        _stop()
        raise UnavailableError(
            f"Spark on Ray did not start: {str(error).strip().splitlines()[0] if str(error) else error!r}",
            where=app,
            fix="The logs of its Java processes are in /tmp/ray/session_latest/logs",
        ) from error
    try:
        spark.sparkContext.setLogLevel("ERROR")
        _await_executor(spark, until, _too_late(app, executors, cores, memory, deadline))
        yield spark
    finally:
        _stop()


@contextlib.contextmanager
def spark_deadline(spark: SparkSession, seconds: float, what: str) -> Iterator[None]:
    """Cancel the Spark jobs of this block when it takes longer; it then raises `DeadlineExceededError`."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        spark.sparkContext.cancelAllJobs()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if expired.is_set():
            raise DeadlineExceededError(f"{what} took longer than {seconds:g} s and was cancelled") from error
        raise
    finally:
        timer.cancel()


def _stop() -> None:
    """Stop what runs; RayDP forgets its session even where it fails to stop it, for instance after the master died."""
    import raydp

    try:
        raydp.stop_spark()
    except Exception as error:
        _log.warning("Spark on Ray did not stop cleanly: %s", error)


def _await_executor(spark: SparkSession, until: float, late: DeadlineExceededError) -> None:
    waiting = threading.Event()
    context = spark.sparkContext._jsc.sc()
    # The driver is listed among the executors.
    while context.getExecutorMemoryStatus().size() < 2:
        if time.monotonic() > until:
            raise late
        waiting.wait(0.05)


def _too_late(app: str, executors: int, cores: int, memory: str, deadline: float) -> DeadlineExceededError:
    import ray

    free = ray.available_resources()
    return DeadlineExceededError(
        f"no Spark executor of {executors} × {cores} CPUs and {memory} registered within {deadline:g} s",
        where=app,
        fix=f"Ray has {free.get('CPU', 0):g} CPUs and {free.get('memory', 0) / 2**30:.1f} GiB free: ask for less, "
        "or wait until other work has ended",
    )


def _abandon(app: str, starter: threading.Thread) -> None:
    """End a start that hangs, in a call to RayDP's master or in the JVM that waits for it, so that its thread ends.

    RayDP holds a lock while it starts, so stopping it before the thread has ended would hang as well.
    """
    import ray
    from pyspark import SparkContext
    from raydp.spark.ray_cluster_master import RAYDP_SPARK_MASTER_SUFFIX

    with contextlib.suppress(ValueError):
        ray.kill(ray.get_actor(app + RAYDP_SPARK_MASTER_SUFFIX))
    starter.join(_STOP_SECONDS / 2)
    if starter.is_alive() and SparkContext._gateway is not None:
        SparkContext._gateway.proc.kill()
        # The next session must start another JVM.
        SparkContext._gateway = SparkContext._jvm = None
        starter.join(_STOP_SECONDS)
    if not starter.is_alive():
        _stop()
