"""The bytes of sorted runs and manifests on disk: written whole or not at all, read by memory map."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from mercury.errors import CorruptDataError, DiskFullError

FORMAT = 1
"""Version of the manifest, of the runs and of the bucket function; a reader refuses another."""

BACKFILL = "Run `mercury features backfill` for the view"


def write_run(path: Path, rows: pa.Table, view: str) -> None:
    """Write a run: under a temporary name, synced, renamed, folder synced."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_synced(temporary, run_bytes(rows, view))
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def run_bytes(rows: pa.Table, view: str) -> pa.Buffer:
    """The bytes of a run: one uncompressed IPC record batch, whose metadata says format and view."""
    metadata = {b"mercury.format": str(FORMAT).encode(), b"mercury.view": view.encode()}
    sink = pa.BufferOutputStream()
    schema = rows.schema.with_metadata(metadata)
    with pa.ipc.new_file(sink, schema) as writer:
        for batch in rows.combine_chunks().to_batches():
            writer.write_batch(batch.replace_schema_metadata(metadata))
    return sink.getvalue()


def read_run(path: Path, schema: pa.Schema) -> pa.Table:
    """The rows of a run, mapped; `CorruptDataError` unless it holds this schema in this format."""
    try:
        source = pa.memory_map(str(path))
    except FileNotFoundError as error:
        raise CorruptDataError("a run that the manifest names is missing", where=str(path), fix=BACKFILL) from error
    with source:
        try:
            rows = pa.ipc.open_file(source).read_all()
        except (pa.ArrowInvalid, OSError) as error:
            raise CorruptDataError(f"a run cannot be read: {error}", where=str(path), fix=BACKFILL) from error
    found = (rows.schema.metadata or {}).get(b"mercury.format")
    if found != str(FORMAT).encode():
        raise CorruptDataError(f"run format {found!r} is not {FORMAT}", where=str(path), fix="Upgrade Mercury")
    rows = rows.replace_schema_metadata(None)
    if not rows.schema.equals(schema):
        raise CorruptDataError("a run has other columns than its manifest says", where=str(path))
    return rows


def write_synced(path: Path, data: bytes | pa.Buffer) -> None:
    """Write and sync a file; `DiskFullError` when there is no room."""
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (28, 122):  # ENOSPC, EDQUOT
            raise DiskFullError(
                "no room for feature rows; nothing was written", where=str(path.parent), fix="Free space and run again"
            ) from error
        raise


def sync_folder(folder: Path) -> None:
    """Make the names of a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
