"""The story's metrics: rollups while events arrive, and random queries against plain SQL over all rows."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from flights.board import Step
from mercury.analytics import MetricQuery, Planner, build_rollups
from mercury.analytics.badges import BadgeReader
from mercury.analytics.outlook import HISTORY, Outlooks, closed_series
from mercury.analytics.plan import Costs
from mercury.errors import DataError
from mercury.tables import Table
from mercury.time import HOUR, to_iso

if TYPE_CHECKING:
    from flights.story import Story

MODEL = "traffic"
QUERIES = 30
SEED = 7

ROLLUPS_FIRST = Costs(row=1.0, cell=0.0, sketch=0.0, part=-1.0)
"""Costs that make rollups the cheapest wherever they are right, also when their tail shares a file with older rows."""

TILES = ("flights", "late_rate", "mean_delay", "p90_delay", "aircraft", "miles")
"""Metrics that have a tile on the page, with a badge where a monitor is in alarm about what they are computed from."""

AHEAD = "late_rate"
"""The metric whose days are shown with their outlook."""

SHOWN = (
    "flights, late_rate by origin",
    "aircraft, per_aircraft by carrier order by aircraft desc limit 5",
    "flights, p90_delay by day where origin = 'JFK' order by p90_delay desc limit 5",
)
"""What the page shows, with the way that each was answered."""

SQL = {
    "flights": "count(*)",
    "late": "count(*) FILTER (dep_delay > 15)",
    "late_rate": "count(*) FILTER (dep_delay > 15) / nullif(count(*), 0)",
    "mean_delay": "avg(dep_delay)",
    "miles": "sum(distance)",
    "p90_delay": "list_sort(list(dep_delay))[1 + CAST(floor(0.9 * (count(dep_delay) - 1)) AS INT)]",
    "aircraft": "count(DISTINCT tailnum)",
    "per_aircraft": "count(*) / nullif(count(DISTINCT tailnum), 0)",
}
"""Each metric as plain SQL, by which the answers are checked."""

DAILY, FLEET = ["flights", "late_rate", "mean_delay", "miles"], ["flights", "aircraft", "per_aircraft"]
"""What the two rollups keep."""

CONDITIONS = ("origin = 'JFK'", "carrier in ('UA', 'DL', 'B6')", "origin <> 'EWR' and carrier >= 'D'", "carrier = 'OO'")


def build(story: Story, shown: Step) -> None:
    """Build the rollups of what has arrived so far."""
    built = build_rollups(story.project, story.settings, MODEL)
    story.outcome["rollups"] = {part.rollup: part.cells for part in built}
    cells = ", ".join(f"{part.rollup} {part.cells:,}" for part in built)
    shown.note(f"cells of the rollups of what has arrived so far: {cells}")


def ask(story: Story, shown: Step) -> None:
    """Ask random queries, by the cheapest way and by rollups first, and compare with plain SQL over all rows.

    Half of them while the rollups lack what arrived since they were built, half after that was added.
    """
    planner = Planner(story.project, story.settings)
    by_rollups = Planner(story.project, story.settings, costs=ROLLUPS_FIRST)
    rows = Table.open(story.lake.stream_rows("flights")).read()
    rows = rows.filter(pc.equal(rows["kind"], "departure"))
    chance, routes = random.Random(SEED), Counter[str]()
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        for number in range(QUERIES):
            shown.say(f"query {number + 1} of {QUERIES}")
            if number == QUERIES // 2:
                added = build_rollups(story.project, story.settings, MODEL)
                shown.note(
                    "rollups brought up to date: " + ", ".join(f"{part.rollup} {part.cells:,}" for part in added)
                )
            query = planner.read(_random(chance, rows))
            for way in (planner, by_rollups):
                answer = way.answer(query)
                difference = _difference(connection, query, answer.table)
                if difference is not None:
                    raise DataError(f"the answer of {query.to_dict()} differs from the rows: {difference}")
                routes[answer.explain.route] += 1
    shown_answers = []
    for text in SHOWN:
        answer = planner.answer(text)
        shown_answers.append({"query": text, "route": answer.explain.route, "rows": answer.table.to_pylist()})
    story.outcome["metrics"] = {
        "queries": QUERIES,
        "differing": 0,
        "routes": dict(routes.most_common()),
        "answers": _plain(shown_answers),
        "tiles": _tiles(planner, BadgeReader(story.project, story.settings)),
        "ahead": _ahead(planner),
    }
    shown.note(f"none of {QUERIES} random queries, each answered in two ways, differs from plain SQL over all rows")
    shown.note("answered from " + ", ".join(f"{route} ({count})" for route, count in routes.most_common()))


def _tiles(planner: Planner, reader: BadgeReader) -> list[dict[str, Any]]:
    (row,) = planner.answer(", ".join(TILES), model=MODEL).table.to_pylist()
    badges = reader.of(planner.model(MODEL).model)
    return [
        {"metric": name, "value": row[name], "badges": [badge.to_dict() for badge in badges.get(name, [])]}
        for name in TILES
    ]


def _ahead(planner: Planner) -> dict[str, Any]:
    """The days that have closed, and those to come."""
    days = planner.answer(f"{AHEAD} by day order by day desc limit {HISTORY + 1}", model=MODEL).table
    closed = closed_series(days, AHEAD, "day")
    outlook = Outlooks(planner).of(MODEL, AHEAD, "day")
    return {
        "metric": AHEAD,
        "days": [str(day) for day in closed["ds"].to_pylist()],
        "values": closed["y"].to_pylist(),
        "outlook": outlook.to_dict(),
    }


def _random(chance: random.Random, rows: pa.Table) -> dict[str, Any]:
    low, high = (int(value.timestamp() * 1e6) for value in pc.min_max(rows["ts"]).as_py().values())
    both = ["carrier", "origin"]
    known, groups = chance.choice([(list(SQL), both), (DAILY, both), (FLEET, both[:1])])
    query: dict[str, Any] = {
        "metrics": chance.sample(known, chance.randint(1, min(3, len(known)))),
        "by": chance.sample(groups, chance.randint(0, len(groups))),
        "limit": 1_000_000,
    }
    grain = chance.choice([None, "hour", "day", "day", "week", "month"])
    if grain is not None:
        query["by"].append(grain)
    if chance.random() < 0.5:
        query["where"] = chance.choice(CONDITIONS)
    ends = sorted(chance.randrange(low, high) for _ in range(2))
    for bound, end in zip(("from", "to"), ends, strict=True):
        if chance.random() < 0.5:
            step = chance.choice([1, HOUR, 24 * HOUR])
            query[bound] = to_iso(end // step * step + chance.choice([0, 5 * HOUR]))
    return query


def _difference(connection: duckdb.DuckDBPyConnection, query: MetricQuery, found: pa.Table) -> str | None:
    """How an answer differs from plain SQL; None when it does not."""
    connection.execute(f"SET TimeZone = '{query.timezone}'")
    keys = [_key(name) for name in query.by]
    columns = [f"{text} AS c{place}" for place, text in enumerate([*keys, *(SQL[name] for name in query.metrics)])]
    where = [query.where or "TRUE"]
    where += [f"epoch_us(ts) >= {query.start}"] if query.start is not None else []
    where += [f"epoch_us(ts) < {query.end}"] if query.end is not None else []
    grouped = f"GROUP BY {', '.join(f'c{place}' for place in range(len(keys)))}" if keys else ""
    text = f"SELECT {', '.join(columns)} FROM rows WHERE {' AND '.join(f'({part})' for part in where)} {grouped}"
    wanted = [tuple(row.values()) for row in connection.sql(text).to_arrow_table().to_pylist()]
    mine = [tuple(_value(value) for value in row.values()) for row in found.to_pylist()]
    width = len(keys)
    if len(mine) != len(wanted):
        return f"{len(mine)} groups and {len(wanted)}"
    for one, other in zip(*(sorted(each, key=lambda row: str(row[:width])) for each in (mine, wanted)), strict=True):
        for name, a, b in zip([*query.by, *query.metrics], one, other, strict=True):
            # A quantile is within one hundredth of the exact one, sums of floats within rounding.
            near = 0.01 if name == "p90_delay" else 1e-9
            same = math.isclose(a, b, rel_tol=near) if isinstance(a, float) and isinstance(b, (int, float)) else a == b
            if not same:
                return f"{name} of {one[:width]} is {a!r} and {b!r}"
    return None


def _key(name: str) -> str:
    if name in ("carrier", "origin"):
        return name
    if name == "hour":
        return "epoch_us(date_trunc('hour', ts))"
    return f"CAST(date_trunc('{name}', ts) AS DATE)"


def _value(value: Any) -> Any:
    return int(value.timestamp() * 1e6) if hasattr(value, "timestamp") else value


def _plain(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as JSON holds them."""
    for answer in answers:
        answer["rows"] = [
            {name: value if isinstance(value, (int, float, str)) or value is None else str(value)
             for name, value in row.items()}
            for row in answer["rows"]
        ]  # fmt: skip
    return answers
