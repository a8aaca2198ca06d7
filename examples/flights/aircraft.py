"""The story's private part: counts of flights in which no aircraft can be made out, from a budget that runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from flights.board import Step
from mercury.analytics import Planner
from mercury.definitions import Count, CountDistinct, PrivacyPolicy
from mercury.errors import BudgetExceededError, DataError
from mercury.privacy import ask, ledger_of
from mercury.tables import Table

if TYPE_CHECKING:
    from flights.story import Story

ANALYST = "the story"
LEFT = "kind = 'departure' AND tailnum IS NOT NULL"


def ask_privately(story: Story, shown: Step) -> None:
    """Ask for two metrics twice and for a third, which the budget refuses; set the answers beside the truth.

    An analyst's query of a model with a privacy policy goes through the gate: the same questions asked of the gate
    itself, by somebody else, were answered before.
    """
    planner = Planner(story.project, story.settings)
    policy = story.project.get(PrivacyPolicy, "aircraft")
    ledger = ledger_of(story.settings)
    shown.say("asking")
    flights = planner.answer("departures by origin", principal=ANALYST)
    planes = planner.answer("airframes by carrier", principal=ANALYST)
    charges = len(ledger.history())
    released = [
        ask(policy, story.settings, aggregates={name: aggregate}, by=[key], where=LEFT, analyst="somebody else")
        for name, aggregate, key in (
            ("departures", Count(), "origin"),
            ("airframes", CountDistinct(policy.unit, exact=True), "carrier"),
        )
    ]
    answers = (flights.table, planes.table)
    same = [again.cached and again.table == first for again, first in zip(released, answers, strict=True)]
    if len(ledger.history()) != charges or not all(same):
        raise DataError("the same question was answered twice", where=policy.address)
    try:
        planner.answer("departures by carrier", principal=ANALYST)
    except BudgetExceededError as error:
        refusal = str(error)
    else:
        raise DataError("a question past the budget was answered", where=policy.address)
    rows = Table.open(story.lake.stream_rows("flights")).read(["kind", "tailnum", "origin", "carrier"])
    story.outcome["private"] = {
        "flights": _beside(flights.table, rows, "origin", "departures", "count(*)"),
        "aircraft": _beside(planes.table, rows, "carrier", "airframes", "count(DISTINCT tailnum)"),
        "charges": ledger.verify(),
        "released": sum(float(release.cost.epsilon) for release in released),
        "ledger": float(ledger.spent(policy).epsilon),
        "lines": [
            {
                "number": line.number,
                "analyst": line.analyst,
                "question": line.question,
                "epsilon": float(line.loss.epsilon),
                "spent": float(line.dataset_spent.epsilon),
                "digest": line.digest,
            }
            for line in ledger.history()
        ],
        "budget": policy.budget.epsilon,
        "max_rows": policy.max_rows,
        "refusal": refusal,
    }
    shown.note(
        f"{flights.table.num_rows} airports and {planes.table.num_rows} carriers were answered for epsilon "
        f"{story.outcome['private']['ledger']:g} of {policy.budget.epsilon:g}; the same question again cost nothing"
    )
    shown.note("the next question was refused: the budget does not allow it")


def _beside(answer: pa.Table, rows: pa.Table, key: str, name: str, exact: str) -> list[dict[str, Any]]:
    """Private and true values by key. Only a story whose data are public may look."""
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        truth = connection.sql(f"SELECT {key}, {exact} AS n FROM rows WHERE {LEFT} GROUP BY ALL").to_arrow_table()
    known = dict(zip(truth[key].to_pylist(), truth["n"].to_pylist(), strict=True))
    return [
        {"key": row[key], "private": row[name], "error": row[f"{name}_error"], "true": known[row[key]]}
        for row in answer.to_pylist()
    ]
