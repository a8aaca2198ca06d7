"""Lineage: every run says what it read and wrote, with versions, as OpenLineage events.

    with lineage.run("flight_features", settings=settings) as run:
        run.input("raw_flights", version=3)
        run.output("flight_features", version=7, rows=336_776)

A START is written when the block begins and a COMPLETE or FAIL when it ends: into ``lineage.jsonl`` of the state
folder, or to ``settings.lineage_url``. Telling never fails a run.
"""

from mercury.runtime.lineage.delivery import FILE_NAME, FileDelivery, HttpDelivery, delivery
from mercury.runtime.lineage.run import PARENT_VARIABLE, Run, code_version, offset_ranges, run

__all__ = [
    "FILE_NAME",
    "PARENT_VARIABLE",
    "FileDelivery",
    "HttpDelivery",
    "Run",
    "code_version",
    "delivery",
    "offset_ranges",
    "run",
]
