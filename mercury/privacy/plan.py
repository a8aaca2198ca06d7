"""From a question to measurements: what is added up of each unit, how far it can move, and its share of epsilon.

The shape is fixed: filter rows, group them by unit and keys, bound what each unit gives, add up integers, draw noise
once. Nothing is computed of the sums before the noise, so that the bounds are those that were proven.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pyarrow as pa

from mercury.definitions import (
    Aggregate,
    Bounds,
    Count,
    CountDistinct,
    Mean,
    PrivacyPolicy,
    Sum,
    arrow_schema,
    canonical_json,
)
from mercury.errors import SchemaError, UsageError, did_you_mean
from mercury.expressions import Expression
from mercury.privacy.accounting import Loss, exact

FORMAT = 1
"""Version of what is hashed; another one makes every question a new one."""

KEY_SHARE = 100
"""Of the budget's delta, one part in so many goes into each answer that must find its groups."""

USERS = "users"
"""Name of the number of units in a group, which is measured where groups are found by their size."""


@dataclass(frozen=True)
class Measure:
    """An integer that each row gives, added up by group after each unit was bounded.

    Parameters
    ----------
    name : of the measure; several outputs may use one.
    value : SQL expression of the integer that a row gives, null for none.
    low, high : least and greatest value of a row.

    The measure `USERS` has no value: each unit of a group gives one, however many rows it has.
    """

    name: str
    value: str
    low: int
    high: int

    def sensitivity(self, policy: PrivacyPolicy) -> int:
        """How far all groups together can move when one unit comes or goes: the L1 distance."""
        rows = 1 if self.name == USERS else policy.max_rows
        return policy.max_groups * rows * max(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class Output:
    """A column of the answer: what it is computed from once there is noise in it.

    ``kind`` is count, sum, mean or users; a mean is ``centre + step * numerator / denominator``.
    """

    name: str
    kind: str
    measures: tuple[str, ...]
    step: float = 1.0
    centre: float = 0.0


@dataclass(frozen=True)
class PrivatePlan:
    """A question in its canonical form, with all that its answer costs."""

    policy: PrivacyPolicy
    by: tuple[str, ...]
    where: str | None
    measures: tuple[Measure, ...]
    outputs: tuple[Output, ...]
    epsilon: Fraction
    delta: Fraction

    @property
    def private_keys(self) -> bool:
        """Whether groups must be found by how many units are in them."""
        return any(column not in self.policy.public_keys for column in self.by)

    @property
    def share(self) -> Fraction:
        """Epsilon of each measurement."""
        return self.epsilon / (len(self.measures) + self.private_keys)

    @property
    def loss(self) -> Loss:
        """What the answer costs."""
        return Loss(self.epsilon, self.delta if self.private_keys else Fraction(0))

    def digest(self, data_version: str) -> str:
        """SHA-256 of the question about these data: equal questions, however they were spelt, have one answer."""
        question = {
            "format": FORMAT,
            "data": data_version,
            "policy": self.policy.version,
            "by": list(self.by),
            "where": self.where,
            "measures": [[part.name, part.value, part.low, part.high] for part in self.measures],
            "outputs": [[part.name, part.kind, list(part.measures)] for part in self.outputs],
            "epsilon": [self.epsilon.numerator, self.epsilon.denominator],
            "delta": [self.delta.numerator, self.delta.denominator],
        }
        return hashlib.sha256(canonical_json(question)).hexdigest()


def make_plan(
    policy: PrivacyPolicy,
    aggregates: Mapping[str, Aggregate],
    by: Sequence[str] = (),
    where: str | None = None,
    epsilon: float | None = None,
) -> PrivatePlan:
    """The plan of a question.

    Parameters
    ----------
    aggregates : output column to `Count`, `Sum`, `Mean` or an exact `CountDistinct` of the policy's unit.
    by : columns to group by; with public keys for all of them no threshold and no delta is needed.
    where : SQL condition on the rows.
    epsilon : what the answer may cost; the policy's own otherwise.

    Raises `UsageError` for what cannot be answered privately, `ExpressionError` for an expression that does not fit.
    """
    assert policy.source is not None and policy.unit is not None
    if not aggregates:
        raise UsageError("the question asks for nothing", fix="Give an aggregate, as {'n': Count()}")
    spent = exact(policy.epsilon if epsilon is None else epsilon)
    if spent <= 0:
        raise UsageError(f"epsilon={epsilon} allows no answer", fix="Use a number above 0, as 0.1")
    schema = arrow_schema(policy.source.schema)
    for column in by:
        if column not in schema.names:
            raise SchemaError(
                f"{column!r} is not a column of {policy.source.address}",
                where="by",
                fix=did_you_mean(column, schema.names),
            )
    if len(set(by)) < len(by):
        raise UsageError(f"by={list(by)} names a column twice", fix="Name it once")
    if where is not None:
        Expression.parse(where).check_condition(schema)
    found = _Measures(policy)
    outputs = [found.output(name, aggregate) for name, aggregate in aggregates.items()]
    taken = [*by, *(name for part in outputs for name in (part.name, f"{part.name}_error"))]
    for name in taken:
        if taken.count(name) > 1:
            raise UsageError(f"{name!r} is the name of two columns of the answer", fix="Rename the aggregate")
    private = any(column not in policy.public_keys for column in by)
    # The threshold on the size of groups measures their units already.
    measures = tuple(part for part in found.measures.values() if not (private and part.name == USERS))
    plan = PrivatePlan(
        policy, tuple(by), where, measures, tuple(outputs), spent, exact(policy.budget.delta) / KEY_SHARE
    )
    if plan.private_keys and not plan.delta:
        raise UsageError(
            f"groups of {', '.join(c for c in by if c not in policy.public_keys)} cannot be found without delta",
            where=policy.address,
            fix="Give the policy public_keys for them, or a budget with a delta",
        )
    return plan


class _Measures:
    """Collects the measures of a question; outputs that need the same share it."""

    def __init__(self, policy: PrivacyPolicy) -> None:
        self._policy = policy
        self.measures: dict[str, Measure] = {}

    def output(self, name: str, aggregate: Aggregate) -> Output:
        match aggregate:
            case Count():
                return Output(name, "count", (self._counted(aggregate),))
            case Sum():
                bounds = self._bounds(name, aggregate)
                return Output(name, "sum", (self._summed(aggregate, bounds, 0.0),), bounds.step)
            case Mean():
                bounds = self._bounds(name, aggregate)
                centre = (bounds.low + bounds.high) / 2
                total = self._summed(aggregate, bounds, centre)
                count = self._counted(Count(aggregate.of, where=aggregate.where))
                return Output(name, "mean", (total, count), bounds.step, centre)
            case CountDistinct(of=of) if of == self._policy.unit and aggregate.where is None:
                return Output(name, "users", (self._add(Measure(USERS, "", 0, 1)),))
        raise UsageError(
            f"{name!r} is a {aggregate.kind}, which has no private answer here",
            where=self._policy.address,
            fix=f"Ask for Count, Sum, Mean or CountDistinct({self._policy.unit!r}, exact=True)",
        )

    def _counted(self, aggregate: Aggregate) -> str:
        parts = [f"({aggregate.of}) IS NOT NULL"] if aggregate.of else []
        parts += [f"({aggregate.where})"] if aggregate.where else []
        text = f"CASE WHEN {' AND '.join(parts)} THEN 1 ELSE 0 END" if parts else "1"
        return self._add(Measure(f"count {text}", text, 0, 1))

    def _summed(self, aggregate: Aggregate, bounds: Bounds, centre: float) -> str:
        """Whole steps of the clamped value above the centre; NaN, which is in no range, counts as no value."""
        step, middle = exact(bounds.step), exact(centre)
        low = math.floor((exact(bounds.low) - middle) / step)
        high = math.ceil((exact(bounds.high) - middle) / step)
        known = f"({aggregate.of}) IS NOT NULL"
        if step == 1 and middle.denominator == 1 and self._is_whole(str(aggregate.of)):
            clamped = f"least(greatest(({aggregate.of}), {low + middle}), {high + middle}) - {middle}"
        else:
            known += f" AND NOT isnan({aggregate.of})"
            value = f"least(greatest(({aggregate.of}), {bounds.low!r}), {bounds.high!r})"
            steps = f"cast(round(({value} - {centre!r}) / {bounds.step!r}) AS bigint)"
            # Clamped once more as whole steps, so that no rounding of floats can pass the bound that noise is made for.
            clamped = f"least(greatest({steps}, {low}), {high})"
        condition = f"{known} AND ({aggregate.where})" if aggregate.where else known
        text = f"CASE WHEN {condition} THEN {clamped} ELSE 0 END"
        return self._add(Measure(f"sum {text}", text, low, high))

    def _is_whole(self, text: str) -> bool:
        assert self._policy.source is not None
        return pa.types.is_integer(Expression.parse(text).check(arrow_schema(self._policy.source.schema)))

    def _add(self, measure: Measure) -> str:
        assert self._policy.source is not None
        if measure.value:
            Expression.parse(measure.value).check(arrow_schema(self._policy.source.schema))
        self.measures.setdefault(measure.name, measure)
        return measure.name

    def _bounds(self, name: str, aggregate: Aggregate) -> Bounds:
        known: Mapping[str, Any] = self._policy.bounds
        if aggregate.of not in known:
            raise UsageError(
                f"{name!r} adds up {aggregate.of!r}, which has no bounds",
                where=f"{self._policy.address}.bounds",
                fix=did_you_mean(str(aggregate.of), known) or f"Give bounds={{{aggregate.of!r}: Bounds(low, high)}}",
            )
        bounds = known[str(aggregate.of)]
        assert isinstance(bounds, Bounds)
        return bounds
