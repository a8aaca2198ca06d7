"""Which engine runs a query: a pure choice by the bytes to read, which can be forced and explains itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mercury.errors import UsageError

Engine = Literal["duckdb", "spark"]

DUCKDB_BYTES = 2 << 30
"""Compressed bytes up to which DuckDB in one task is the fastest engine and fits one machine."""


@dataclass(frozen=True)
class Choice:
    """An engine, the compressed bytes that it will read, and why it was chosen."""

    engine: Engine
    bytes: int
    reason: str

    def explain(self) -> str:
        """One line for a person.

        >>> choose(5 << 20).explain()
        'duckdb for 5.0 MiB: less than 2.0 GiB fit one machine'
        """
        return f"{self.engine} for {_size(self.bytes)}: {self.reason}"


def choose(size: int, engine: str = "auto", *, limit: int = DUCKDB_BYTES) -> Choice:
    """The engine for a query that reads `size` bytes of Parquet after pruning.

    `engine` forces one; "auto" takes DuckDB below `limit` and Spark on Ray above. Raises `UsageError` for an engine
    that runs no SQL.
    """
    if engine == "duckdb":
        return Choice("duckdb", size, "asked for")
    if engine == "spark":
        return Choice("spark", size, "asked for")
    if engine != "auto":
        raise UsageError(
            f"engine {engine!r} runs no SQL query",
            where="engine",
            fix="Use 'auto', 'duckdb' or 'spark'; work on Ray tasks is written with mercury.runtime.shuffle",
        )
    if size < limit:
        return Choice("duckdb", size, f"less than {_size(limit)} fit one machine")
    return Choice("spark", size, f"{_size(limit)} or more go to the cluster")


def _size(count: int) -> str:
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.1f} {units[0]}"
