"""Where events come from: a source that pickles, and the reader that it opens."""

from mercury.streaming.sources.base import Reader, Source
from mercury.streaming.sources.files import FileSource
from mercury.streaming.sources.kafka import KafkaSource
from mercury.streaming.sources.memory import MemorySource

__all__ = ["FileSource", "KafkaSource", "MemorySource", "Reader", "Source"]
