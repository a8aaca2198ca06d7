"""Hundreds of random queries, by rollups, raw edges and live tail, against plain DuckDB SQL over all rows."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pytest

from mercury.analytics import Planner, build_rollups
from mercury.analytics.plan import Costs
from mercury.config import Settings
from mercury.time import HOUR, MINUTE, parse_instant, to_iso
from tests.analytics.world import ZONE, Feed, Oracle, metrics, project, random_events, same, settings_in

ROLLUPS_FIRST = Costs(row=0.0, cell=-1.0, sketch=-1.0, part=0.0, read=0.0, file=0.0)
"""Makes rollups the cheapest wherever they are right, however small the table is."""

MANY_ROLLUPS = Costs(row=0.0, cell=0.001, sketch=0.001, part=-100.0, read=0.0, file=0.0)
"""Makes ends of a range come from finer rollups, as in large tables."""

SPRING, AUTUMN = ("2013-03-08", "2013-03-13"), ("2013-10-31", "2013-11-06")
"""Both hold a night on which clocks change in New York; Berlin's autumn change is before, its spring change after."""

HOURLY, FINE = ["flights", "late", "late_rate", "mean_delay", "p90"], ["flights", "seats", "most"]
"""What the finer rollups keep."""

CONDITIONS = [
    ("origin = 'JFK'", "upper(origin) = 'JFK'"),
    ("carrier in ('UA', 'DL')", "carrier IN ('UA', 'DL')"),
    ("carrier is null", "carrier IS NULL"),
    ("carrier <> 'AA' or origin is null", "carrier <> 'AA' OR origin IS NULL"),
    ("not (origin like 'L%')", "NOT (upper(origin) LIKE 'L%')"),
    ("carrier = 'x'' OR 1=1 --'", "carrier = 'x'' OR 1=1 --'"),
    ("big", "seats > 100"),
    ("big is not true and carrier >= 'B'", "(seats > 100) IS NOT TRUE AND carrier >= 'B'"),
    ("plane = 'N7'", "tail = 'N7'"),
]


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Oracle]:
    """Epochs, rollups built after some of them and added to after others, late rows and a live tail."""
    settings = settings_in(tmp_path_factory.mktemp("sky"))
    rows = pa.concat_tables([random_events(1, 6000, *SPRING), random_events(2, 6000, *AUTUMN)])
    feed = Feed(settings)
    edges = [0, 3000, 5500, 9000, 10_500, 11_200, 12_000]
    epochs = [rows.slice(low, high - low) for low, high in pairwise(edges)]
    late = random_events(3, 300, *SPRING)
    for epoch in epochs[:2]:
        feed.commit(epoch)
    build_rollups(project, settings, "air")
    feed.commit(epochs[2])
    feed.compact()
    build_rollups(project, settings, "air", "daily")
    build_rollups(project, settings, "air", "hourly", until=parse_instant("2013-11-02T12:34:56Z"))
    feed.commit(epochs[3])
    # Days that rollups hold already get rows that came late.
    feed.commit(late)
    build_rollups(project, settings, "air", "daily")
    feed.commit(pa.concat_tables([epochs[4], random_events(4, 200, *SPRING)]))
    feed.compact()
    feed.commit(epochs[5])
    return settings, Oracle(pa.concat_tables([rows, late, random_events(4, 200, *SPRING)]))


def random_query(chance: random.Random) -> tuple[dict[str, object], str]:
    """A query as JSON, and its condition as the oracle's SQL."""
    known = chance.choice([list(metrics), list(metrics), HOURLY, FINE])
    names = chance.sample(known, chance.randint(1, min(4, len(known))))
    grains = [None, None, "minute", "hour", "hour", "day", "day", "week", "month", "quarter", "year"]
    by = chance.sample(["carrier", "origin", "big", "plane"], chance.choice([0, 0, 1, 1, 2, 3]))
    grain = chance.choice(grains)
    if grain is not None:
        by.insert(chance.randint(0, len(by)), grain)
    query: dict[str, object] = {"metrics": names, "by": by, "limit": 1_000_000}
    text, sql = chance.choice([*CONDITIONS, ("", "TRUE"), ("", "TRUE"), ("", "TRUE")])
    if text:
        query["where"] = text
    for bound in ("from", "to"):
        if chance.random() < 0.6:
            span = SPRING if (bound == "from") == (chance.random() < 0.8) else AUTUMN
            instant = chance.randrange(parse_instant(span[0]) - 12 * HOUR, parse_instant(span[1]) + 12 * HOUR)
            step = chance.choice([1, MINUTE, HOUR, 24 * HOUR])
            query[bound] = to_iso(instant // step * step + chance.choice([0, 4 * HOUR, 5 * HOUR]))
    query["timezone"] = chance.choice([ZONE, ZONE, ZONE, "UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"])
    return query, sql


@pytest.mark.parametrize("seed", range(6))
def test_no_random_query_differs_from_plain_sql_over_the_rows(sky: tuple[Settings, Oracle], seed: int) -> None:
    settings, oracle = sky
    planners = [Planner(project, settings, costs=costs) for costs in (ROLLUPS_FIRST, MANY_ROLLUPS)]
    chance = random.Random(seed)
    kinds: Counter[str] = Counter()
    for number in range(60):
        asked, condition = random_query(chance)
        planner = planners[number % len(planners)]
        query = planner.read(asked)
        answer = planner.answer(query)
        wanted = oracle.answer(query, condition)
        kinds.update({part.kind for part in answer.explain.parts})
        kinds["mixed"] += len({part.rollup for part in answer.explain.parts if part.kind == "rollup"}) > 1
        difference = same(query, answer.table, wanted)
        assert difference is None, f"seed {seed}, query {number}: {asked}: {difference}; {answer.explain.lines()}"
    # The routes were really taken.
    assert kinds["rollup"] >= 10 and kinds["tail"] >= 10 and kinds["raw"] >= 10 and kinds["mixed"] >= 1, kinds
