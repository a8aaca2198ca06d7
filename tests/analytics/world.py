"""A small world to ask about: a stream's rows as streaming commits them, its model, and plain SQL as oracle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from mercury import Count, Kafka, Max, Mean, Project, Quantile, Stream, Sum
from mercury.analytics import MetricQuery
from mercury.config import Settings, load_settings
from mercury.definitions import CountDistinct, Derived, Last, Min, Ratio, Rollup, SemanticModel, StdDev
from mercury.lake import Lake
from mercury.streaming.epochs import EpochPlan
from mercury.streaming.sinks.base import EpochOutput
from mercury.streaming.sinks.delta import DeltaSink
from mercury.tables import Table
from mercury.time import HOUR, MINUTE, parse_instant

ZONE = "America/New_York"

events = Stream(
    "events",
    source=Kafka(topic="events"),
    schema={
        "id": "int64",
        "ts": "timestamp",
        "carrier": "string",
        "origin": "string",
        "tail": "string",
        "delay": "float64",
        "seats": "int64",
    },
    event_time="ts",
    key="id",
    lateness="2h",
)

metrics = {
    "flights": Count(),
    "late": Count(where="delay > 15"),
    "late_rate": Ratio("late", "flights"),
    "seats": Sum("seats"),
    "delay_sum": Sum("delay"),
    "mean_delay": Mean("delay"),
    "spread": StdDev("delay"),
    "least": Min("delay"),
    "most": Max("delay"),
    "p90": Quantile("delay", 0.9, accuracy=0.01),
    "planes": CountDistinct("tail", exact=True),
    "last_plane": Last("tail"),
    "per_plane": Ratio("flights", "planes"),
    "score": Derived("100 * (1 - late_rate) - mean_delay"),
}

model = SemanticModel(
    "air",
    events,
    timezone=ZONE,
    dimensions={"carrier": "carrier", "origin": "upper(origin)", "big": "seats > 100", "plane": "tail"},
    metrics=metrics,
    rollups={
        "daily": Rollup("day", by=["carrier", "origin", "big"], keys=["plane"]),
        "hourly": Rollup("hour", by=["carrier", "origin"], metrics=["flights", "late_rate", "mean_delay", "p90"]),
        "fine": Rollup("minute", by=["carrier"], metrics=["flights", "seats", "most"]),
    },
)
project = Project("sky", [events, model])

ORACLE = {
    "flights": "count(*)",
    "late": "count(*) FILTER (delay > 15)",
    "late_rate": "count(*) FILTER (delay > 15) / nullif(count(*), 0)",
    "seats": "CAST(sum(seats) AS BIGINT)",
    "delay_sum": "sum(delay)",
    "mean_delay": "avg(delay)",
    "spread": "stddev_samp(delay)",
    "least": "min(delay)",
    "most": "max(delay)",
    "p90": "list_sort(list(delay) FILTER (delay IS NOT NULL))[1 + CAST(floor(0.9 * (count(delay) - 1)) AS INT)]",
    "planes": "count(DISTINCT tail)",
    "last_plane": "arg_max(tail, struct_pack(a := ts, b := tail)) FILTER (tail IS NOT NULL AND ts IS NOT NULL)",
    "per_plane": "count(*) / nullif(count(DISTINCT tail), 0)",
    "score": "100 * (1 - count(*) FILTER (delay > 15) / nullif(count(*), 0)) - avg(delay)",
}
DIMENSIONS = {"carrier": "carrier", "origin": "upper(origin)", "big": "seats > 100", "plane": "tail"}

BOUNDS = {"p90": 0.01}
"""Metrics that may be off, relatively."""


def settings_in(folder: Path) -> Settings:
    """Settings of a project in an empty folder."""
    return load_settings(folder / "mercury_project.py", {})


def random_events(seed: int, count: int, start: str, end: str) -> pa.Table:
    """Events with null keys and values, in a jumbled order of time; seats and ids are whole numbers."""
    random = np.random.default_rng(seed)
    low, high = parse_instant(start), parse_instant(end)
    ts = np.sort(random.integers(low, high, count))
    # Some of them fall exactly on borders, and neighbours change places: late and out of order.
    ts[::17] = ts[::17] // HOUR * HOUR
    ts[::23] = ts[::23] // (30 * MINUTE) * (30 * MINUTE)
    ts = ts[np.argsort(np.arange(count) + random.normal(0, count / 20, count))]

    def some(values: list[str | None]) -> pa.Array:
        return pa.array([values[place] for place in random.integers(0, len(values), count)], pa.string())

    delay = random.normal(10, 30, count).round(1)
    return pa.table(
        {
            "id": pa.array(random.permutation(count) + seed * 10_000_000),
            "ts": pa.array(ts).cast(pa.timestamp("us", tz="UTC")),
            "carrier": some(["UA", "DL", "B6", "AA", "", None]),
            "origin": some(["JFK", "lga", "EWR", None]),
            "tail": some([*(f"N{number}" for number in range(40)), None]),
            "delay": pa.array(delay, mask=random.random(count) < 0.1),
            "seats": pa.array(random.integers(1, 400, count), mask=random.random(count) < 0.05),
        }
    )


def at_times(rows: pa.Table, times: Mapping[int, int | None]) -> pa.Table:
    """The same events, but for the times (microseconds) of some rows by their place."""
    instants = rows["ts"].cast(pa.int64()).to_pylist()
    for place, instant in times.items():
        instants[place] = instant
    moved = pa.array(instants, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return rows.set_column(rows.column_names.index("ts"), "ts", moved)


class Feed:
    """Commits epochs of events to the stream's table by streaming's own sink."""

    def __init__(self, settings: Settings, partitions: int = 2) -> None:
        self.uri = Lake(settings.lake).stream_rows("events")
        self._sink = DeltaSink(Lake(settings.lake), "events")
        self.offsets = dict.fromkeys(range(partitions), 0)
        self.epoch = -1

    def commit(self, rows: pa.Table) -> int:
        """One epoch of rows, spread over the partitions; its number."""
        self.epoch += 1
        partition = np.array(list(self.offsets))[np.arange(rows.num_rows) % len(self.offsets)]
        offset = np.empty(rows.num_rows, np.int64)
        for number in self.offsets:
            held = partition == number
            offset[held] = self.offsets[number] + np.arange(held.sum())
            self.offsets[number] += int(held.sum())
        placed = rows.append_column("_partition", pa.array(partition.astype(np.int32)))
        placed = placed.append_column("_offset", pa.array(offset))
        job, nothing = "stream/events", placed.schema.empty_table()
        self._sink.write(
            EpochOutput(
                job,
                self.epoch,
                EpochPlan(job, self.epoch, {}, 0, 0),
                0,
                placed,
                nothing,
                nothing,
                {},
                {},
                {"job": job, "epoch": self.epoch},
            )
        )
        return self.epoch

    def compact(self) -> None:
        """Join small files, as streaming does now and then."""
        Table.open(self.uri).compact()


@dataclass
class Oracle:
    """Plain DuckDB SQL over all rows, with the calendars of ICU."""

    rows: pa.Table

    def answer(self, query: MetricQuery, condition: str = "TRUE") -> list[tuple[Any, ...]]:
        """Rows of the answer, in no order: groups, then metrics."""
        with duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = '{query.timezone}'")
            connection.register("rows", self.rows)
            keys = [self._key(name) for name in query.by]
            parts = [*keys, *(ORACLE[name] for name in query.metrics)]
            listed = [f"{text} AS c{place}" for place, text in enumerate(parts)]
            span = ""
            if query.start is not None:
                span += f" AND epoch_us(ts) >= {query.start}"
            if query.end is not None:
                span += f" AND epoch_us(ts) < {query.end}"
            grouped = f"GROUP BY {', '.join(f'c{place}' for place in range(len(keys)))}" if keys else ""
            found = connection.sql(f"SELECT {', '.join(listed)} FROM rows WHERE ({condition}){span} {grouped}")
            return [tuple(row.values()) for row in found.to_arrow_table().to_pylist()]

    def _key(self, name: str) -> str:
        if name in DIMENSIONS:
            return DIMENSIONS[name]
        if name in ("minute", "hour"):
            # Not date_trunc: of the two hours on the night that clocks go back it makes one.
            length = {"minute": MINUTE, "hour": HOUR}[name]
            local = "epoch_us(ts) + 1000000 * CAST(date_part('timezone', ts) AS BIGINT)"
            # Before 1970 DuckDB's remainder is negative.
            return f"epoch_us(ts) - (({local}) % {length} + {length}) % {length}"
        return f"CAST(date_trunc('{name}', ts) AS DATE)"


def same(query: MetricQuery, found: pa.Table, wanted: Sequence[Sequence[Any]]) -> str | None:
    """How an answer differs from the oracle's; None when it does not."""
    mine = [[_value(value) for value in row.values()] for row in found.to_pylist()]
    theirs = [list(row) for row in wanted]
    width = len(query.by)
    if len(mine) != len(theirs):
        return f"{len(mine)} groups and {len(theirs)}"

    def order(row: list[Any]) -> tuple[Any, ...]:
        return tuple((value is None, str(value)) for value in row[:width])

    for one, other in zip(sorted(mine, key=order), sorted(theirs, key=order), strict=True):
        if one[:width] != other[:width]:
            return f"group {one[:width]} and {other[:width]}"
        for name, a, b in zip(query.metrics, one[width:], other[width:], strict=True):
            if not _equal(name, a, b):
                return f"{name} of {one[:width]}: {a!r} and {b!r}"
    return None


def _equal(name: str, mine: Any, theirs: Any) -> bool:
    if isinstance(mine, float) and isinstance(theirs, (int, float)):
        if name in BOUNDS:
            return math.isclose(mine, theirs, rel_tol=BOUNDS[name] * 1.0001, abs_tol=1e-12)
        return math.isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-9)
    return bool(mine == theirs)


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return parse_instant(value.isoformat())
    return value
