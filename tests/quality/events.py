"""Events of the flights story as the contract of the stream describes them, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

SCHEMA = pa.schema(
    {
        "event_id": pa.string(),
        "flight_id": pa.string(),
        "kind": pa.string(),
        "ts": pa.timestamp("us", tz="UTC"),
        "carrier": pa.string(),
        "origin": pa.string(),
        "dest": pa.string(),
        "tailnum": pa.string(),
        "flight": pa.int64(),
        "sched_dep": pa.timestamp("us", tz="UTC"),
        "distance": pa.float64(),
        "dep_delay": pa.float64(),
        "arr_delay": pa.float64(),
        "air_time": pa.float64(),
    }
)

_SCHEDULED = datetime(2013, 1, 1, 10, 15, tzinfo=UTC)


def event(kind: str = "departure", /, **changes: Any) -> dict[str, Any]:
    """An honest event of a kind, with some fields changed."""
    flight = "UA1545-EWR-20130101"
    fields: dict[str, Any] = {
        "event_id": f"{flight}/{kind}",
        "flight_id": flight,
        "kind": kind,
        "ts": _SCHEDULED + timedelta(minutes=2),
        "carrier": "UA",
        "origin": "EWR",
        "dest": "IAH",
        "tailnum": "N14228",
        "flight": 1545,
        "sched_dep": _SCHEDULED,
        "distance": 1400.0,
        "dep_delay": None if kind == "cancellation" else 2.0,
        "arr_delay": 11.0 if kind == "arrival" else None,
        "air_time": 227.0 if kind == "arrival" else None,
    }
    return fields | changes


def batch(*events: dict[str, Any]) -> pa.Table:
    """Events as a batch of the stream."""
    return pa.Table.from_pylist(list(events), schema=SCHEMA)
