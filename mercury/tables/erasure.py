"""Erasure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ErasureCertificate:
    """What was decoded."""


def erase(table: Any, column: str, ids: Iterable[object]) -> ErasureCertificate:
    raise NotImplementedError
