"""The replayed feed holds every real flight once, in a feed's order, with just the faults that it says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import orjson
import pyarrow.compute as pc
import pytest

from flights import events

HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def january():
    flights = events.history(months=1)
    return flights, events.feed(flights)


def test_each_flight_gives_the_events_that_happened(january) -> None:
    flights, feed = january

    kinds = Counter(
        event["kind"] for event in {e["event_id"]: e for e in parsed(feed) if "#bad" not in e["event_id"]}.values()
    )

    assert kinds == {
        "departure": pc.sum(pc.is_valid(flights["dep_delay"])).as_py(),
        "arrival": pc.sum(pc.is_valid(flights["arr_delay"])).as_py(),
        "cancellation": pc.sum(pc.is_null(flights["dep_delay"])).as_py(),
    }


def test_faults_are_as_many_as_it_says(january) -> None:
    _, feed = january

    ids = Counter(event["event_id"] for event in parsed(feed) if "#bad" not in event["event_id"])
    assert sum(count - 1 for count in ids.values()) == feed.counts["duplicates"] > 0
    assert len(ids) == feed.counts["honest"]
    assert len(feed) == sum(feed.counts[name] for name in ("honest", "duplicates", "malformed", "heartbeats"))


def test_every_partition_hears_a_heartbeat_on_the_hour(january) -> None:
    _, feed = january

    beats = [
        (int(partition), int(at), load(value))
        for partition, at, value in zip(feed.partitions, feed.delivered, feed.values, strict=True)
        if partition >= 0
    ]
    of_first = [at for partition, at, _ in beats if partition == 0]
    assert len(beats) == feed.counts["heartbeats"] == events.PARTITIONS * len(of_first)
    assert set(np.diff(of_first)) == {HOUR}
    assert all(
        event == {"kind": "heartbeat", "ts": f"{np.datetime64(at, 'us').astype('datetime64[s]')}Z"}
        for _, at, event in beats
    )


def test_delivery_is_in_order_and_lags_by_at_most_two_hours_but_for_the_very_late(january) -> None:
    _, feed = january

    lags = []
    for value, delivered in zip(feed.values, feed.delivered, strict=True):
        event = load(value)
        if event is not None and event["kind"] != "heartbeat" and "#bad" not in event["event_id"]:
            lags.append(int(delivered) - int(np.datetime64(event["ts"][:-1], "us").astype(np.int64)))
    beyond = sum(lag > 2 * HOUR + 10 * 60_000_000 for lag in lags)
    assert np.all(np.diff(feed.delivered) >= 0)
    assert min(lags) >= 1_000_000
    assert beyond in range(feed.counts["very_late"], feed.counts["very_late"] + 2)


def test_arrivals_follow_departures_by_at_least_the_time_in_the_air(january) -> None:
    flights, _ = january

    minutes = pc.divide(pc.subtract(flights["arrived"], flights["departed"]).cast("int64"), 60_000_000)
    taxi = pc.subtract(minutes, flights["air_time"]).drop_null().to_numpy()
    assert taxi.min() >= 1
    assert 25 < np.median(taxi) < 32


def test_two_replays_are_the_same_bytes(january) -> None:
    flights, feed = january

    again = events.feed(flights)

    assert again.values == feed.values
    np.testing.assert_array_equal(again.delivered, feed.delivered)


def parsed(feed) -> list[dict]:
    """Events that are JSON, without heartbeats."""
    return [event for event in map(load, feed.values) if event is not None and event["kind"] != "heartbeat"]


def load(value: bytes) -> dict | None:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def test_one_departure_in_ten_loses_its_delay_from_a_day_on(january) -> None:
    flights, feed = january
    day = np.datetime64("2013-01-28", "us")
    faulty = events.feed(flights, zeroed_from=int(day.astype(np.int64)))

    changed = [
        (load(before), load(after))
        for before, after in zip(feed.values, faulty.values, strict=True)
        if before != after and b"#bad" not in after and load(after) is not None
    ]
    assert feed.counts["zeroed"] == 0
    lost = {after["event_id"] for _, after in changed}
    assert all(after == before | {"dep_delay": 0.0} for before, after in changed)
    assert {after["kind"] for _, after in changed} == {"departure"}
    assert min(np.datetime64(after["ts"][:-1], "us") for _, after in changed) >= day
    sound = [event for event in parsed(faulty) if event["kind"] == "departure" and "#bad" not in event["event_id"]]
    later = {event["event_id"] for event in sound if np.datetime64(event["ts"][:-1], "us") >= day}
    assert faulty.counts["zeroed"] >= len(lost)
    assert 0.08 < faulty.counts["zeroed"] / len(later) < 0.12
    assert faulty.counts | {"zeroed": 0} == feed.counts
