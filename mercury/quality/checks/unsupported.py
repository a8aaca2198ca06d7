"""What a contract demands and nothing here can evaluate: it is listed, so that it is never taken for a pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mercury.quality.checks.base import Check, Facts, Measurement
from mercury.quality.results import Verdict


@dataclass(frozen=True)
class Unsupported(Check):
    """A part of the contract with the reason why it is not evaluated."""

    why: str
    about: tuple[str, ...] = ()

    kind: ClassVar[str] = "unsupported"
    needs_columns: ClassVar[bool] = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.about

    @property
    def demand(self) -> str:
        return ""

    def measure(self, facts: Facts) -> Measurement:
        return Measurement(note=self.why, verdict=Verdict.NOT_EVALUATED)
