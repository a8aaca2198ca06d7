"""Crashes between the steps of an epoch, one at a time, so that a test can try them all."""

from __future__ import annotations

from dataclasses import dataclass, field


class Crash(BaseException):
    """The process is gone, as far as the test is concerned: no handler of ours may catch it."""


@dataclass
class CrashPoint:
    """A probe of `StreamJob` that crashes after the n-th step (from 1); without a number it only notes the steps."""

    at: int | None = None
    steps: list[str] = field(default_factory=list)

    def __call__(self, step: str) -> None:
        """Called by the engine with the name of the step that it completed."""
        self.steps.append(step)
        if len(self.steps) == self.at:
            raise Crash(f"after step {self.at}, {step}")
