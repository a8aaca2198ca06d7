"""The input tables of a run, each pinned to one version, so that a run is a function of versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as fs

from mercury.lake import Lake
from mercury.tables import Table, TableVersion
from mercury.tables.scanning import DataFile


@dataclass(frozen=True)
class Input:
    """A table as of a version: the files to read after pruning by `where`, and their compressed bytes.

    ``where`` is a SQL expression (`mercury.expressions`) or None.
    """

    name: str
    uri: str
    snapshot: TableVersion
    data_files: tuple[DataFile, ...]
    bytes: int
    schema: pa.Schema
    partition_by: tuple[str, ...] = ()
    where: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Addresses of the files."""
        return tuple(each.path for each in self.data_files)


def pin(names: Sequence[str], lake: Lake, where: Mapping[str, str] | None = None) -> list[Input]:
    """The named tables of the lake at their newest versions; `TableNotFoundError` when one is missing."""
    return [_pin(name, lake.table(name), (where or {}).get(name)) for name in names]


def snapshots(names: Sequence[str], lake: Lake) -> dict[str, TableVersion]:
    """Only what each table is now, which costs one look at each log."""
    return {name: Table.open(lake.table(name)).snapshot for name in names}


def _pin(name: str, uri: str, where: str | None) -> Input:
    table = Table.open(uri)
    files = tuple(table.data_files(where, version=table.version))
    size = sum(_bytes(file.path) for file in files)
    return Input(name, uri, table.snapshot, files, size, table.schema, table.partition_by, where)


def _bytes(address: str) -> int:
    if "://" not in address:
        return Path(address).stat().st_size
    system, path = fs.FileSystem.from_uri(address)
    return int(system.get_file_info(path).size or 0)
