"""Records in memory as a source: for tests and for the replay driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mercury.streaming import records


@dataclass(frozen=True)
class MemorySource:
    """A table of `records.RECORDS` per partition; offsets increase but need not be dense."""

    tables: Mapping[int, pa.Table]
    name: str = "memory"

    @classmethod
    def of(cls, values: Mapping[int, Sequence[bytes | None]], name: str = "memory") -> MemorySource:
        """A source of these values, with offsets from 0."""
        return cls(
            {
                partition: pa.Table.from_arrays(
                    [
                        pa.array(range(len(items)), pa.int64()),
                        pa.nulls(len(items), pa.timestamp("us", tz="UTC")),
                        pa.nulls(len(items), pa.binary()),
                        pa.array(items, pa.binary()),
                    ],
                    schema=records.RECORDS,
                )
                for partition, items in values.items()
            },
            name,
        )

    def open(self) -> MemoryReader:
        """A reader of the tables."""
        return MemoryReader(self.tables)


class MemoryReader:
    """Slices the tables."""

    def __init__(self, tables: Mapping[int, pa.Table]) -> None:
        self._tables = tables

    def bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        """0, and one past the last offset."""
        ends = {p: table["offset"][-1].as_py() + 1 if table.num_rows else 0 for p, table in self._tables.items()}
        return dict.fromkeys(self._tables, 0), ends

    def read(self, ranges: Mapping[int, tuple[int, int]]) -> dict[int, pa.Table]:
        """The records of the ranges."""
        return {p: records.between(self._tables[p], low, high) for p, (low, high) in ranges.items()}

    def close(self) -> None:
        """Nothing to release."""
