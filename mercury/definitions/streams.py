"""Streams of events, and the windows that are kept of them."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PureWindowsPath

from mercury.definitions.aggregates import Aggregate
from mercury.definitions.base import Definition, Named, set_field, shown
from mercury.definitions.schema import check_schema
from mercury.definitions.values import Duration, Length, Sql
from mercury.errors import did_you_mean
from mercury.time import duration, format_duration

RESERVED_COLUMNS = ("_partition", "_offset", "_late_by_us")
"""Columns that a stream's tables have beside those of its schema."""

WINDOW_COLUMNS = ("window_start", "window_end", "pane_start", "scalars")
"""Names that windows and their state have taken."""

MAX_PANES = 100_000
"""Panes that one window may be cut into: each is state that is kept until the window closes."""

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, eq=False)
class Kafka(Definition):
    """Events of a Kafka topic. Without ``bootstrap_servers`` the project's own broker is meant."""

    topic: str = ""
    bootstrap_servers: str | None = None
    format: str = "json"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.topic:
            raise self.fail("Kafka() has no topic", "Write Kafka(topic='flights')", "topic")
        if not _TOPIC.match(self.topic) or self.topic in (".", ".."):
            raise self.fail(f"{self.topic!r} is no topic", "Kafka allows 1 to 249 letters, digits, ., _ and -", "topic")
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
    contract : path of an ODCS contract, from the project file's folder and inside it; rows that break it go to the
        dead letters.
    contract_sha256 : hash of the contract's bytes, 64 hex digits, filled in by `mercury.projects.load_project`, so
        that a changed contract is a changed stream. One that is written by hand must be that of the file.
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
    lateness: Duration = "0s"
    contract: str | None = None
    idle_timeout: Duration = "30s"
    future_limit: Duration = "10m"
    dedup: Duration | None = None
    heartbeat: Sql | None = None
    contract_sha256: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source is None:
            raise self.fail("the stream has no source", "Write source=Kafka(topic='…')", "source")
        check_schema(self.schema, f"{self.address}.schema")
        for column in RESERVED_COLUMNS:
            if column in self.schema:
                raise self.fail(f"the column name {column!r} is taken by the stream's tables", "Rename it", "schema")
        if self.schema.get(self.event_time) != "timestamp":
            raise self.fail(
                f"event_time={self.event_time!r} is not a timestamp column of the schema",
                f"Timestamp columns: {', '.join(c for c, t in self.schema.items() if t == 'timestamp') or 'none'}",
                "event_time",
            )
        self.check_distinct("key", self.key)
        for column in self.key:
            if column not in self.schema:
                what = f"key column {column!r} is not in the schema"
                raise self.fail(what, did_you_mean(column, self.schema), "key")
        if self.contract is not None:
            set_field(self, "contract", self._inside(self.contract))
        if self.contract_sha256 is not None and (self.contract is None or not _SHA256.match(self.contract_sha256)):
            what = f"contract_sha256={shown(self.contract_sha256)} is not the SHA-256 of a contract"
            raise self.fail(what, "Leave it out: it is filled in when the project is loaded", "contract_sha256")

    def _inside(self, path: str) -> str:
        """The path in its plain form; a project is moved and shipped as a folder, so nothing may lie outside."""
        plain = posixpath.normpath(path)
        if PureWindowsPath(path).anchor or plain.startswith("/"):
            fix = "Write it from the project file's folder, as in 'contracts/flights.odcs.yaml'"
            raise self.fail(f"contract={path!r} is an absolute path", fix, "contract")
        if plain in (".", "..") or plain.startswith("../") or "\\" in path or not path:
            fix = "Put the contract beside the project file or below it, and separate folders with /"
            raise self.fail(f"contract={path!r} is no file in the project's folder", fix, "contract")
        return plain


@dataclass(frozen=True, eq=False)
class Window(Named):
    """Aggregates of a stream per key and time window: tumbling, or hopping when ``slide`` is given.

    A window is emitted once, when the watermark passes its end; ``where`` chooses the events that count.
    Bounds are ``[start, end)`` in event time, aligned to 1970-01-01T00:00:00Z. A window is kept as panes of the
    greatest common divisor of size and slide: a slide need not divide the size, but there must be fewer than
    `MAX_PANES` of them.

    Parameters
    ----------
    source : the stream.
    keys : columns that rows are grouped by, one or several; none makes one group of all rows.
    size : how long a window is.
    slide : from the start of a window to that of the next; None means ``size``, so that windows do not overlap.
    aggregates : output column to aggregate, in the order of the output.
    where : SQL condition on the rows that count.
    """

    source: Stream | None = None
    keys: Sequence[str] = ()
    size: Length = "1h"
    slide: Length | None = None
    aggregates: Mapping[str, Aggregate] = field(default_factory=dict)
    where: Sql | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source is None:
            raise self.fail("the window has no source", "Write source=flights, a Stream", "source")
        self.check_distinct("keys", self.keys)
        for column in self.keys:
            if column not in self.source.schema:
                what = f"key {column!r} is not in {self.source.address}"
                raise self.fail(what, did_you_mean(column, self.source.schema), "keys")
        self._check_lengths()
        if not self.aggregates:
            raise self.fail("the window keeps nothing", "Give aggregates={'flights': Count()}", "aggregates")
        for name, aggregate in self.aggregates.items():
            self.check_output("aggregates", name, (*self.keys, *WINDOW_COLUMNS))
            if aggregate.over is not None:
                what = f"aggregate {name!r} has over={aggregate.over!r}"
                raise self.fail(what, "Leave it out: a window's length is its size", "aggregates")

    def _check_lengths(self) -> None:
        if self.slide is None:
            return
        size, slide = duration(self.size), duration(self.slide)
        if slide > size:
            what = f"slide={self.slide} is longer than size={self.size}, so events between windows would be lost"
            raise self.fail(what, f"Use {self.size} or less", "slide")
        pane = math.gcd(size, slide)
        if size // pane >= MAX_PANES:
            what = f"size={self.size} and slide={self.slide} cut a window into {size // pane} panes"
            raise self.fail(f"{what} of {format_duration(pane)}", "Use lengths with a greater common divisor", "slide")
