"""From a question to measurements: what is added up of each unit, how far it can move, and its share of epsilon.

The shape is fixed: filter rows, group them by unit and keys, bound what each unit gives, add up integers, draw noise
once. Nothing is computed of the sums before the noise, so that the bounds are those that were proven.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from mercury.equality import normalized
from mercury.errors import SchemaError, UsageError, did_you_mean
from mercury.expressions import Expression
from mercury.privacy.accounting import Loss, exact
from mercury.privacy.canonical import canonical, conjuncts

FORMAT = 3
"""Version of what is hashed and of what is stored for it; another one makes every question a new one."""

KEY_SHARE = 100
"""Of the budget's delta, one part in so many goes into each answer that must find its groups."""

MOST_GROUPS = 1_000_000
"""Groups of public keys in one answer, at the most."""

USERS = "users"
"""Name of the number of units in a group, which is measured where groups are found by their size."""


@dataclass(frozen=True)
class Measure:
    """An integer that each row gives, added up by group after each unit was bounded.

    Parameters
    ----------
    name : its canonical form; several outputs may use one measure.
    of, where : SQL expressions over a row: what is measured, and which rows count. Each is parsed by itself, so that no
        text that somebody wrote can reach beyond its place.
    worth : SQL expression of the integer, with ``{of}`` and ``{holds}`` in the place of those two.
    low, high : least and greatest value of a row.

    The measure `USERS` is not of rows: each unit of a group gives one, however many rows it has.
    """

    name: str
    of: str | None
    where: str | None
    worth: str
    low: int
    high: int

    def sensitivity(self, policy: PrivacyPolicy, groups: int) -> int:
        """How far all groups together can move when one unit, which is in so many, comes or goes: the L1 distance."""
        rows = 1 if self.name == USERS else policy.max_rows
        return groups * rows * max(abs(self.low), abs(self.high))


UNITS = Measure(USERS, None, None, "", 0, 1)


@dataclass(frozen=True)
class Output:
    """A column of the answer: what it is computed from once there is noise in it.

    ``kind`` is count, sum, mean or users. A mean is ``centre + step * numerator / denominator``, and is brought back
    between its bounds ``low`` and ``high``, where it must be.
    """

    name: str
    kind: str
    measures: tuple[str, ...]
    step: float = 1.0
    centre: float = 0.0
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class PrivatePlan:
    """A question, with all that its answer costs.

    Parameters
    ----------
    by : columns of the groups, as they were asked for.
    where : condition on the rows, as it was written.
    measures : what is added up, sorted by name.
    outputs : columns of the answer, made of noisy measures.
    epsilon, delta : what the answer costs; of delta only where groups must be found.
    public : the values of each grouped column that everybody may know, in the column's type.
    """

    policy: PrivacyPolicy
    by: tuple[str, ...]
    where: str | None
    measures: tuple[Measure, ...]
    outputs: tuple[Output, ...]
    epsilon: Fraction
    delta: Fraction
    public: Mapping[str, pa.Array] = field(compare=False)

    @property
    def schema(self) -> pa.Schema:
        """The declared columns of the source."""
        assert self.policy.source is not None
        return arrow_schema(self.policy.source.schema)

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns of the groups in canonical order, which is that of the columns ``k0``, ``k1``, … of what is kept."""
        return tuple(sorted(self.by))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the source that the question reads."""
        assert self.policy.unit is not None
        texts = {self.policy.unit, self.where, *(text for part in self.measures for text in (part.of, part.where))}
        used = (Expression.parse(text).columns for text in texts if text is not None)
        return tuple(sorted(frozenset(self.by).union(*used)))

    @property
    def private_keys(self) -> bool:
        """Whether groups must be found by how many units are in them."""
        return any(column not in self.public for column in self.by)

    @property
    def groups_of_a_unit(self) -> int:
        """In how many groups of the answer a unit can count: no more than there are, where that is known."""
        if self.private_keys:
            return self.policy.max_groups
        return min(self.policy.max_groups, math.prod(map(len, self.public.values())))

    def sensitivity(self, measure: Measure) -> int:
        """How far a measure can move in all groups together when one unit comes or goes: the L1 distance."""
        return measure.sensitivity(self.policy, self.groups_of_a_unit)

    @property
    def leaves_nobody_out(self) -> bool:
        """Whether the condition leaves out rows whose unit is null, as ``unit IS NOT NULL AND …``."""
        left_out = canonical(f"({self.policy.unit}) IS NOT NULL")
        return self.where is not None and left_out in conjuncts(self.where)

    @property
    def share(self) -> Fraction:
        """Epsilon of each measurement."""
        return self.epsilon / (len(self.measures) + self.private_keys)

    @property
    def loss(self) -> Loss:
        """What the answer costs."""
        return Loss(self.epsilon, self.delta if self.private_keys else Fraction(0))

    def digest(self, data_version: str) -> str:
        """SHA-256 of all that noisy measures depend on: equal questions, however they were spelt, share one answer.

        Names of columns, the order of groups and means of what is counted and added up anyhow make no difference; nor
        do the policy's name and budget.
        """
        policy = self.policy
        assert policy.source is not None and policy.unit is not None
        question = {
            "format": FORMAT,
            "data": data_version,
            "source": policy.source.address,
            "unit": canonical(policy.unit),
            "bounds": [policy.max_groups, policy.max_rows],
            "keys": [[column, sorted(map(str, self.public.get(column, [])))] for column in self.keys],
            "where": None if self.where is None else canonical(self.where),
            "measures": [[part.name, part.low, part.high] for part in self.measures],
            "epsilon": [self.epsilon.numerator, self.epsilon.denominator],
            "delta": [self.delta.numerator, self.delta.denominator] if self.private_keys else None,
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
    asked = policy.epsilon if epsilon is None else epsilon
    if isinstance(asked, bool) or not isinstance(asked, (int, float)) or not 0 < asked < math.inf:
        raise UsageError(f"epsilon={asked!r} allows no answer", fix="Use a number above 0, as 0.1")
    if asked < policy.least_epsilon:
        raise UsageError(
            f"epsilon={asked!r} is below the least that a question may cost, {policy.least_epsilon!r}",
            where=policy.address,
            fix="Ask with a larger epsilon: an answer that costs next to nothing says next to nothing",
        )
    schema = arrow_schema(policy.source.schema)
    unit = Expression.parse(policy.unit)
    unit.check(schema)
    if not unit.columns:
        raise policy.fail(f"{policy.unit!r} makes one unit of everybody", "Name the column of whose row it is", "unit")
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
        condition = Expression.parse(where)
        condition.check_condition(schema)
        require_bounded(condition)
    found = _Measures(policy, schema)
    outputs = [found.output(name, aggregate) for name, aggregate in aggregates.items()]
    taken = [*by, *(name for part in outputs for name in (part.name, f"{part.name}_error"))]
    for name in taken:
        if taken.count(name) > 1:
            raise UsageError(f"{name!r} is the name of two columns of the answer", fix="Rename the aggregate")
    public = {column: _public_values(policy, column) for column in by if column in policy.public_keys}
    # The threshold on the size of groups measures their units already.
    measures = [part for part in found.measures.values() if not (len(public) < len(by) and part.name == USERS)]
    measures.sort(key=lambda part: part.name)
    delta = exact(policy.budget.delta) / KEY_SHARE
    plan = PrivatePlan(policy, tuple(by), where, tuple(measures), tuple(outputs), exact(asked), delta, public)
    if not plan.private_keys and math.prod(map(len, public.values())) > MOST_GROUPS:
        raise UsageError(
            f"public keys of {', '.join(by)} make more than {MOST_GROUPS:,} groups", fix="Group by fewer columns"
        )
    if plan.private_keys and not plan.delta:
        raise UsageError(
            f"groups of {', '.join(c for c in by if c not in policy.public_keys)} cannot be found without delta",
            where=policy.address,
            fix="Give the policy public_keys for them, or a budget with a delta",
        )
    return plan


def require_bounded(expression: Expression) -> None:
    """Raise unless the text that an expression makes of a row is at most a constant times the row's own.

    One that grows without bound under a condition on somebody's row tells about it by the time or the memory it takes.
    `replace` is the one function that can: each of a nest multiplies.
    """
    for node in expression.tree.walk():
        if node.op != "call" or node.value != "replace":
            continue
        old, new = node.args[1:]
        texts = [part.value for part in (old, new) if part.op == "literal" and isinstance(part.value, str)]
        if len(texts) < 2 or len(texts[1]) > len(texts[0]):
            raise UsageError(
                f"{expression.text[node.start : node.end]!r} can make a text longer",
                where="a private question",
                fix="Replace a constant text by a constant one that is not longer",
            )


def _public_values(policy: PrivacyPolicy, column: str) -> pa.Array:
    """Public keys in the type of their column, which is how they are compared with it."""
    assert policy.source is not None
    type_ = arrow_schema(policy.source.schema).field(column).type
    values = []
    for key in policy.public_keys[column]:
        try:
            values.append(normalized(pa.array([key]).cast(type_)).cast(type_)[0])
        except pa.ArrowException:
            raise policy.fail(
                f"{key!r} is no {type_}", "Write it as a value of the column", f"public_keys[{column!r}]"
            ) from None
    if len({value.as_py() for value in values}) < len(values):
        what = f"two keys are one {type_}"
        raise policy.fail(what, "Name each value once", f"public_keys[{column!r}]")
    return pa.array([value.as_py() for value in values], type_)


class _Measures:
    """Collects the measures of a question; outputs that need the same share it."""

    def __init__(self, policy: PrivacyPolicy, schema: pa.Schema) -> None:
        self._policy, self._schema = policy, schema
        self.measures: dict[str, Measure] = {}

    def output(self, name: str, aggregate: Aggregate) -> Output:
        match aggregate:
            case Count():
                known = "{of} IS NOT NULL" if aggregate.of else ""
                return Output(name, "count", (self._counted(aggregate, known),))
            case Sum():
                bounds = self._bounds(name, aggregate)
                return Output(name, "sum", (self._summed(aggregate, bounds, 0.0),), bounds.step)
            case Mean():
                bounds = self._bounds(name, aggregate)
                step = exact(bounds.step)
                # A whole number of steps, so that values on the grid of steps are not rounded once more.
                centre = float(round((exact(bounds.low) + exact(bounds.high)) / 2 / step) * step)
                total = self._summed(aggregate, bounds, centre)
                count = self._counted(aggregate, self._known(aggregate))
                return Output(name, "mean", (total, count), bounds.step, centre, bounds.low, bounds.high)
            case CountDistinct(of=of) if of == self._policy.unit and aggregate.where is None:
                self.measures.setdefault(USERS, UNITS)
                return Output(name, "users", (USERS,))
        raise UsageError(
            f"{name!r} is a {aggregate.kind}, which has no private answer here",
            where=self._policy.address,
            fix=f"Ask for Count, Sum, Mean or CountDistinct({self._policy.unit!r}, exact=True)",
        )

    def _counted(self, aggregate: Aggregate, known: str) -> str:
        tests = [*filter(None, [known]), *(["{holds}"] if aggregate.where else [])]
        worth = f"CASE WHEN {' AND '.join(tests)} THEN 1 ELSE 0 END" if tests else "1"
        return self._add(aggregate, worth, 0, 1)

    def _summed(self, aggregate: Aggregate, bounds: Bounds, centre: float) -> str:
        """Whole steps of the clamped value above the centre."""
        step, middle = exact(bounds.step), exact(centre)
        low = math.floor((exact(bounds.low) - middle) / step)
        high = math.ceil((exact(bounds.high) - middle) / step)
        if step == 1 and middle.denominator == 1 and self._is_whole(aggregate):
            clamped = f"least(greatest({{of}}, {low + middle}), {high + middle}) - ({middle})"
        else:
            value = f"least(greatest({{of}}, {bounds.low!r}), {bounds.high!r})"
            steps = f"cast(round(({value} - ({centre!r})) / {bounds.step!r}) AS bigint)"
            # Clamped once more as whole steps, so that no rounding of floats can pass the bound that noise is made for.
            clamped = f"least(greatest({steps}, {low}), {high})"
        holds = " AND {holds}" if aggregate.where else ""
        return self._add(aggregate, f"CASE WHEN {self._known(aggregate)}{holds} THEN {clamped} ELSE 0 END", low, high)

    def _known(self, aggregate: Aggregate) -> str:
        """That there is a value to add: neither null nor NaN, which is in no range."""
        return "{of} IS NOT NULL" + ("" if self._is_whole(aggregate) else " AND NOT isnan({of})")

    def _is_whole(self, aggregate: Aggregate) -> bool:
        return pa.types.is_integer(Expression.parse(str(aggregate.of)).check(self._schema))

    def _add(self, aggregate: Aggregate, worth: str, low: int, high: int) -> str:
        if aggregate.of is not None:
            of = Expression.parse(aggregate.of)
            of.check(self._schema)
            require_bounded(of)
        if aggregate.where is not None:
            holds = Expression.parse(aggregate.where)
            holds.check_condition(self._schema)
            require_bounded(holds)
        parts = [None if text is None else canonical(text) for text in (aggregate.of, aggregate.where)]
        name = canonical_json([*parts, worth]).decode()
        self.measures.setdefault(name, Measure(name, aggregate.of, aggregate.where, worth, low, high))
        return name

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
