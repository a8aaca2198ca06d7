"""Spark on Ray: a lost executor is replaced, and what cannot start or end says so in time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# RayDP and the tests' own Spark would share one JVM in this process.
SCRIPT = """
import json, os, pathlib, signal, sys, time
from mercury.errors import DeadlineExceededError
from mercury.runtime.session import LOCAL, ray_session
from mercury.runtime.spark import spark_deadline, spark_session
from tests.listening import beyond_loopback, listening

mark = pathlib.Path(sys.argv[1])

def parent(process):
    return int(pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])

def dies_once(rows):
    if not mark.exists():
        mark.touch()
        os.kill(parent(parent(os.getpid())), signal.SIGKILL)  # worker, daemon, executor
    return [sum(row.id for row in rows)]

def slow(rows):
    time.sleep(30)
    return rows

found = {}
with ray_session(address=LOCAL, num_cpus=4, object_store_bytes=256 << 20):
    began = time.monotonic()
    try:
        with spark_session("too_big", cores=64, deadline=6):
            pass
    except DeadlineExceededError as error:
        found["too big"] = [str(error), time.monotonic() - began]
    with spark_session("lossy", executors=1, cores=1, memory="512m") as spark:
        found["beyond loopback"] = beyond_loopback(listening())
        found["zone"] = spark.conf.get("spark.sql.session.timeZone")
        found["sum"] = sum(spark.range(0, 1000, numPartitions=4).rdd.mapPartitions(dies_once).collect())
        try:
            with spark_deadline(spark, 2, "a slow query"):
                spark.range(0, 1, numPartitions=1).rdd.mapPartitions(slow).collect()
        except DeadlineExceededError as error:
            found["slow"] = str(error)
print(json.dumps(found))
"""


@pytest.mark.ray
@pytest.mark.spark
@pytest.mark.slow
def test_spark_on_ray(tmp_path: Path) -> None:
    mark = tmp_path / "killed"
    command = [sys.executable, "-c", SCRIPT, str(mark)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert mark.exists() and found["sum"] == sum(range(1000))
    assert found["zone"] == "UTC"
    assert found["beyond loopback"] == []
    message, seconds = found["too big"]
    assert "no Spark executor of 1 × 64 CPUs and 1g registered within 6 s (too_big). Ray has" in message
    assert seconds < 60  # The deadline, and the time that a JVM takes to start and to end.
    assert found["slow"].startswith("a slow query took longer than 2 s and was cancelled")
