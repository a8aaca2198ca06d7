"""Streams: Kafka or files to windows, rows and feature panes, exactly once, by epochs on Ray actors or in process.

job = StreamJob(flights, KafkaSource("127.0.0.1:9092", "flights"), windows=[by_carrier], lake=Lake("lake"))
report = job.run(until="end", drain=True)
"""

from mercury.streaming.coordinator import EpochProgress
from mercury.streaming.epochs import Limits
from mercury.streaming.job import StreamJob, StreamReport, StreamStatus, kafka_source, status, watermark_text
from mercury.streaming.log import Counts
from mercury.streaming.metrics import STREAM_METRICS, StreamMetrics
from mercury.streaming.sinks import DeltaSink, EpochOutput, MemorySink, Sink
from mercury.streaming.sources import FileSource, KafkaSource, MemorySource, Source
from mercury.streaming.worker import Check

__all__ = [
    "STREAM_METRICS",
    "Check",
    "Counts",
    "DeltaSink",
    "EpochOutput",
    "EpochProgress",
    "FileSource",
    "KafkaSource",
    "Limits",
    "MemorySink",
    "MemorySource",
    "Sink",
    "Source",
    "StreamJob",
    "StreamMetrics",
    "StreamReport",
    "StreamStatus",
    "kafka_source",
    "status",
    "watermark_text",
]
