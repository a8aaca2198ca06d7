"""Mistakes in semantic models, privacy policies and monitors, and in the expressions that they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mercury import definitions as d
from mercury.errors import DefinitionError, ExpressionError
from mercury.projects import check_expressions
from tests.kernel.test_definitions import FLIGHTS, MODEL, TABLE

BOARD = d.SemanticModel(
    "board",
    source=FLIGHTS,
    dimensions={"airline": "carrier"},
    metrics={"flights": d.Count(), "late": d.Count(where="dep_delay > 15")},
)
POLICY = d.PrivacyPolicy("people", source=FLIGHTS, unit="id")
MONITOR = d.Monitor("watch", MODEL, watch={"raw_delay": "dep_delay"})

MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: d.SemanticModel("b", metrics={"n": d.Count()}), "has no source (SemanticModel/b.source). Write source="),
    (lambda: replace(BOARD, metrics={}), "has no metric (SemanticModel/board.metrics). Give metrics="),
    (lambda: replace(BOARD, time="carrier"), "time='carrier' is not a timestamp column of Stream/flights"),
    (lambda: replace(BOARD, timezone="America/NewYork"), "is not a time zone (SemanticModel/board.timezone). Did you"),
    (lambda: replace(BOARD, dimensions={"day": "carrier"}), "'day' is already the name of another column"),
    (lambda: replace(BOARD, metrics={"airline": d.Count()}), "'airline' is already the name of another column"),
    (lambda: replace(BOARD, metrics={"n": d.Count(over="1d")}), "metric 'n' has over='1d'"),
    (
        lambda: replace(BOARD, metrics={**BOARD.metrics, "share": d.Ratio("late", "flight")}),
        "metric 'share' is of 'flight', which is no metric of this model (SemanticModel/board.metrics). Did you mean",
    ),
    (lambda: d.Ratio("late"), "a ratio needs two metrics (Ratio.denominator). Write Ratio("),
    (lambda: d.Derived(), "a derived metric needs an expression (Derived.expression). Write Derived("),
    (lambda: d.Rollup("week"), "grain='week' is not known (Rollup.grain)"),
    (lambda: d.Rollup(by=["airline", "airline"]), "by names 'airline' 2 times (Rollup.by)"),
    (
        lambda: replace(BOARD, rollups={"daily": d.Rollup(by=["carrier"])}),
        "rollup 'daily' has by='carrier', which this model does not define (SemanticModel/board.rollups)",
    ),
    (
        lambda: replace(BOARD, rollups={"daily": d.Rollup(metrics=["lat"])}),
        "rollup 'daily' has metrics='lat', which this model does not define (SemanticModel/board.rollups). Did you",
    ),
    (
        lambda: replace(BOARD, privacy=d.PrivacyPolicy("p", source=TABLE, unit="carrier")),
        "PrivacyPolicy/p guards another source (SemanticModel/board.privacy). Give a policy of Stream/flights",
    ),
    (lambda: d.PrivacyPolicy("p", unit="id"), "the policy guards nothing (PrivacyPolicy/p.source)"),
    (lambda: d.PrivacyPolicy("p", source=FLIGHTS), "does not say whose privacy counts (PrivacyPolicy/p.unit)"),
    (lambda: replace(POLICY, epsilon=0), "epsilon=0.0 allows no answer (PrivacyPolicy/people.epsilon)"),
    (lambda: replace(POLICY, epsilon=float("nan")), "epsilon=nan is not a finite number (PrivacyPolicy/people.epsilon"),
    (lambda: replace(POLICY, max_groups=0), "max_groups=0 lets nothing count (PrivacyPolicy/people.max_groups)"),
    (lambda: replace(POLICY, max_rows=0), "max_rows=0 lets nothing count (PrivacyPolicy/people.max_rows)"),
    (
        lambda: replace(POLICY, bounds={"dep_dely": d.Bounds(0, 60)}),
        "'dep_dely' is not a column of Stream/flights (PrivacyPolicy/people.bounds). Did you mean 'dep_delay'?",
    ),
    (lambda: replace(POLICY, public_keys={"carrier": []}), "public_keys['carrier'] is empty"),
    (lambda: replace(POLICY, public_keys={"carrier": ["A", "A"]}), "public_keys['carrier'] names a value twice"),
    (lambda: d.Bounds(60, 0), "low=60.0 is not below high=0.0 (Bounds.high)"),
    (lambda: d.Bounds(0, 1, step=0), "step=0.0 does not suit 0.0 to 1.0 (Bounds.step)"),
    (lambda: d.Bounds(0, 1e12), "step=1.0 does not suit 0.0 to 1000000000000.0 (Bounds.step)"),
    (lambda: d.Budget(0), "epsilon=0.0 allows no answer (Budget.epsilon)"),
    (lambda: d.Budget(1, 1), "delta=1.0 is no probability below 1 (Budget.delta)"),
    (lambda: d.Monitor("m"), "the monitor watches no model (Monitor/m.model)"),
    (lambda: replace(MONITOR, timezone="Mars/Olympus"), "'Mars/Olympus' is not a time zone (Monitor/watch.timezone)"),
    (lambda: replace(MONITOR, atom_share=0.6), "atom_share=0.6 is out of range (Monitor/watch.atom_share)"),
    (lambda: replace(MONITOR, window="0s"), "window='0s' is not a duration longer than zero (Monitor/watch.window)"),
    (
        lambda: replace(MONITOR, watch={"flights_1d": "dep_delay"}),
        "'flights_1d' is already the name of another column (Monitor/watch.watch)",
    ),
    (
        lambda: replace(MONITOR, watch={"score": "dep_delay"}),
        "'score' is already the name of another column (Monitor/watch.watch)",
    ),
    (
        lambda: replace(MONITOR, window="7d", average_run_length="1d"),
        "average_run_length='1d' is shorter than window='7d' (Monitor/watch.average_run_length)",
    ),
]


@pytest.mark.parametrize(("make", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_mistake_is_one_clear_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "place"),
    [
        (replace(BOARD, dimensions={"airline": "carier"}), "SemanticModel/board.dimensions.airline"),
        (replace(BOARD, metrics={"n": d.Sum("dep_dely")}), "SemanticModel/board.metrics.n.of"),
        (replace(BOARD, metrics={"n": d.Count(where="carier = 'AA'")}), "SemanticModel/board.metrics.n.where"),
        (replace(BOARD, where="dep_delay"), "SemanticModel/board.where"),
        (replace(POLICY, unit="idd"), "PrivacyPolicy/people.unit"),
        (replace(MONITOR, watch={"x": "dep_dely + 1"}), "Monitor/watch.watch.x"),
        (replace(MONITOR, watch_where="dep_dely > 1"), "Monitor/watch.watch_where"),
    ],
)
def test_expression_that_does_not_fit_its_source_is_placed(part: d.Named, place: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        check_expressions(d.Project("p", [part]))
    assert (caught.value.where or "").startswith(place)
