"""The input tables of a run, each pinned to one version, so that a run is a function of versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as fs

from mercury.lake import Lake
from mercury.tables import Table


@dataclass(frozen=True)
class Input:
    """A table as of a version: the files to read after pruning by `where`, and their compressed bytes.

    ``where`` is a SQL expression (`mercury.expressions`) or None.
    """

    name: str
    uri: str
    version: int
    files: tuple[str, ...]
    bytes: int
    schema: pa.Schema
    partition_by: tuple[str, ...] = ()
    where: str | None = None


def pin(names: Sequence[str], lake: Lake, where: Mapping[str, str] | None = None) -> list[Input]:
    """The named tables of the lake at their newest versions; `TableNotFoundError` when one is missing."""
    return [_pin(name, lake.table(name), (where or {}).get(name)) for name in names]


def versions(names: Sequence[str], lake: Lake) -> dict[str, int]:
    """Only the newest version of each table, which costs one look at each log."""
    return {name: Table.open(lake.table(name)).version for name in names}


def _pin(name: str, uri: str, where: str | None) -> Input:
    table = Table.open(uri)
    files = tuple(table.files(where, version=table.version))
    return Input(
        name, uri, table.version, files, sum(_bytes(file) for file in files), table.schema, table.partition_by, where
    )


def _bytes(address: str) -> int:
    if "://" not in address:
        return Path(address).stat().st_size
    system, path = fs.FileSystem.from_uri(address)
    return int(system.get_file_info(path).size or 0)
