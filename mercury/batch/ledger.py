"""What jobs have written, read back from the commits of their output tables: the ledger is the log itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mercury.batch.inputs import snapshots
from mercury.batch.run import newest_run
from mercury.definitions import Job
from mercury.errors import TableNotFoundError
from mercury.lake import Lake
from mercury.tables import Table


@dataclass(frozen=True)
class Entry:
    """The last run of one partition: the table version it made, by which engine, from which versions of the inputs.

    ``current`` says whether those are still the newest and the partition still holds what the run wrote; ``version`` is
    None for a job that has never run.
    """

    job: str
    partition: str
    version: int | None = None
    engine: str | None = None
    inputs: Mapping[str, int] = field(default_factory=dict)
    committed: int | None = None
    current: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; ``committed`` is in microseconds UTC."""
        return {**dataclasses.asdict(self), "inputs": dict(self.inputs)}


def entries(job: Job, lake: Lake) -> list[Entry]:
    """The last run of each partition of a job, by partition; one entry without a version when there is none."""
    uri = lake.table(job.output)
    found: dict[str, Entry] = {}
    if Table.exists(uri):
        newest = _newest(job, lake)
        history = Table.open(uri).history()
        for commit in history:
            made = commit.provenance
            if made.get("job") == job.name and made.get("partition") not in found:
                partition = str(made.get("partition"))
                inputs = dict(made.get("inputs", {}))
                current = (inputs, made.get("tables")) == newest and newest_run(history, job.name, partition) == commit
                found[partition] = Entry(
                    job.name, partition, commit.version, made.get("engine"), inputs, commit.timestamp, current
                )
    return [found[partition] for partition in sorted(found)] or [Entry(job.name, "-")]


def _newest(job: Job, lake: Lake) -> tuple[dict[str, int], dict[str, str]] | None:
    """Versions and table ids of the inputs as they are now; None when one is missing."""
    try:
        found = snapshots(job.inputs, lake)
    except TableNotFoundError:
        return None
    return {name: each.version for name, each in found.items()}, {name: each.id for name, each in found.items()}
