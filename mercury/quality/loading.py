"""Contracts from files."""

from __future__ import annotations

from pathlib import Path

from mercury.quality.contract import Contract
from mercury.quality.formats.odcs import read_contract


def load_contract(path: str | Path, table: str | None = None) -> Contract:
    """Read an ODCS contract file.

    Parameters
    ----------
    table : which table of the contract; may be left out when it has one.

    Raises `NotFoundError` when there is no such file or table, `DefinitionError` with file, line, value and fix for
    every fault that the file has.
    """
    return read_contract(path, table)
