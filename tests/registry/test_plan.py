"""Plans: what a person and a program read of the difference between two projects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mercury import Count, FeatureService, FeatureView, LightGBM, Mean, Model, Project, Stream
from mercury.definitions import Aggregate
from mercury.registry import Change, FieldChange
from mercury.registry.plan import DEFAULT, make_plan
from tests.registry.projects import project

OLD = project()
STREAM, VIEW = "Stream/flights", "FeatureView/carrier_delay"


def versions(address: str, *projects: Project) -> tuple[str, ...]:
    return tuple(part.version for each in projects for part in each.definitions if part.address == address)


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
    new = project(lateness="3h")
    plan = make_plan(OLD, 1, new)
    assert plan.changes == (
        Change("follow", "FeatureService/risk", (), ("Stream/flights",), *versions("FeatureService/risk", OLD, new)),
        Change("follow", "FeatureView/carrier_delay", (), ("Stream/flights",), *versions(VIEW, OLD, new)),
        Change("change", STREAM, (FieldChange("lateness", "2h", "3h"),), (), *versions(STREAM, OLD, new)),
        Change("follow", "Window/hourly", (), ("Stream/flights",), *versions("Window/hourly", OLD, new)),
    )
    assert all(change.before != change.after for change in plan.changes)


def test_text_is_what_a_person_reads() -> None:
    new = project(lateness="0s", over="2d", windows=False)
    risk, view, stream, window = (
        " → ".join(version[:8] for version in versions(address, OLD, new))
        for address in ("FeatureService/risk", VIEW, STREAM, "Window/hourly")
    )
    plan = make_plan(OLD, 1, new)
    assert plan.text().splitlines() == [
        "Project flights: revision 1 → 2",
        f"  ~ FeatureService/risk  {risk}  through FeatureView/carrier_delay, Stream/flights",
        f"  ~ FeatureView/carrier_delay  {view}",
        "      features.flights_1d.over: 1d → 2d",
        "      features.late_1d.over: 1d → 2d",
        f"  ~ Stream/flights  {stream}",
        "      lateness: 2h → (default)",
        f"  - Window/hourly  {window}",
        "2 changed, 1 removed, 1 changed through others",
    ]
    assert (len(risk), len(window)) == (19, 8)


def test_changed_contract_file_changes_its_stream() -> None:
    old = project(contracts={"flights.odcs.yaml": "a" * 64})
    new = project(contracts={"flights.odcs.yaml": "b" * 64})
    plan = make_plan(old, 1, new)
    stream = next(change for change in plan.changes if change.address == "Stream/flights")
    assert stream.fields == (FieldChange("contract_sha256", "a" * 64, "b" * 64),)
    assert "      contract_sha256: aaaaaaaaaaaa… → bbbbbbbbbbbb…" in plan.text().splitlines()
    assert (stream.before, stream.after) == versions(STREAM, old, new)
    assert {change.address for change in plan.changes if change.action == "follow"} == {
        "FeatureService/risk",
        "FeatureView/carrier_delay",
        "Window/hourly",
    }


def with_features(**features: Aggregate) -> Project:
    (view,) = OLD.of(FeatureView)
    return Project("flights", [replace(view, features=features)])


DAY, LATE = Count(over="1d"), Mean("delay > 15", over="1d")


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"a": DAY, "b": LATE}, {"b": LATE, "a": DAY}, ['features.(order): ["a", "b"] → ["b", "a"]']),
        ({"a": DAY}, {"a": DAY, "b": DAY}, ["features.b.kind: (absent) → Count", "features.b.over: (absent) → 1d"]),
        (
            {"a": DAY},
            {"b": DAY, "a": DAY},
            [
                "features.b.kind: (absent) → Count",
                "features.b.over: (absent) → 1d",
                'features.(order): ["a"] → ["b", "a"]',
            ],
        ),
        ({"a": DAY, "b": DAY}, {"b": DAY}, ["features.a.kind: Count → (absent)", "features.a.over: 1d → (absent)"]),
        ({"a": DAY}, {"a": replace(DAY, where="delay > 0")}, ["features.a.where: (default) → delay > 0"]),
    ],
    ids=["moved", "appended", "inserted", "removed", "set"],
)
def test_order_and_absence_are_shown(
    before: dict[str, Aggregate], after: dict[str, Aggregate], lines: list[str]
) -> None:
    plan = make_plan(with_features(**before), 1, with_features(**after))
    assert [line.strip() for line in plan.text().splitlines()[2:-1]] == lines


def test_values_that_python_takes_for_equal_are_shown_as_changes() -> None:
    def fields(old: object, new: object) -> list[str]:
        one, other = (Project("p", [_model(value)]) for value in (old, new))
        return [str(part) for change in make_plan(one, 1, other).changes for part in change.fields]

    assert fields(1, 1.0) == ["trainer.params.x: 1 → 1.0"]
    assert fields(1, True) == ["trainer.params.x: 1 → true"]
    assert fields("1", 1) == ['trainer.params.x: "1" → 1']
    assert fields("a", "a\nb") == ['trainer.params.x: a → "a\\nb"']


def _model(parameter: object) -> Model:
    (service,) = OLD.of(FeatureService)
    (labels,) = OLD.of(Stream)
    trainer = LightGBM(params={"x": parameter})  # type: ignore[dict-item]
    return Model("m", service=service, labels=labels, label="delay > 15", event_time="ts", trainer=trainer)


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
        "before": "8945eeb0d3bad095",
        "after": "d601cd3736844fa0",
    }
    assert DEFAULT not in str(document)
