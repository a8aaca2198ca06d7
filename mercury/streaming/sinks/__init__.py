"""Where an epoch's output goes."""

from mercury.streaming.sinks.base import EpochOutput, Sink
from mercury.streaming.sinks.delta import DeltaSink
from mercury.streaming.sinks.memory import MemorySink

__all__ = ["DeltaSink", "EpochOutput", "MemorySink", "Sink"]
