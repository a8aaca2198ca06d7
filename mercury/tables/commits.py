"""What a commit is: the transaction that makes it exactly-once, and the provenance that travels with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deltalake import CommitProperties
from deltalake import Transaction as DeltaTransaction

from mercury.errors import UsageError

PROVENANCE_KEY = "mercury.provenance"
"""Key of a commit's custom metadata; its value is canonical JSON."""
MAX_COMMIT_RETRIES = 50
"""How often an append looks for a free version; the default of 15 loses writers when a dozen append at once."""


class TableVersion(NamedTuple):
    """What a table was at one moment: equal ones hold the same rows.

    A table that is dropped and made again starts at version 0 under another id, so neither address nor number tells it
    from the old one. In JSON it is the list of both.

    Parameters
    ----------
    id : Delta's table id, made anew with the table.
    version : number of its commit.
    """

    id: str
    version: int


@dataclass(frozen=True)
class Transaction:
    """Identity of a piece of work: a table applies each (application, version) at most once.

    Parameters
    ----------
    app_id : name of the writer that stays the same over restarts, for instance a job and its output.
    version : grows with each piece of work (an epoch, a run number); a lower or equal one was applied already.
    """

    app_id: str
    version: int

    def __post_init__(self) -> None:
        if not self.app_id:
            raise UsageError("a transaction needs an application id", fix="Name the job, as in 'flights/rows'")
        if not 0 <= self.version < 2**63:
            raise UsageError(f"{self.version} is not a transaction version", fix="Count up from 0")


@dataclass(frozen=True)
class Commit:
    """What a write left behind in the table's log.

    Parameters
    ----------
    version : table version after it.
    skipped : the transaction had been applied before, so nothing was written.
    raced : it was skipped because another writer committed the same transaction at the same moment.
    rows : rows that were written; 0 when skipped, None in a history that does not say.
    provenance : what the rows were made from: versions or offset ranges of inputs, run, code version.
    operation : what the log calls it, as in WRITE, MERGE, OPTIMIZE.
    timestamp : microseconds UTC, by the writer's clock.
    """

    version: int
    skipped: bool = False
    raced: bool = False
    rows: int | None = 0
    provenance: Mapping[str, Any] = field(default_factory=dict)
    operation: str = "WRITE"
    timestamp: int | None = None


def commit_properties(
    transaction: Transaction | None, provenance: Mapping[str, object] | None, retries: int = MAX_COMMIT_RETRIES
) -> CommitProperties:
    """What delta-rs puts into the log beside the files of one commit."""
    return CommitProperties(
        custom_metadata={PROVENANCE_KEY: canonical_json(provenance)} if provenance else None,
        max_commit_retries=retries,
        app_transactions=[DeltaTransaction(transaction.app_id, transaction.version)] if transaction else None,
    )


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no blanks, so that equal values are equal texts.

    >>> canonical_json({"b": [1, 2], "a": None})
    '{"a":null,"b":[1,2]}'
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the provenance cannot be written as JSON: {error}", fix="Use text, numbers, lists") from None


def read_commit(entry: Mapping[str, Any]) -> Commit:
    """The commit in one entry of delta-rs's history, whoever wrote it."""
    text = entry.get(PROVENANCE_KEY)
    metrics = entry.get("operationMetrics") or {}
    rows = next(
        (metrics[name] for name in ("num_added_rows", "numOutputRows", "num_output_rows") if name in metrics), None
    )
    return Commit(
        version=int(entry["version"]),
        rows=None if rows is None else int(rows),
        provenance=_parse(text),
        operation=str(entry.get("operation", "UNKNOWN")),
        timestamp=int(entry["timestamp"]) * 1000 if "timestamp" in entry else None,
    )


def _parse(text: object) -> dict[str, Any]:
    if not isinstance(text, str):
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
