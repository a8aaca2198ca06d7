"""Streams of events, and the windows that are kept of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mercury.definitions.aggregates import Aggregate
from mercury.definitions.base import Definition, Named, as_tuple, set_field
from mercury.definitions.schema import check_schema
from mercury.time import duration


@dataclass(frozen=True, eq=False)
class Kafka(Definition):
    """Events of a Kafka topic. Without ``bootstrap_servers`` the project's own broker is meant."""

    topic: str = ""
    bootstrap_servers: str | None = None
    format: str = "json"

    def __post_init__(self) -> None:
        if not self.topic:
            raise self.fail("Kafka() has no topic", "Write Kafka(topic='flights')")
        self.check_choice("format", self.format, ["json"])


@dataclass(frozen=True, eq=False)
class Stream(Named):
    """Events with a key and an event time, checked against a contract.

    Parameters
    ----------
    source : where events come from.
    schema : column name to plain type name (`mercury.definitions.TYPES`).
    event_time : the ``timestamp`` column that says when the event happened.
    key : column or columns that identify an event; later copies of a key are dropped as duplicates.
    lateness : how far behind the greatest event time of its partition an event may arrive and still count;
        later events are kept in the table of late rows and counted, never silently dropped.
    contract : path of an ODCS contract, beside the project file; rows that break it go to the dead letters.
    idle_timeout : a partition that is silent for so long, and read to its end, does not hold back the watermark.
    future_limit : an event time further than this ahead of the clock of the run is a dead letter.
    dedup : how long keys are remembered, in event time; None remembers them for ``lateness``.
    heartbeat : SQL condition on the rows that only tell how far time has come: they advance their partition's event
        time, so that windows close while nothing happens, and go nowhere else. Keys and contract do not apply to them.
    """

    source: Kafka | None = None
    schema: Mapping[str, str] = field(default_factory=dict)
    event_time: str = ""
    key: Sequence[str] = ()
    lateness: str = "0s"
    contract: str | None = None
    idle_timeout: str = "30s"
    future_limit: str = "1d"
    dedup: str | None = None
    heartbeat: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source is None:
            raise self.fail("the stream has no source", "Write source=Kafka(topic='…')")
        set_field(self, "schema", check_schema(self.schema, self.address))
        set_field(self, "key", as_tuple(self.key))
        if self.schema.get(self.event_time) != "timestamp":
            raise self.fail(
                f"event_time={self.event_time!r} is not a timestamp column of the schema",
                f"Timestamp columns: {', '.join(c for c, t in self.schema.items() if t == 'timestamp') or 'none'}",
            )
        for column in self.key:
            if column not in self.schema:
                raise self.fail(f"key column {column!r} is not in the schema", f"Columns: {', '.join(self.schema)}")
        for name in ("lateness", "idle_timeout", "future_limit", "dedup"):
            self.check_duration(name, getattr(self, name))


@dataclass(frozen=True, eq=False)
class Window(Named):
    """Aggregates of a stream per key and time window: tumbling, or hopping when ``slide`` is given.

    A window is emitted once, when the watermark passes its end; ``where`` chooses the events that count.
    Bounds are ``[start, end)`` in event time, aligned to 1970-01-01T00:00:00Z.
    """

    source: Stream | None = None
    keys: Sequence[str] = ()
    size: str = "1h"
    slide: str | None = None
    aggregates: Mapping[str, Aggregate] = field(default_factory=dict)
    where: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        set_field(self, "keys", as_tuple(self.keys))
        if self.source is None:
            raise self.fail("the window has no source", "Write source=flights, a Stream")
        for column in self.keys:
            if column not in self.source.schema:
                raise self.fail(
                    f"key {column!r} is not in {self.source.address}", f"Columns: {', '.join(self.source.schema)}"
                )
        if not self.aggregates:
            raise self.fail("the window keeps nothing", "Give aggregates={'flights': Count()}")
        self.check_duration("size", self.size)
        self.check_duration("slide", self.slide)
        if self.slide is not None and duration(self.slide) > duration(self.size):
            raise self.fail(
                f"slide={self.slide} is longer than size={self.size}", "Events between windows would be lost"
            )
        for name, aggregate in self.aggregates.items():
            if aggregate.over is not None:
                raise self.fail(f"aggregate {name!r} has over={aggregate.over!r}", "A window's length is its size")
