"""The story's private part: counts of flights in which no aircraft can be made out, from a budget that runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from flights.board import Step
from mercury.definitions import Count, CountDistinct, PrivacyPolicy
from mercury.errors import BudgetExceededError, DataError
from mercury.privacy import ask, ledger_of
from mercury.tables import Table

if TYPE_CHECKING:
    from flights.story import Story

ANALYST = "the story"
LEFT = "kind = 'departure' AND tailnum IS NOT NULL"


def ask_privately(story: Story, shown: Step) -> None:
    """Ask two questions, one of them twice, and a third that the budget refuses; set the answers beside the truth."""
    policy = story.project.get(PrivacyPolicy, "aircraft")
    shown.say("asking")

    def answer(**question: Any) -> Any:
        return ask(policy, story.settings, analyst=ANALYST, where=LEFT, **question)

    flights = answer(aggregates={"flights": Count()}, by=["origin"])
    again = answer(aggregates={"flights": Count()}, by=["origin"])
    planes = answer(aggregates={"aircraft": CountDistinct(policy.unit, exact=True)}, by=["carrier"])
    try:
        answer(aggregates={"flights": Count()}, by=["carrier"])
    except BudgetExceededError as error:
        refusal = str(error)
    else:
        raise DataError("a question past the budget was answered", where=policy.address)
    if not again.cached or not again.table.equals(flights.table):
        raise DataError("the same question was answered twice", where=policy.address)
    ledger = ledger_of(story.settings)
    rows = Table.open(story.lake.stream_rows("flights")).read(["kind", "tailnum", "origin", "carrier"])
    story.outcome["private"] = {
        "flights": _beside(flights.table, rows, "origin", "flights", "count(*)"),
        "aircraft": _beside(planes.table, rows, "carrier", "aircraft", "count(DISTINCT tailnum)"),
        "charges": ledger.verify(),
        "spent": float(flights.cost.epsilon + planes.cost.epsilon),
        "ledger": float(ledger.spent(policy).epsilon),
        "budget": policy.budget.epsilon,
        "max_rows": policy.max_rows,
        "refusal": refusal,
    }
    shown.note(
        f"{flights.table.num_rows} airports and {planes.table.num_rows} carriers were answered for epsilon "
        f"{story.outcome['private']['spent']:g} of {policy.budget.epsilon:g}; the same question again cost nothing"
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
