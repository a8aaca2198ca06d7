"""A model with a privacy policy answers through the gate and its ledger, and no other way."""

from __future__ import annotations

from pathlib import Path

import pytest

from mercury import Count, Mean, Project, Sum
from mercury.analytics import Planner, build_rollups
from mercury.config import Settings
from mercury.definitions import CountDistinct, Quantile, Ratio, SemanticModel
from mercury.errors import BudgetExceededError, UsageError
from mercury.privacy import ledger_of
from tests.privacy.people import VISITS, policy, settings, visits

POLICY = policy()
MODEL = SemanticModel(
    "shops",
    VISITS,
    dimensions={"shop": "shop", "where_at": "shop", "half": "items > 5"},
    metrics={
        "visits": Count(),
        "many": Count(where="items > 5"),
        "share": Ratio("many", "visits"),
        "spent": Sum("spent"),
        "mean_spent": Mean("spent"),
        "people": CountDistinct("person", exact=True),
        "p90": Quantile("spent", 0.9),
    },
    privacy=POLICY,
)
PROJECT = Project("shops", [VISITS, POLICY, MODEL])


@pytest.fixture
def kept(tmp_path: Path) -> Settings:
    return settings(tmp_path, visits(3_000, 9))


def test_the_same_question_is_charged_once_however_it_is_written(kept: Settings) -> None:
    planner = Planner(PROJECT, kept)
    first = planner.answer("visits, many, share by shop", principal="ann")
    second = planner.answer("share, many, visits by shop order by visits desc", principal="bob")
    ledger = ledger_of(kept)

    assert first.explain.route == second.explain.route == "privacy gate"
    assert first.explain.privacy is not None and second.explain.privacy is not None
    assert (first.explain.privacy["charged"], second.explain.privacy["charged"]) == (True, False)
    assert len(ledger.history()) == 1
    assert float(ledger.spent(POLICY).epsilon) == 1.0
    mine = {row["shop"]: row["visits"] for row in first.table.to_pylist()}
    assert mine == {row["shop"]: row["visits"] for row in second.table.to_pylist()}
    assert second.table["visits"].to_pylist() == sorted(mine.values(), reverse=True)


def test_leaves_carry_error_bars_and_ratios_come_from_noisy_leaves(kept: Settings) -> None:
    table = Planner(PROJECT, kept).answer("visits, many, share by where_at where half is not null", principal="a").table

    assert table.column_names == ["where_at", "visits", "visits_error", "many", "many_error", "share"]
    assert table["where_at"].to_pylist() == ["north", "south", "west"]
    for row in table.to_pylist():
        assert row["share"] == pytest.approx(row["many"] / row["visits"])
        assert row["visits_error"] > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("visits by day", "'day' is no plain column"),
        ("visits by half", "'half' is no plain column"),
        ("visits by shop, where_at", "grouped by already"),
        ("p90", "has no private answer"),
    ],
)
def test_what_has_no_private_answer_is_refused_and_costs_nothing(kept: Settings, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Planner(PROJECT, kept).answer(text, principal="ann")

    assert ledger_of(kept).history() == []


def test_nobody_gets_no_answer(kept: Settings) -> None:
    with pytest.raises(UsageError, match="answers nobody without a name"):
        Planner(PROJECT, kept).answer("visits by shop")


def test_the_budget_ends_and_rollups_cannot_go_around_it(kept: Settings) -> None:
    planner = Planner(PROJECT, kept)
    for number in range(10):
        planner.answer(f"visits where shop <> 'x{number}'", principal="ann")

    with pytest.raises(BudgetExceededError):
        planner.answer("visits where shop <> 'y'", principal="ann")
    with pytest.raises(UsageError, match="has no rollups"):
        build_rollups(PROJECT, kept, "shops")
