"""Faults of a contract file: collected, so that one reading shows all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mercury.errors import DefinitionError


@dataclass(frozen=True)
class Fault:
    """One fault: ``file:line``, what is wrong with the offending value, and what to write instead."""

    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.fix}"


def raise_faults(faults: Sequence[Fault]) -> None:
    """Raise `DefinitionError` for the first fault, with the others as its excerpt; return when there is none."""
    if not faults:
        return
    first, *others = faults
    more = f" (and {len(others)} more)" if others else ""
    raise DefinitionError(
        first.what + more, where=first.where, fix=first.fix, excerpt="\n".join(f"  {fault}" for fault in others) or None
    )
