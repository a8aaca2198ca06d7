"""Test drivers for streams: a clock that is told the time, replays without a broker, crashes on purpose."""

from mercury.streaming.testing.chaos import Crash, CrashPoint
from mercury.streaming.testing.replay import ManualClock, Replay

__all__ = ["Crash", "CrashPoint", "ManualClock", "Replay"]
