"""Lineage: every run says what it read and wrote, with versions, as OpenLineage events.

    with lineage.run("flight_features", settings=settings) as run:
        run.input("lake/tables/raw_flights", version=3)
        run.output("lake/tables/flight_features", version=7, rows=336_776)

A START is written when the block begins and a COMPLETE, FAIL or ABORT when it ends: into ``lineage.jsonl`` of the state
folder, or to ``settings.lineage_url``. Telling never fails a run. Code deeper down adds to the run that it is part of
by `current()`. ``docs/lineage.md`` describes the events.
"""

from mercury.runtime.lineage.code import Code, code_version
from mercury.runtime.lineage.datasets import dataset, offset_ranges
from mercury.runtime.lineage.delivery import FILE_NAME, FileDelivery, HttpDelivery, delivery
from mercury.runtime.lineage.record import Run
from mercury.runtime.lineage.run import PARENT_VARIABLE, current, environment, inside_project, run

__all__ = [
    "FILE_NAME",
    "PARENT_VARIABLE",
    "Code",
    "FileDelivery",
    "HttpDelivery",
    "Run",
    "code_version",
    "current",
    "dataset",
    "delivery",
    "environment",
    "inside_project",
    "offset_ranges",
    "run",
]
