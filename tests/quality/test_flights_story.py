"""The contracts of the flights story on what the story itself produces."""

from __future__ import annotations

import importlib.util
import sys
from datetime import datetime
from types import ModuleType

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mercury.quality import Verdict, load_contract
from mercury.quality.run import check
from tests.quality.events import SCHEMA

CONTRACTS = "examples/flights/contracts"


def _story() -> ModuleType:
    """The story's events by path: another distribution may own the top-level name `examples`."""
    spec = importlib.util.spec_from_file_location("flights_events", "examples/flights/events.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


story = _story()


@pytest.fixture(scope="module")
def january() -> pa.Table:
    return story.history(1)


def test_every_honest_event_of_january_passes_and_every_decodable_bad_one_is_caught(january: pa.Table) -> None:
    events = story.feed(january)
    honest, bad = [], []
    for value in events.values:
        try:
            event = orjson.loads(value)
        except orjson.JSONDecodeError:
            continue
        if event["kind"] == "heartbeat" or not isinstance(event["distance"], float):
            continue  # no event, or a type error, which decoding tells
        for name in ("ts", "sched_dep"):
            event[name] = event[name] and datetime.fromisoformat(event[name])
        (bad if event["event_id"].endswith("#bad") else honest).append(event)
    contract = load_contract(f"{CONTRACTS}/flights.odcs.yaml")
    verdicts = contract.validate(pa.Table.from_pylist(honest, schema=SCHEMA))
    assert len(honest) == events.counts["honest"] + events.counts["duplicates"]
    assert verdicts.bad_rows == 0, verdicts.failures.slice(0, 3).to_pylist()
    assert len(bad) > 10
    restored = [event | {"event_id": event["event_id"].removesuffix("#bad")} for event in bad]
    assert contract.validate(pa.Table.from_pylist(restored, schema=SCHEMA)).good.true_count == 0


def test_the_contract_keeps_what_a_recomputation_in_sql_keeps(january: pa.Table) -> None:
    texts = {one.name: pa.string() for one in january.schema if pa.types.is_large_string(one.type)}
    fields = [pa.field(one.name, texts.get(one.name, one.type)) for one in january.schema]
    table = january.slice(0, 5_000).cast(pa.schema(fields))
    carriers = pc.if_else(pc.equal(table["day"], 3), "??", table["carrier"])
    events = pa.table(
        {
            "event_id": pc.binary_join_element_wise(table["flight_id"], "departure", "/"),
            "flight_id": table["flight_id"],
            "kind": pa.repeat(pa.scalar("departure"), len(table)),
            "ts": table["sched_dep"],
            "carrier": carriers,
            **{name: table[name] for name in ("origin", "dest", "tailnum", "flight", "sched_dep")},
            "distance": pc.subtract(table["distance"].cast(pa.float64()), 200.0),
            "dep_delay": table["dep_delay"].cast(pa.float64()),
            "arr_delay": pa.nulls(len(table), pa.float64()),
            "air_time": pa.nulls(len(table), pa.float64()),
        }
    )
    connection = duckdb.connect()
    connection.register("events", events)
    query = "SELECT count(*) FROM events WHERE carrier <> '??' AND distance > 0"
    expected = connection.execute(query).fetchall()[0][0]
    verdicts = load_contract(f"{CONTRACTS}/flights.odcs.yaml").validate(events)
    assert verdicts.good.true_count == expected
    assert 0 < expected < len(events)


def test_the_history_of_a_month_keeps_its_contract(january: pa.Table) -> None:
    report = check(january, load_contract(f"{CONTRACTS}/flights_history.odcs.yaml"))
    broken = [result for result in report.results if result.verdict is not Verdict.PASS]
    assert broken == []
    assert (report.rows, report.unlisted) == (27_004, ("departed", "arrived"))
