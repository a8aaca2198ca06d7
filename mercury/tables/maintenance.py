"""Keeping a table quick and small: compaction, vacuum, and the retention of its log."""

from __future__ import annotations

from deltalake import CommitProperties, DeltaTable

from mercury.tables.failures import translated
from mercury.time import HOUR, duration


def compact(delta: DeltaTable, target_bytes: int | None, properties: CommitProperties) -> None:
    """Join small files; the commit says that no data changed, so change feeds and streams stay quiet."""
    delta.optimize.compact(target_size=target_bytes, commit_properties=properties)
    delta.create_checkpoint()


def vacuum(delta: DeltaTable, retain: str, dry_run: bool, uri: str) -> list[str]:
    """Delete what no version within `retain` needs; part of an hour counts as a whole one."""
    hours = -(-duration(retain) // HOUR)
    with translated(uri):
        removed = delta.vacuum(retention_hours=hours, dry_run=dry_run, enforce_retention_duration=False, full=True)
        delta.update_incremental()
    return [str(path) for path in removed]


def expire_log(delta: DeltaTable) -> None:
    """Checkpoint, then drop entries beyond the retention that the table's properties set."""
    delta.create_checkpoint()
    delta.cleanup_metadata()
