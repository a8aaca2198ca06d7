"""Privacy policies: what is promised to the people in a table, and what their data may be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mercury.definitions.base import Definition, Named
from mercury.definitions.features import BatchTable
from mercury.definitions.streams import Stream
from mercury.definitions.values import Sql
from mercury.errors import did_you_mean

MAX_STEPS = 2**31
"""Steps from zero to a bound, at the most: sums of clamped values then fit 64 bits."""


@dataclass(frozen=True, eq=False)
class Budget(Definition):
    """Privacy loss that may be spent in all: epsilon and delta of (epsilon, delta)-differential privacy."""

    epsilon: float = 1.0
    delta: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epsilon <= 0.0:
            raise self.fail(f"epsilon={self.epsilon} allows no answer", "Use a number above 0, as 1.0", "epsilon")
        if not 0.0 <= self.delta < 1.0:
            raise self.fail(f"delta={self.delta} is no probability below 1", "Use about 1e-6", "delta")


@dataclass(frozen=True, eq=False)
class Bounds(Definition):
    """The range that a number is clamped to before it is summed, and the step that it is rounded to.

    Sums are of whole steps, so the noise is exact; a step of 0.01 keeps cents.
    """

    low: float = 0.0
    high: float = 0.0
    step: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low >= self.high:
            raise self.fail(f"low={self.low} is not below high={self.high}", "Write Bounds(0, 120)", "high")
        if self.step <= 0.0 or max(abs(self.low), abs(self.high)) / self.step > MAX_STEPS:
            fix = f"Use a positive step with at most {MAX_STEPS} of them up to each bound"
            raise self.fail(f"step={self.step} does not suit {self.low} to {self.high}", fix, "step")


@dataclass(frozen=True, eq=False)
class PrivacyPolicy(Named):
    """How a table about people may be asked: whose privacy counts, what each may contribute, what may be spent.

    Answers are differentially private for adding or removing all rows of one unit.

    Parameters
    ----------
    source : the stream or table that is guarded.
    unit : SQL expression that says whose row it is, such as a user's id; rows where it is null are refused.
    budget : what all answers about this source may spend together.
    analyst_budget : what each analyst may spend of it; None means all of it.
    epsilon : what one answer costs unless it is asked with another epsilon.
    least_epsilon : the least that a question may be asked with; many that cost next to nothing are one that costs much.
    max_groups : groups of one answer that a unit may contribute to; of more, as many are chosen at random.
    max_rows : rows of a unit that count in one group; what is beyond is clamped away.
    bounds : columns that may be summed or averaged, and the range of each.
    public_keys : values of a column that everybody may know, by column: each is answered, rows or none. Groups of
        other columns are answered only where enough units are in them, which costs delta.
    """

    source: Stream | BatchTable | None = None
    unit: Sql | None = None
    budget: Budget = field(default_factory=Budget)
    analyst_budget: Budget | None = None
    epsilon: float = 0.1
    max_groups: int = 1
    max_rows: int = 1
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    public_keys: Mapping[str, Sequence[str | int]] = field(default_factory=dict)
    least_epsilon: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source is None:
            raise self.fail("the policy guards nothing", "Write source=flights, a Stream or a BatchTable", "source")
        if self.unit is None:
            raise self.fail("the policy does not say whose privacy counts", "Write unit='user_id'", "unit")
        if self.epsilon <= 0.0:
            raise self.fail(f"epsilon={self.epsilon} allows no answer", "Use a number above 0, as 0.1", "epsilon")
        if not 0.0 < self.least_epsilon <= self.epsilon:
            raise self.fail(f"least_epsilon={self.least_epsilon} is not between 0 and epsilon={self.epsilon}",
                            "Use a number above 0 and at most epsilon", "least_epsilon")  # fmt: skip
        for name in ("max_groups", "max_rows"):
            if getattr(self, name) < 1:
                raise self.fail(f"{name}={getattr(self, name)} lets nothing count", "Use 1 or more", name)
        for name in ("bounds", "public_keys"):
            for column in getattr(self, name):
                if column not in self.source.schema:
                    what = f"{column!r} is not a column of {self.source.address}"
                    raise self.fail(what, did_you_mean(column, self.source.schema), name)
        for column, keys in self.public_keys.items():
            if not keys:
                raise self.fail(f"public_keys[{column!r}] is empty", "List the values, or leave the column out",
                                "public_keys")  # fmt: skip
            if len(set(keys)) < len(keys):
                raise self.fail(f"public_keys[{column!r}] names a value twice", "Name it once", "public_keys")
