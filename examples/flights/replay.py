"""The replayer: sends the feed to a Kafka topic, or lays it down as files, in the order of delivery."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flights.events import PARTITIONS, Feed
from mercury.runtime.hashing import bucket_of


class Replayer(Protocol):
    """Delivers the next events of a feed."""

    def deliver(self, stop: int) -> None:
        """Deliver the events from where the last call ended up to number ``stop`` of the feed; return when they are
        acknowledged."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


class KafkaReplayer:
    """Sends events with their delivery time, keyed by flight, so that a flight's events keep their order."""

    def __init__(self, feed: Feed, bootstrap: str, topic: str) -> None:
        from kafka import KafkaProducer

        self._feed, self._topic, self._at = feed, topic, 0
        self._producer: Any = KafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type="lz4",
            acks="all",
            enable_idempotence=True,
            linger_ms=50,
            batch_size=256 * 1024,
        )

    def deliver(self, stop: int) -> None:
        """Send up to event ``stop`` and wait until the broker has all of it."""
        send, topic = self._producer.send, self._topic
        for row in range(self._at, stop):
            at, partition = int(self._feed.delivered[row]) // 1000, int(self._feed.partitions[row])
            place = {"key": self._feed.keys[row]} if partition < 0 else {"partition": partition}
            send(topic, value=self._feed.values[row], timestamp_ms=at, **place)
        self._producer.flush()
        self._at = max(self._at, stop)

    def close(self) -> None:
        """Close the producer."""
        self._producer.close()


class FileReplayer:
    """Writes each delivery as one Parquet file of records, partitioned by flight as a topic would be."""

    def __init__(self, feed: Feed, folder: Path) -> None:
        self._feed, self._folder, self._at, self._files = feed, folder, 0, 0
        self._offsets = np.zeros(PARTITIONS, dtype=np.int64)
        folder.mkdir(parents=True, exist_ok=True)

    def deliver(self, stop: int) -> None:
        """Write up to event ``stop``."""
        if stop <= self._at:
            return
        rows = slice(self._at, stop)
        keys = pa.array(self._feed.keys[rows], pa.binary())
        told = self._feed.partitions[rows]
        partition = np.where(told < 0, bucket_of([keys], PARTITIONS), told).astype(np.int32)
        offset = np.empty(len(partition), dtype=np.int64)
        for number in range(PARTITIONS):
            mine = partition == number
            offset[mine] = self._offsets[number] + np.arange(mine.sum())
            self._offsets[number] += mine.sum()
        records = pa.table(
            {
                "partition": partition,
                "offset": offset,
                "timestamp": pa.array(self._feed.delivered[rows], pa.timestamp("us", tz="UTC")),
                "key": keys,
                "value": pa.array(self._feed.values[rows], pa.binary()),
            }
        )
        # The job looks into the folder while files are written: it may see whole ones only.
        unfinished = self._folder / f"delivery-{self._files:05d}.part"
        pq.write_table(records, unfinished, row_group_size=50_000)
        unfinished.rename(unfinished.with_suffix(".parquet"))
        self._at, self._files = stop, self._files + 1

    def close(self) -> None:
        """Nothing is held open."""
