"""Windows and hours of the day in a time zone, daylight saving included."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from mercury.time import DAY, HOUR, MINUTE, SECOND

_ZONE_STEP = 15 * MINUTE
"""Offsets change at multiples of this, everywhere."""


@dataclass(frozen=True)
class Windows:
    """Consecutive windows of event time, aligned to midnight in a time zone.

    ``length`` is in microseconds of the clock on the wall: a day is one also when it has 23 or 25 hours.
    """

    length: int
    timezone: str = "UTC"

    def number(self, instants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The window and the hour of the day (0 to 23) of each instant, int64, from microseconds UTC."""
        wall = instants + self._offsets(instants)
        return wall // self.length, wall // HOUR % 24

    def start(self, window: int) -> int:
        """Microseconds UTC of a window's first instant."""
        wall = datetime(1970, 1, 1) + timedelta(microseconds=window * self.length)
        aware = wall.replace(tzinfo=ZoneInfo(self.timezone))
        offset = aware.utcoffset()
        assert offset is not None
        return window * self.length - offset // timedelta(microseconds=1)

    def _offsets(self, instants: np.ndarray) -> np.ndarray:
        if self.timezone == "UTC" or not len(instants):
            return np.zeros(len(instants), np.int64)
        zone = ZoneInfo(self.timezone)
        steps, inverse = np.unique(instants // _ZONE_STEP, return_inverse=True)
        offsets = []
        for step in steps.tolist():
            offset = datetime.fromtimestamp(step * _ZONE_STEP // SECOND, zone).utcoffset()
            assert offset is not None
            offsets.append(offset // timedelta(microseconds=1))
        return np.array(offsets, np.int64)[inverse]


__all__ = ["DAY", "Windows"]
