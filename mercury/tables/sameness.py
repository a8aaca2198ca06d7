"""Whether the table at an address is still the one that was opened: it may have been dropped and made anew meanwhile.

delta-rs keeps what it read of a log and takes newer entries to follow it, whoever wrote them. So the entry of the
version that was seen last is looked at again: entries never change, and a table that is made anew has others.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler

Stamp: TypeAlias = tuple[int, object]
"""A version and what tells its log entry from one of another table."""

_HEAD = 4096
"""Bytes of an entry on object storage that are compared: the first of them hold times and names made at random."""


def stamp(delta: DeltaTable, version: int | None = None) -> Stamp | None:
    """The stamp of a version (the one that `delta` is at), or None when its log entry is no longer there."""
    number = int(delta.version()) if version is None else version
    name = f"_delta_log/{number:020d}.json"
    root = str(delta.table_uri)
    if "://" not in root or root.startswith("file://"):
        try:
            found = (Path(unquote(root.removeprefix("file://"))) / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return number, (found.st_ino, found.st_size, found.st_mtime_ns)
    try:
        with pafs.PyFileSystem(DeltaStorageHandler.from_table(delta._table)).open_input_file(name) as entry:
            return number, (entry.size(), entry.read(_HEAD))
    except FileNotFoundError:
        return None


def is_same(delta: DeltaTable, seen: Stamp | None) -> bool:
    """Whether the log still holds the entry that was seen; False as well when it can no longer be told."""
    return seen is not None and stamp(delta, seen[0]) == seen
