"""Batch jobs: history into tables, on the engine that its size asks for, once per state of the inputs.

result = run(job, Query(schema, duckdb="SELECT …", spark="SELECT …"), settings, scope=Scope("2013-01-05", …))
"""

from mercury.batch.dispatch import dispatch, job_settings
from mercury.batch.engine import Choice, choose
from mercury.batch.run import Query, RunResult, Scope, last_run, run, run_identity
from mercury.batch.spark_job import SparkSize

__all__ = [
    "Choice",
    "Query",
    "RunResult",
    "Scope",
    "SparkSize",
    "choose",
    "dispatch",
    "job_settings",
    "last_run",
    "run",
    "run_identity",
]
