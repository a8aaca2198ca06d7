"""Plans: what a person and a program read of the difference between two projects."""

from __future__ import annotations

import pytest

from mercury.registry import Change, FieldChange
from mercury.registry.plan import DEFAULT, make_plan
from tests.registry.projects import project

OLD = project()


def actions(new: object) -> dict[str, str]:
    return {change.address: change.action for change in make_plan(OLD, 1, new).changes}  # type: ignore[arg-type]


def test_first_plan_adds_everything() -> None:
    plan = make_plan(None, 0, OLD)
    assert {change.action for change in plan.changes} == {"add"}
    assert len(plan.changes) == 5
    assert not plan.empty


def test_equal_projects_need_no_change() -> None:
    plan = make_plan(OLD, 4, project())
    assert plan.empty
    assert plan.text() == "Project flights: revision 4, no changes"


def test_changed_field_shows_old_and_new_and_its_dependents_follow() -> None:
    plan = make_plan(OLD, 1, project(lateness="3h"))
    assert plan.changes == (
        Change("follow", "FeatureService/risk", through=("Stream/flights",)),
        Change("follow", "FeatureView/carrier_delay", through=("Stream/flights",)),
        Change("change", "Stream/flights", (FieldChange("lateness", "2h", "3h"),)),
        Change("follow", "Window/hourly", through=("Stream/flights",)),
    )


def test_text_is_what_a_person_reads() -> None:
    plan = make_plan(OLD, 1, project(lateness="0s", over="2d", windows=False))
    assert plan.text().splitlines() == [
        "Project flights: revision 1 → 2",
        "  ~ FeatureService/risk  changes through FeatureView/carrier_delay, Stream/flights",
        "  ~ FeatureView/carrier_delay",
        "      features.flights_1d.over: 1d → 2d",
        "      features.late_1d.over: 1d → 2d",
        "  ~ Stream/flights",
        "      lateness: 2h → (default)",
        "  - Window/hourly",
        "2 changed, 1 removed, 1 changed through others",
    ]


def test_changed_contract_file_changes_its_stream() -> None:
    old = project(contracts={"flights.odcs.yaml": "a" * 64})
    new = project(contracts={"flights.odcs.yaml": "b" * 64})
    plan = make_plan(old, 1, new)
    stream = next(change for change in plan.changes if change.address == "Stream/flights")
    assert stream.fields == (FieldChange("contract file", "a" * 12, "b" * 12),)
    assert {change.address for change in plan.changes if change.action == "follow"} == {
        "FeatureService/risk",
        "FeatureView/carrier_delay",
        "Window/hourly",
    }


@pytest.mark.parametrize(("windows", "expected"), [(True, {}), (False, {"Window/hourly": "remove"})])
def test_removed_definition_is_named(windows: bool, expected: dict[str, str]) -> None:
    assert actions(project(windows=windows)) == expected


def test_document_has_every_change() -> None:
    document = make_plan(OLD, 1, project(over="2d")).to_dict()
    assert document["base"] == 1
    assert document["version"] == project(over="2d").version
    assert document["changes"][1] == {
        "action": "change",
        "address": "FeatureView/carrier_delay",
        "fields": [
            {"path": "features.flights_1d.over", "old": "1d", "new": "2d"},
            {"path": "features.late_1d.over", "old": "1d", "new": "2d"},
        ],
        "through": [],
    }
    assert DEFAULT not in str(document)
