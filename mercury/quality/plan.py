"""The plan of a run: checks become the fewest metrics, columns and expressions that one pass has to compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mercury.quality.block import Block, evaluation_error
from mercury.quality.checks import Check
from mercury.quality.metrics.base import Footer, Metric


@dataclass(frozen=True)
class Broken:
    """The state of a metric that could not be computed: an error, of its own checks only."""

    message: str


@dataclass(frozen=True)
class Partial:
    """What a part of a run leaves: rows, a state per metric, and which metrics read data (the others used footers)."""

    rows: int
    states: dict[Metric, Any]
    scanned: frozenset[Metric] = frozenset()
    size: int = 0


@dataclass(frozen=True)
class Plan:
    """The distinct metrics of a run, in the order in which the checks first need them."""

    metrics: tuple[Metric, ...]

    def columns(self, metrics: Sequence[Metric]) -> tuple[str, ...]:
        """The columns that some metrics need, each once."""
        return tuple(dict.fromkeys(name for metric in metrics for name in metric.columns))

    def from_footer(self, footer: Footer | None) -> tuple[dict[Metric, Any], tuple[Metric, ...]]:
        """The states that statistics prove, and the metrics that remain to be computed from data."""
        if footer is None:
            return {}, self.metrics
        known: dict[Metric, Any] = {}
        for metric in self.metrics:
            try:
                state = metric.from_footer(footer)
            except Exception:
                state = None  # the scan meets the same fault, and reports it with the check that it belongs to
            if state is not None:
                known[metric] = state
        return known, tuple(metric for metric in self.metrics if metric not in known)


def plan(checks: Sequence[Check], schema: pa.Schema) -> Plan:
    """The plan of the checks that the schema allows: one with a missing column is never computed."""
    computable = (check for check in checks if not missing_columns(check, schema))
    return Plan(tuple(dict.fromkeys(metric for check in computable for metric in check.metrics)))


def missing_columns(check: Check, schema: pa.Schema) -> list[str]:
    """The columns that a check needs and the data lacks."""
    if not check.needs_columns:
        return []
    return [name for name in check.columns if name not in schema.names]


def expressions_of(metrics: Sequence[Metric]) -> tuple[str, ...]:
    """The SQL conditions that some metrics ask for, each once."""
    return tuple(dict.fromkeys(text for metric in metrics for text in metric.expressions))


def compute(metrics: Sequence[Metric], block: Block) -> dict[Metric, Any]:
    """The state of each metric for one block; a failing metric becomes `Broken` and leaves the others alone."""
    states: dict[Metric, Any] = {}
    for metric in metrics:
        try:
            states[metric] = metric.partial(block)
        except Exception as error:
            states[metric] = Broken(evaluation_error(error))
    return states


def merge(plan: Plan, parts: Sequence[Partial]) -> Partial:
    """All parts together, whatever their order; `Broken` absorbs."""
    states: dict[Metric, Any] = {}
    for metric in plan.metrics:
        found = [part.states[metric] for part in parts if metric in part.states]
        broken = sorted(state.message for state in found if isinstance(state, Broken))
        states[metric] = Broken(broken[0]) if broken else _merged(metric, found)
    return Partial(
        sum(part.rows for part in parts),
        states,
        frozenset().union(*(part.scanned for part in parts)),
        sum(part.size for part in parts),
    )


def _merged(metric: Metric, found: Sequence[Any]) -> Any:
    try:
        return metric.merge(found)
    except Exception as error:
        return Broken(evaluation_error(error))
