"""Semantic models are checked when the project is loaded: circles, unknown names, types."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mercury import Count, CountDistinct, Project, Sum
from mercury.analytics import resolve
from mercury.definitions import Derived, PrivacyPolicy, Ratio, Rollup, TopK
from mercury.errors import DefinitionError, ExpressionError, MercuryError
from mercury.projects import check_expressions
from tests.analytics.world import events, model

N = Count()


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ({"n": N, "a": Derived("b + n"), "b": Derived("a * 2")}, DefinitionError, "made of itself: a -> b -> a"),
        ({"n": N, "a": Derived("a")}, DefinitionError, "metric 'a' is made of itself: a -> a"),
        ({"n": N, "a": Ratio("b", "n"), "b": Ratio("a", "n")}, DefinitionError, "made of itself: a -> b -> a"),
        ({"n": N, "a": Derived("n / m")}, DefinitionError, "is of 'm', which is no metric of this model"),
        ({"flights": N, "a": Derived("1 - fligths")}, DefinitionError, "Did you mean 'flights'?"),
        ({"n": N, "a": Derived("n +")}, ExpressionError, "SemanticModel/air.metrics.a"),
        ({"n": N, "a": Derived("upper(n)")}, ExpressionError, "SemanticModel/air.metrics.a"),
        ({"n": N, "t": TopK("tail", k=3), "a": Ratio("t", "n")}, DefinitionError, "has lists as answers"),
        ({"n": N, "N": Count("tail")}, DefinitionError, "'n' and 'N' differ only in case"),
        ({"n": Sum("dely")}, ExpressionError, "no column 'dely'"),
    ],
)
def test_metrics_that_cannot_be_are_refused_when_the_project_is_loaded(
    metrics: dict[str, Any], error: type[MercuryError], message: str
) -> None:
    project = Project("sky", [events, replace(model, metrics=metrics, rollups={})])

    with pytest.raises(error) as caught:
        check_expressions(project)

    assert message in str(caught.value)


def test_a_dimension_may_not_take_the_name_of_time() -> None:
    with pytest.raises(DefinitionError, match="what queries call the time"):
        resolve(replace(model, dimensions={"time": "carrier"}, rollups={}))


def test_a_private_model_keeps_no_rollups() -> None:
    policy = PrivacyPolicy("people", source=events, unit="tail")

    with pytest.raises(DefinitionError, match="keeps no rollups"):
        resolve(replace(model, privacy=policy))


def test_a_metric_is_made_of_leaves() -> None:
    resolved = resolve(model)

    assert list(resolved.leaves(["score"])) == ["flights", "late", "mean_delay"]
    assert [name for name, _ in resolved.computed(["score"])] == ["late_rate", "score"]


def test_a_rollup_keeps_what_merges_and_the_distinct_counts_of_its_keys() -> None:
    resolved = resolve(replace(model, metrics={**model.metrics, "top": TopK("tail"), "rough": CountDistinct("tail")}))

    daily = resolved.kept(model.rollups["daily"])
    without_keys = resolved.kept(Rollup("day"))

    assert "planes" in daily and "top" not in daily
    assert "planes" not in without_keys and "rough" in without_keys
    assert set(resolved.kept(Rollup("day", metrics=["score"]))) == {"flights", "late", "mean_delay"}
