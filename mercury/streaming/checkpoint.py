"""Snapshots of a job's state: a base now and then, and what each epoch added in between.

A snapshot is one file: magic, length and CRC of the header, header (JSON: format, epoch, kind, parent, positions,
watermarks, sections with their CRC), then the sections: `mercury.summaries` for panes, Arrow IPC for remembered keys. A
delta names its parent; restoring follows parents to a base and folds forward. Files are created once and never changed;
the job's log says which one counts.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mercury.definitions import canonical_json
from mercury.errors import ConflictError, CorruptDataError, NotFoundError
from mercury.streaming.epochs import write_exclusively
from mercury.streaming.state import EpochDelta, Fold, JobState
from mercury.streaming.watermarks import Watermarks
from mercury.summaries import from_ipc, to_ipc

MAGIC = b"MERCSNAP"
FORMAT = 1
"""Version of the file; a reader refuses another."""

_PREFIX = struct.Struct("<8sII")
_BASE, _DELTA = "base", "delta"


@dataclass(frozen=True)
class Snapshots:
    """The snapshot files of one job, in a folder that all its workers can read."""

    folder: Path
    fsync: bool = True

    def write(self, state: JobState, delta: EpochDelta | None, parent: str | None, incarnation: int) -> str:
        """Save a state, as a delta on its parent when one is given, and return the file's name."""
        kind = _DELTA if delta is not None and parent is not None else _BASE
        part: JobState | EpochDelta = delta if delta is not None and kind == _DELTA else state
        name = f"{state.epoch:012d}-{incarnation}.{kind}"
        self.folder.mkdir(parents=True, exist_ok=True)
        data = _encode(part, kind, parent if kind == _DELTA else None)
        write_exclusively(self.folder / name, data, fsync=self.fsync)
        return name

    def restore(self, name: str, fold: Fold) -> JobState:
        """The state that a snapshot stands for.

        Raises `NotFoundError` for a missing file, `CorruptDataError` for a damaged one, and `ConflictError` when a
        window's definition is not the one whose panes were saved. A window that is new starts with no panes; panes of
        one that is gone are left out.
        """
        chain: list[tuple[dict[str, Any], memoryview]] = []
        following: str | None = name
        while following is not None:
            header, sections = self._read(following)
            chain.append((header, sections))
            following = header["parent"]
        header, sections = chain.pop()
        state = JobState(**_decode(header, sections, fold, self.folder))
        while chain:
            header, sections = chain.pop()
            state, _ = fold.apply(state, EpochDelta(**_decode(header, sections, fold, self.folder)))
        return state

    def forget(self, keep: str) -> None:
        """Remove the files that restoring `keep` does not need."""
        needed: set[str] = set()
        following: str | None = keep
        while following is not None:
            needed.add(following)
            following = self._read(following)[0]["parent"]
        oldest = min(int(name.split("-")[0]) for name in needed)
        for path in self.folder.iterdir():
            epoch = path.name.split("-")[0]
            if path.name not in needed and epoch.isdigit() and int(epoch) < oldest:
                path.unlink(missing_ok=True)

    def _read(self, name: str) -> tuple[dict[str, Any], memoryview]:
        path = self.folder / name
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(
                f"the snapshot {name} that the job's log names is gone",
                where=str(self.folder),
                fix="Restore the state folder, or start the job anew with empty tables",
            ) from error
        try:
            magic, length, crc = _PREFIX.unpack_from(data)
            text = data[_PREFIX.size : _PREFIX.size + length]
            if magic != MAGIC or zlib.crc32(text) != crc:
                raise ValueError("its header is damaged")
            header = json.loads(text)
            if header["format"] != FORMAT:
                raise ValueError(f"its format {header['format']} is not {FORMAT}")
            sections = memoryview(data)[_PREFIX.size + length :]
            for section in header["sections"]:
                if zlib.crc32(_section(sections, section)) != section["crc"]:
                    raise ValueError(f"the CRC of {section['name']} is wrong")
        except (struct.error, ValueError, KeyError) as error:
            raise CorruptDataError(
                f"not a snapshot: {error}", where=str(path), fix="Restore the file from a copy"
            ) from error
        return header, sections


def _encode(part: JobState | EpochDelta, kind: str, parent: str | None) -> bytes:
    bodies: list[tuple[str, bytes]] = []
    for name, summary in sorted(part.panes.items()):
        bodies.append((f"panes/{name}/{summary.spec.hash}", to_ipc(summary)))
    for partition, memory in sorted(part.memory.items()):
        bodies.append((f"memory/{partition}", _table_bytes(memory)))
    sections, at = [], 0
    for name, body in bodies:
        sections.append({"name": name, "offset": at, "length": len(body), "crc": zlib.crc32(body)})
        at += len(body)
    header = canonical_json(
        {
            "format": FORMAT,
            "kind": kind,
            "parent": parent,
            "epoch": part.epoch,
            "positions": _keyed(part.positions),
            "lateness": part.watermarks.lateness,
            "latest": _keyed(part.watermarks.latest),
            "watermark": part.watermarks.current,
            "sections": sections,
        }
    )
    return b"".join([_PREFIX.pack(MAGIC, len(header), zlib.crc32(header)), header, *(body for _, body in bodies)])


def _decode(header: Mapping[str, Any], data: memoryview, fold: Fold, folder: Path) -> dict[str, Any]:
    windows = {window.name: window for window in fold.windows}
    panes, memory = {}, {}
    for section in header["sections"]:
        body = _section(data, section)
        kind, name, *rest = section["name"].split("/")
        if kind == "memory":
            memory[int(name)] = pa.ipc.open_file(pa.py_buffer(body)).read_all()
        elif name in windows:
            if windows[name].spec.hash != rest[0]:
                raise ConflictError(
                    f"window {name!r} is not what it was when its open panes were saved",
                    where=str(folder),
                    fix="Give the changed window another name; the old one closes with what it has when it is put back",
                )
            panes[name] = from_ipc(bytes(body), windows[name].spec)
    return {
        "epoch": header["epoch"],
        "watermarks": Watermarks(header["lateness"], _unkeyed(header["latest"]), header["watermark"]),
        "positions": _unkeyed(header["positions"]),
        "panes": panes,
        "memory": memory,
    }


def _table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _section(data: memoryview, section: Mapping[str, Any]) -> memoryview:
    return data[section["offset"] : section["offset"] + section["length"]]


def _keyed(numbers: Mapping[int, int]) -> dict[str, int]:
    return {str(key): value for key, value in sorted(numbers.items())}


def _unkeyed(numbers: Mapping[str, int]) -> dict[int, int]:
    return {int(key): value for key, value in numbers.items()}
