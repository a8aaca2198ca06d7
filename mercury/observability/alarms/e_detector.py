"""Shiryaev and Roberts' e-detector: evidence of a change at some window so far, with a promised average run length.

Source: Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", New England
Journal of Statistics in Data Science 2(2), 2024. With an e-value ``e`` of each window, ``M <- e (M + 1)``. While
nothing changes, ``M`` less the number of windows falls on average, so the average run length to ``M >= c`` is at least
``c`` windows. An average of such detectors is one again, whatever the values they watch have to do with each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EDetector:
    """The state after some windows; a value that is saved and compared.

    Parameters
    ----------
    run_length : average number of windows to a false alarm, at least.
    streams : how many values are watched; the evidence is their mean.
    evidence : logarithm of ``M`` by stream, for those that have any.
    """

    run_length: float
    streams: int
    evidence: Mapping[str, float] = field(default_factory=dict)

    @property
    def log_mean(self) -> float:
        """Logarithm of the mean evidence; minus infinity before the first window."""
        if not self.evidence:
            return -math.inf
        most = max(self.evidence.values())
        return most + math.log(sum(math.exp(value - most) for value in self.evidence.values()) / self.streams)

    @property
    def alarm(self) -> bool:
        """Whether the mean evidence has reached the run length."""
        return self.log_mean >= math.log(self.run_length)

    def after(self, log_e_values: Mapping[str, float]) -> EDetector:
        """The state after a window with these e-values; a stream without one keeps what it had.

        What a stream has is cut off where it alone raises the alarm: lowering evidence breaks no promise, and an alarm
        then ends within a few windows of what caused it. When an alarm has ended, all begin anew.
        """
        most = math.log(self.run_length) + math.log(self.streams)
        grown = dict(self.evidence)
        for name, value in log_e_values.items():
            before = self.evidence.get(name, -math.inf)
            # ln(M + 1), which overflows for no M.
            more = max(before, 0.0) + math.log1p(math.exp(-abs(before)))
            grown[name] = min(value + more, most)
        then = EDetector(self.run_length, self.streams, grown)
        if self.alarm and not then.alarm:
            return EDetector(self.run_length, self.streams)
        return then
