"""A small project: sales are summed up per shop by a batch job, and the sums are features of the shops."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner

from mercury.batch import dispatch
from mercury.cli import cli
from mercury.config import Settings
from mercury.definitions import Job
from mercury.features.instants import UTC_MICROSECONDS
from mercury.lake import Lake
from mercury.projects import load_project
from mercury.tables import Table
from tests.quality.contracts import contract_text

PROJECT = """
from mercury import BatchTable, Entity, FeatureService, FeatureView, Job, Project

totals = BatchTable("totals", schema={"shop": "string", "total": "float64", "ts": "timestamp"}, event_time="ts")
view = FeatureView("spending", Entity("shop", "shop"), totals, {"total": "total"})
job = Job("sum_up", script="jobs/sum_up.py", inputs=["sales"], output="totals")
project = Project("shops", [job, FeatureService("risk", [view])])
"""
SCRIPT = """
import json, sys
from pathlib import Path
import pyarrow as pa
from mercury.batch import Query, job_settings, run
from mercury.definitions import Job
from mercury.projects import load_project

_, _, project, _, lake, *_ = sys.argv
schema = pa.schema([("shop", pa.string()), ("total", pa.float64()), ("ts", pa.timestamp("us", tz="UTC"))])
query = Query(schema, duckdb="SELECT shop, sum(amount) AS total, max(ts) AS ts FROM sales GROUP BY shop")
job = load_project(Path(project)).get(Job, "sum_up")
print(json.dumps(run(job, query, job_settings(Path(project), lake), code=__file__).to_dict()))
"""
CONTRACT = """
- name: shop
  logicalType: string
  required: true
- name: amount
  logicalType: number
  logicalTypeOptions: {minimum: 2}
"""


def set_up(settings: Settings) -> None:
    """Write the project, a table of three sales, of which one breaks its contract, and labels."""
    folder = settings.project.parent
    settings.project.write_text(PROJECT)
    (folder / "jobs").mkdir()
    (folder / "jobs" / "sum_up.py").write_text(SCRIPT)
    (folder / "sales.odcs.yaml").write_text(contract_text(CONTRACT))
    times = pa.array([10, 20, 30], UTC_MICROSECONDS)
    sales = pa.table({"shop": ["a", "b", "a"], "amount": [1.0, 2.0, 4.0], "ts": times})
    Table.create(Lake(settings.lake).table("sales"), sales.schema).append(sales)
    labels = pa.table({"shop": ["a", "b"], "at": pa.array([50, 50], UTC_MICROSECONDS)})
    pq.write_table(labels, folder / "labels.parquet")


def mercury(*arguments: str) -> int:
    """A command's exit code."""
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return int(result.return_value or 0)


def sum_up(settings: Settings) -> None:
    """Send the batch job."""
    dispatch(load_project(settings.project).get(Job, "sum_up"), settings.project, settings)


def run_all(settings: Settings) -> None:
    """From the raw table to a training set, one command after the other."""
    assert (
        mercury("quality", "check", Lake(settings.lake).table("sales"), "-c", "sales.odcs.yaml", "--quarantine", "bad")
        == 5
    )
    sum_up(settings)
    assert mercury("features", "materialize") == 0
    joined = ("features", "training-set", "risk", "labels.parquet", "--event-time", "at", "-o", "training.parquet")
    assert mercury(*joined) == 0
