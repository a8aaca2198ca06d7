"""What a stream must give, computed naively from all events at once, and events to try it on."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from mercury.definitions import Count, Kafka, Max, Min, Stream, Sum, Window, arrow_schema
from mercury.errors import TableNotFoundError
from mercury.lake import Lake
from mercury.streaming.windows import PANE, PaneWindow
from mercury.summaries import finish, partial
from mercury.tables import Table
from mercury.time import HOUR, MINUTE, SECOND, duration, parse_instant, to_iso

START = parse_instant("2013-01-01T00:00:00Z")
STREAM = Stream(
    "trips",
    source=Kafka(topic="trips"),
    schema={"id": "string", "ts": "timestamp", "city": "string", "n": "int64", "fare": "float64"},
    event_time="ts",
    key="id",
    lateness="10m",
)
HOURLY = Window(
    "hourly",
    STREAM,
    keys="city",
    size="1h",
    aggregates={"trips": Count(), "total": Sum("n"), "least": Min("fare"), "most": Max("fare")},
)
HOPPING = Window("hopping", STREAM, keys="city", size="1h", slide="15m", aggregates={"large": Count(where="n > 50")})
WINDOWS = [HOURLY, HOPPING]


@dataclass
class Expected:
    """What became of the events; late rows and duplicates by id."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    dead: list[bytes] = field(default_factory=list)


def event(id: str, instant: int, city: str = "a", n: int = 1, fare: float | None = 1.5) -> bytes:
    """A well-formed event."""
    return json.dumps({"id": id, "ts": to_iso(instant), "city": city, "n": n, "fare": fare}).encode()


def feed(seed: int, partitions: int, count: int) -> dict[int, list[bytes]]:
    """Events of some hours: out of order, repeated, late, malformed, in partitions that differ in speed."""
    rng = random.Random(seed)
    out: dict[int, list[bytes]] = {}
    for partition in range(partitions):
        now, values = START, []
        for number in range(count // partitions):
            now += rng.randrange(90 * SECOND) * (1 + partition)
            instant = now - rng.choice([0, 0, 0, rng.randrange(12 * MINUTE), rng.randrange(HOUR)])
            value = event(f"{partition}-{number}", instant, rng.choice("abc"), rng.randrange(100), rng.random())
            kind = rng.random()
            if kind < 0.03:
                values.append(value[: rng.randrange(len(value))])
            elif kind < 0.05:
                values.append(value.replace(b'"n": ', b'"n": 0.'))
            else:
                values.append(value)
            if values and rng.random() < 0.1:
                values.append(values[-rng.randrange(1, min(len(values), 12) + 1)])
        out[partition] = values
    return out


def recompute(stream: Stream, values: Mapping[int, Sequence[bytes]]) -> Expected:
    """Every event in partition order, one by one."""
    expected = Expected()
    lateness = duration(stream.lateness)
    for partition, items in sorted(values.items()):
        remembered: dict[str, int] = {}
        latest: int | None = None
        for offset, value in enumerate(items):
            row = _decode(value)
            if row is None:
                expected.dead.append(value)
                continue
            bound = latest - lateness if latest is not None else None
            known = remembered.get(row["id"])
            if known is not None and bound is not None and known >= bound:
                expected.duplicates.append(row["id"])
            else:
                remembered[row["id"]] = max(row["ts"], latest if latest is not None else row["ts"])
                if bound is not None and row["ts"] < bound:
                    expected.late.append(row["id"])
                else:
                    expected.rows.append({**row, "_partition": partition, "_offset": offset})
            latest = max(row["ts"], latest if latest is not None else row["ts"])
    return expected


def windows_of(window: Window, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """All windows of the rows in one pass: each row is counted in every window that holds it."""
    kept = PaneWindow.of(window)
    schema = arrow_schema(STREAM.schema)
    columns = {name: [row[name] for row in rows for _ in range(kept.size // kept.slide)] for name in schema.names}
    starts = [
        row["ts"] - row["ts"] % kept.slide - hop * kept.slide for row in rows for hop in range(kept.size // kept.slide)
    ]
    table = pa.table(
        [pa.array(columns[f.name], pa.int64() if f.name == "ts" else f.type).cast(f.type) for f in schema],
        schema=schema,
    ).append_column(PANE, pa.array(starts, pa.timestamp("us", tz="UTC")))
    return finish(partial(kept.spec, table)).rename_columns({PANE: "window_start"})


def outcome(
    folder: Path, stream: Stream = STREAM, windows: Sequence[Window] = WINDOWS
) -> dict[str, list[dict[str, Any]]]:
    """All tables of a stream as sorted rows, times as int64."""
    lake = Lake(str(folder / "lake"))
    uris = {
        "rows": lake.stream_rows(stream.name),
        "late": lake.stream_late(stream.name),
        "dead": lake.stream_dead_letters(stream.name),
        **{window.name: lake.window(window.name) for window in windows},
    }
    return {
        name: sorted(read(uri), key=lambda row: json.dumps(row, sort_keys=True, default=repr))
        for name, uri in uris.items()
    }


def read(uri: str) -> list[dict[str, Any]]:
    """Rows of a table, times as int64; none when there is no table."""
    try:
        table = Table.open(uri).read()
    except TableNotFoundError:
        return []
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in table.columns]
    return pa.table(columns, names=table.column_names).to_pylist()


def as_rows(table: pa.Table) -> list[dict[str, Any]]:
    """A table's rows, times as int64, sorted as `outcome` sorts."""
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in table.columns]
    rows = pa.table(columns, names=table.column_names).to_pylist()
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True, default=repr))


def _decode(value: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(value)
    except ValueError:
        return None
    if not isinstance(row, dict) or not isinstance(row["n"], int):
        return None
    return {**row, "ts": parse_instant(row["ts"])}
