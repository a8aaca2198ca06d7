"""Keeping a table quick and small: compaction, vacuum, and the retention of its log."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import unquote

from deltalake import CommitProperties, DeltaTable

from mercury.tables.failures import translated
from mercury.tables.layout import PROPERTIES
from mercury.tables.reading import require_plain
from mercury.time import HOUR, SECOND, duration

_UNFINISHED = re.compile(r".*\.parquet#\d+|.*\.json#\d+|_commit_.*\.json\.tmp(#\d+)?")
"""Names of files that a writer was killed over: the object store's uploads and the log's drafts."""
_ENTRY = re.compile(r"\.?(\d{20})\..*")
"""Names of log entries, checkpoints, and the checksums that Hadoop keeps beside them in hidden files."""


def compact(delta: DeltaTable, target_bytes: int | None, properties: CommitProperties) -> None:
    """Join small files; the commit says that no data changed, so change feeds and streams stay quiet."""
    require_plain(delta, str(delta.table_uri))
    delta.optimize.compact(target_size=target_bytes, writer_properties=PROPERTIES, commit_properties=properties)
    delta.create_checkpoint()


def vacuum(delta: DeltaTable, retain: str, dry_run: bool, uri: str) -> list[str]:
    """Delete what no version within `retain` needs; part of an hour counts as a whole one."""
    require_plain(delta, uri)
    kept = duration(retain)
    with translated(uri):
        removed = delta.vacuum(
            retention_hours=-(-kept // HOUR), dry_run=dry_run, enforce_retention_duration=False, full=True
        )
        delta.update_incremental()
        root = _folder(delta)
        unfinished = [] if root is None else _unfinished(root, kept)
        for path in [] if dry_run else unfinished:
            path.unlink(missing_ok=True)
    return [*map(str, removed), *(path.relative_to(root).as_posix() for path in unfinished if root)]


def expire_log(delta: DeltaTable) -> None:
    """Checkpoint, then drop entries beyond the retention that the table's properties set."""
    delta.create_checkpoint()
    delta.cleanup_metadata()


def trim_log(delta: DeltaTable, keep: int) -> int:
    """Delete the log entries that no version needs but those more than `keep` behind; returns how many.

    Only in a folder, where every commit looks at all entries; an object store lists from the last checkpoint on.
    """
    root = _folder(delta)
    if root is None:
        return 0
    entries = {path: int(found[1]) for path in _log_files(root) if (found := _ENTRY.fullmatch(path.name))}
    checkpoints = [version for path, version in entries.items() if ".checkpoint" in path.name]
    first = max((version for version in checkpoints if version <= int(delta.version()) - keep), default=0)
    old = [path for path, version in entries.items() if version < first]
    # Ascending: what a crash leaves is a log without its beginning, never one with a hole.
    for path in sorted(old):
        path.unlink(missing_ok=True)
    return len(old)


def remove_log_before(delta: DeltaTable) -> None:
    """Checkpoint the newest version and delete every entry before it, whatever the retention is.

    The newest entry stays, since readers look for it beside the checkpoint.
    """
    delta.create_checkpoint()
    root = _folder(delta)
    assert root is not None
    version = int(delta.version())
    for path in _log_files(root):
        entry = _ENTRY.fullmatch(path.name)
        older = entry is not None and int(entry[1]) < version
        if older or _UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _unfinished(root: Path, kept: int) -> list[Path]:
    """Files of dead writers that are older than `kept` microseconds; delta-rs does not list them."""
    limit = time.time() - kept / SECOND
    return [path for path in root.rglob("*") if _UNFINISHED.fullmatch(path.name) and path.stat().st_mtime <= limit]


def _log_files(root: Path) -> list[Path]:
    return list((root / "_delta_log").iterdir())


def _folder(delta: DeltaTable) -> Path | None:
    uri = str(delta.table_uri)
    if "://" in uri and not uri.startswith("file://"):
        return None
    return Path(unquote(uri.removeprefix("file://")))
