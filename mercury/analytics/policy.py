"""Queries about people: a model with a privacy policy answers through the gate of `mercury.privacy`, and only there.

What is asked becomes counts, sums and means by columns; the gate bounds, charges, adds noise and keeps the answer.
Ratios and derived metrics are computed from the noisy leaves, which costs nothing more. Parts are handed over in one
order, so that the same question, however it was written, is charged once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mercury.analytics.answers import Answer, Explain, shaped
from mercury.analytics.conditions import conjunction, text_of
from mercury.analytics.model import ResolvedModel
from mercury.analytics.query import MetricQuery
from mercury.errors import UsageError
from mercury.expressions import Expression
from mercury.time import to_iso

if TYPE_CHECKING:
    from mercury.config import Settings
    from mercury.privacy import Release


def private_answer(query: MetricQuery, model: ResolvedModel, settings: Settings, principal: str | None) -> Answer:
    """The released answer of a query, each leaf with its error bar (``<name>_error``, 95 %).

    Raises `UsageError` for nobody's question, for groups that are no plain columns and for aggregates that have no
    private answer, `BudgetExceededError` when the budget does not allow it.
    """
    from mercury.privacy import ask

    policy = model.model.privacy
    assert policy is not None
    if not principal:
        raise UsageError(
            f"{model.name!r} has a privacy policy and answers nobody without a name",
            where="analyst",
            fix='Say who asks: --analyst NAME, or "analyst" in the body',
        )
    columns = _columns(query, model)
    leaves = model.leaves(query.metrics)
    release = ask(
        policy,
        settings,
        aggregates={name: leaves[name] for name in sorted(leaves)},
        by=sorted(columns.values()),
        where=_condition(query, model),
        analyst=principal,
    )
    assert release.table is not None
    names = {column: name for name, column in columns.items()}
    found = release.table.rename_columns([names.get(name, name) for name in release.table.column_names])
    table, truncated = shaped(_in_order(found, query), query, model)
    aligned = _aligned(found, table, query)
    for name in query.metrics:
        if f"{name}_error" in found.column_names:
            place = table.column_names.index(name) + 1
            table = table.add_column(place, f"{name}_error", aligned[f"{name}_error"])
    return Answer(table, _explain(query, model, release), truncated)


def _columns(query: MetricQuery, model: ResolvedModel) -> dict[str, str]:
    """Dimension to the source's column that it is."""
    found: dict[str, str] = {}
    for name in query.by:
        text = model.model.dimensions.get(name)
        tree = None if text is None else Expression.parse(text).tree
        if tree is None or tree.op != "column":
            raise UsageError(
                f"{name!r} is no plain column, and private answers are by columns",
                where="by",
                fix="Group by a dimension that is a column; ask for a range of time with time >= …",
            )
        if str(tree.value) in found.values():
            raise UsageError(f"{name!r} is a column that is grouped by already", where="by", fix="Name it once")
        found[name] = str(tree.value)
    return found


def _condition(query: MetricQuery, model: ResolvedModel) -> str | None:
    parts = [model.model.where] if model.model.where is not None else []
    if query.where is not None:
        parts.append(text_of(Expression.parse(query.where).tree, model.model.dimensions))
    for operator, bound in ((">=", query.start), ("<", query.end)):
        if bound is not None:
            parts.append(f"{model.time} {operator} TIMESTAMP '{to_iso(bound)}'")
    return conjunction(parts)


def _in_order(found: pa.Table, query: MetricQuery) -> pa.Table:
    """Groups in the order of the query's columns; the gate's are in another."""
    return found.sort_by([(name, "ascending") for name in query.by]) if query.by else found


def _aligned(found: pa.Table, table: pa.Table, query: MetricQuery) -> pa.Table:
    """Rows of the release in the order of the answer's groups."""
    if not query.by:
        return found
    places = {_key(row, query): place for place, row in enumerate(found.select(list(query.by)).to_pylist())}
    order = [places[_key(row, query)] for row in table.select(list(query.by)).to_pylist()]
    return found.take(pa.array(order, pa.int64()))


def _key(row: dict[str, Any], query: MetricQuery) -> tuple[Any, ...]:
    return tuple(row[name] for name in query.by)


def _explain(query: MetricQuery, model: ResolvedModel, release: Release) -> Explain:
    policy = model.model.privacy
    assert policy is not None and policy.source is not None
    privacy = {
        "policy": policy.name,
        "cost": str(release.cost),
        "charged": not release.cached,
        "remaining": str(release.remaining),
        "question": release.question,
    }
    return Explain(
        query.to_dict(), policy.source.address, None, None, "privacy gate", cached=release.cached, privacy=privacy
    )
