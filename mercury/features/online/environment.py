"""The LMDB environments of online stores: one per folder and process, shared by its writer and its readers."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import lmdb

FIRST_MAP_BYTES = 64 << 20
"""Address space of a new store. The file is sparse; the map doubles when it is full."""

MAX_READERS = 1024
"""Slots for threads that read at the same moment, over all processes; LMDB's default of 126 is few for a server."""

_open: dict[tuple[int, str], lmdb.Environment] = {}
_lock = threading.Lock()


def environment(folder: Path) -> lmdb.Environment:
    """The environment of a folder, created on first use.

    Readers register in LMDB's lock table (a write to shared memory, no system call): without it a writer may reuse
    pages that a slow reader still reads. LMDB forbids opening a folder twice in a process, and using one after a fork.
    """
    key = (os.getpid(), str(folder.resolve()))
    with _lock:
        found = _open.get(key)
        if found is None:
            folder.mkdir(parents=True, exist_ok=True)
            found = lmdb.open(
                str(folder),
                map_size=FIRST_MAP_BYTES,
                max_readers=MAX_READERS,
                max_dbs=0,
                metasync=True,
                readahead=False,
                writemap=False,
            )
            _open[key] = found
        return found


def close(folder: Path) -> None:
    """Close the folder's environment in this process; nothing may be using it."""
    with _lock:
        found = _open.pop((os.getpid(), str(folder.resolve())), None)
    if found is not None:
        found.close()


def grow(env: lmdb.Environment) -> int:
    """Double the map of an environment that has no transaction open in this process; returns its new size."""
    size = 2 * int(env.info()["map_size"])
    env.set_mapsize(size)
    return size
