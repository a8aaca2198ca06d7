"""Questions through the gate: answered, charged once, refused past the budget, and never for free or in part."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mercury.definitions import Bounds, Budget, Count, CountDistinct, Max, Mean, Sum
from mercury.errors import BudgetExceededError, DataError, ExpressionError, SchemaError, TableNotFoundError, UsageError
from mercury.lake import Lake
from mercury.privacy import Loss, ask, ledger_of
from mercury.tables import Table
from tests.privacy.people import SHOPS, policy, settings, visits


@pytest.fixture
def project(tmp_path: Path) -> Any:
    return settings(tmp_path, visits(5_000, 1))


def question(**options: Any) -> dict[str, Any]:
    return {"aggregates": {"n": Count()}, "by": ["shop"], "analyst": "ann", **options}


def test_an_answer_is_near_the_truth_and_says_how_near(project: Any) -> None:
    """Each interval holds with 95 %; all 12 at once are off by more than four times with less than 10^-9."""
    one = policy(max_groups=3, max_rows=40, epsilon=8.0)
    release = ask(
        one,
        project,
        **question(aggregates={"n": Count(), "spent": Sum("spent"), "items": Mean("items"),
                               "people": CountDistinct("person", exact=True)}),
    )  # fmt: skip

    rows = Table.open(Lake(project.lake).table("visits")).read()
    assert release.table is not None and release.table["shop"].to_pylist() == SHOPS
    for row in release.table.to_pylist():
        own = rows.filter(pa.array([shop == row["shop"] for shop in rows["shop"].to_pylist()])).to_pylist()
        truth = {
            "n": len(own),
            "spent": sum(min(each["spent"], 50.0) for each in own),
            "items": sum(min(each["items"], 10) for each in own) / len(own),
            "people": len({each["person"] for each in own}),
        }
        for name, value in truth.items():
            assert abs(row[name] - value) <= 4 * row[f"{name}_error"], name
    assert set(release.errors) == {"n", "spent", "people"}


def test_the_same_question_costs_nothing_and_has_the_same_answer(project: Any) -> None:
    first = ask(policy(), project, **question())
    again = ask(policy(), project, **question(analyst="bob"))
    spelt = ask(policy(), project, **question(epsilon=1))

    assert not first.cached and again.cached and spelt.cached
    assert again.table.equals(first.table) and spelt.table.equals(first.table)
    assert len(ledger_of(project).history()) == 1
    assert again.spent == Loss(Fraction(1))


def test_other_data_make_it_another_question(project: Any) -> None:
    ask(policy(), project, **question())
    Table.open(Lake(project.lake).table("visits")).append(visits(10, 2))

    release = ask(policy(), project, **question())

    assert not release.cached
    assert release.spent == Loss(Fraction(2))


def test_a_dry_run_says_what_it_would_cost_and_spends_nothing(project: Any) -> None:
    release = ask(policy(), project, **question(dry_run=True))

    assert release.table is None and not release.cached
    assert (release.cost, release.spent) == (Loss(Fraction(1)), Loss())
    assert release.errors["n"] == pytest.approx(6 * 3.0, abs=1)
    assert ledger_of(project).history() == []


def test_past_the_budget_it_is_refused_and_nothing_changes(project: Any) -> None:
    tight = policy(budget=Budget(1.5), analyst_budget=Budget(1.0))
    ask(tight, project, **question())

    with pytest.raises(
        BudgetExceededError, match=r"costs epsilon 0\.3 and delta 0, and analyst 'ann' has epsilon 0 and"
    ):
        ask(tight, project, **question(epsilon=0.3))
    ask(tight, project, **question(epsilon=0.3, analyst="bob"))
    with pytest.raises(BudgetExceededError, match=r"Table/visits has epsilon 0\.2 and delta"):
        ask(tight, project, **question(epsilon=0.3, analyst="bob", where="items > 1"))
    with pytest.raises(BudgetExceededError):
        ask(tight, project, **question(epsilon=0.3, analyst="bob", where="items > 1", dry_run=True))
    assert ask(tight, project, **question()).cached

    assert [line.analyst for line in ledger_of(project).history()] == ["ann", "bob"]
    assert ledger_of(project).verify() == 2


def test_noise_cannot_be_averaged_away(project: Any) -> None:
    """A hundred spellings and analysts get one draw; a hundred questions of other epsilons do not fit the budget."""
    answers = {
        tuple(ask(policy(), project, **question(analyst=f"a{number}")).table["n"].to_pylist()) for number in range(10)
    }
    assert len(answers) == 1

    spent = 0
    with pytest.raises(BudgetExceededError):
        for number in range(1, 200):
            ask(policy(), project, **question(epsilon=1 + number / 1000))
            spent += 1
    assert spent == 8
    assert ledger_of(project).spent(policy()).within(Loss.of(policy().budget))


def test_keys_that_are_not_public_are_named_only_where_many_people_are(tmp_path: Path) -> None:
    rows = pa.concat_tables([visits(3_000, 3), visits(1, 4).slice(0, 1).set_column(2, "shop", pa.array(["secret"]))])
    project = settings(tmp_path, rows)

    release = ask(policy(public_keys={}), project, **question())

    assert release.table["shop"].to_pylist() == SHOPS
    assert release.cost == Loss(Fraction(1), Fraction(1, 10**8))


def test_public_keys_are_answered_though_nobody_is_there(project: Any) -> None:
    release = ask(policy(public_keys={"shop": ["east", *SHOPS]}), project, **question())

    assert release.table["shop"].to_pylist() == ["east", *SHOPS]
    assert abs(release.table["n"][0].as_py()) < 200


def test_without_groups_there_is_one_row_even_of_nothing(project: Any) -> None:
    release = ask(policy(), project, **question(by=[], where="items > 100"))

    assert release.table.num_rows == 1
    assert abs(release.table["n"][0].as_py()) < 200


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"aggregates": {}}, UsageError, "the question asks for nothing"),
        ({"aggregates": {"m": Max("spent")}}, UsageError, "'m' is a Max, which has no private answer here"),
        ({"aggregates": {"m": CountDistinct("shop")}}, UsageError, "'m' is a CountDistinct, which has no private"),
        ({"aggregates": {"s": Sum("ts")}}, UsageError, "'s' adds up 'ts', which has no bounds"),
        ({"aggregates": {"s": Sum("spnt")}}, UsageError, "Did you mean 'spent'"),
        ({"aggregates": {"n": Count(where="itms > 1")}}, ExpressionError, "no column 'itms'"),
        ({"aggregates": {"shop": Count()}}, UsageError, "'shop' is the name of two columns of the answer"),
        ({"aggregates": {"n": Count(), "n_error": Count()}}, UsageError, "'n_error' is the name of two columns"),
        ({"by": ["shp"]}, SchemaError, "'shp' is not a column of BatchTable/visits.*Did you mean 'shop'"),
        ({"by": ["shop", "shop"]}, UsageError, "names a column twice"),
        ({"where": "itms > 1"}, ExpressionError, "no column 'itms'"),
        ({"where": "items"}, ExpressionError, "not a condition"),
        ({"where": "shop = 'x'; DROP TABLE visits"}, ExpressionError, "not one expression"),
        ({"epsilon": 0.0}, UsageError, "epsilon=0.0 allows no answer"),
        ({"epsilon": -1.0}, UsageError, "allows no answer"),
        ({"analyst": " "}, UsageError, "nobody asks"),
    ],
)
def test_a_bad_question_is_one_clear_error_and_leaves_no_trace(
    project: Any, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        ask(policy(), project, **question(**options))
    assert ledger_of(project).history() == []


def test_errors_name_no_value_of_anybody(tmp_path: Path) -> None:
    rows = visits(3, 5)
    project = settings(tmp_path, rows.set_column(0, "person", pa.nulls(rows.num_rows, pa.string())))

    with pytest.raises(DataError) as caught:
        ask(policy(), project, **question())
    assert not any(shop in str(caught.value) for shop in SHOPS)
    assert ledger_of(project).history() == []


def test_without_delta_private_keys_are_refused(project: Any) -> None:
    with pytest.raises(UsageError, match="groups of shop cannot be found without delta"):
        ask(policy(public_keys={}, budget=Budget(10, 0)), project, **question())


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    project = settings(tmp_path, visits(2, 6))
    other = policy(source=policy().source.__class__("gone", schema=policy().source.schema, event_time="ts"))

    with pytest.raises(TableNotFoundError):
        ask(other, project, **question())


def test_bounds_with_a_coarse_step_keep_their_range(project: Any) -> None:
    coarse = policy(bounds={"spent": Bounds(0, 50, step=50), "items": Bounds(0, 10)}, epsilon=8.0, max_rows=40)
    release = ask(coarse, project, **question(aggregates={"spent": Sum("spent")}))

    assert all(value % 50 == 0 for value in release.table["spent"].to_pylist())
