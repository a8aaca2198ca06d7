"""What can be kept of a group of rows: one frozen value per aggregate, computed by `mercury.summaries`.

``of`` is a SQL expression over a row, ``where`` a SQL condition that rows must meet, ``over`` the length of the time
window, where the definition that holds the aggregate has one. Nulls of ``of`` are left out, as in SQL; so is NaN, which
is counted apart nowhere but in `Count`, since a NaN is a value for counting and not for arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

from mercury.definitions.base import Definition
from mercury.definitions.values import Length, Sql


@dataclass(frozen=True, eq=False)
class Aggregate(Definition):
    """Base of all aggregates."""

    of: Sql | None = None
    where: Sql | None = field(default=None, kw_only=True)
    over: Length | None = field(default=None, kw_only=True)

    noun: ClassVar[str] = "aggregate"
    needs_argument: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.needs_argument and self.of is None:
            raise self.fail(f"{self.kind} needs the expression that it is of", f"Write {self.kind}('dep_delay')", "of")


@dataclass(frozen=True, eq=False)
class Count(Aggregate):
    """Rows (``Count()``), or rows whose expression is not null (``Count("dep_delay")``): int64, 0 for none."""

    needs_argument: ClassVar[bool] = False


@dataclass(frozen=True, eq=False)
class Sum(Aggregate):
    """Sum: int64 of integers and booleans, float64 of floats; null when no value was seen."""


@dataclass(frozen=True, eq=False)
class Mean(Aggregate):
    """Arithmetic mean, float64, of numbers or of a condition (the share of rows that meet it)."""


@dataclass(frozen=True, eq=False)
class Variance(Aggregate):
    """Variance with ``n - ddof`` in the denominator, from merged moments; null with too few values."""

    ddof: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ddof not in (0, 1):
            raise self.fail(f"ddof={self.ddof} is neither 0 nor 1", "Use 1 for a sample, 0 for a population", "ddof")


@dataclass(frozen=True, eq=False)
class StdDev(Variance):
    """Square root of `Variance`."""


@dataclass(frozen=True, eq=False)
class Min(Aggregate):
    """Least value, of numbers, times or text (by code point)."""


@dataclass(frozen=True, eq=False)
class Max(Aggregate):
    """Greatest value, of numbers, times or text (by code point)."""


@dataclass(frozen=True, eq=False)
class First(Aggregate):
    """Value at the least time; of equal times the least value."""


@dataclass(frozen=True, eq=False)
class Last(Aggregate):
    """Value at the greatest time; of equal times the greatest value."""


@dataclass(frozen=True, eq=False)
class CountDistinct(Aggregate):
    """Number of distinct values, int64: exact, or by HyperLogLog with ``2**precision`` registers.

    The standard error of the approximate form is ``1.04 / sqrt(2**precision)`` (Flajolet et al. 2007).
    """

    exact: bool = False
    precision: int = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 4 <= self.precision <= 18:
            raise self.fail(f"precision={self.precision} is out of range", "Use 4 to 18; 12 errs by 1.6 %", "precision")


@dataclass(frozen=True, eq=False)
class Quantile(Aggregate):
    """The q-quantile within a relative error ``accuracy`` (DDSketch, Masson et al. 2019), float64."""

    q: float = 0.5
    accuracy: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.q <= 1.0:
            raise self.fail(f"q={self.q} is not between 0 and 1", "Write the 90th percentile as 0.9", "q")
        if not 1e-4 <= self.accuracy <= 0.2:
            fix = "Use 0.0001 to 0.2; 0.01 means within 1 %"
            raise self.fail(f"accuracy={self.accuracy} is out of range", fix, "accuracy")


@dataclass(frozen=True, eq=False)
class TopK(Aggregate):
    """The k most frequent values with their counts, exact; ties go to the lesser value."""

    k: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.k <= 10_000:
            raise self.fail(f"k={self.k} is out of range", "Use 1 to 10000", "k")


@dataclass(frozen=True, eq=False)
class Histogram(Aggregate):
    """Counts between given edges: below the first, in ``[edge[i], edge[i+1])``, and from the last on; int64.

    ``len(edges) + 1`` counts; NaN and infinities: -inf falls below the first edge, +inf after the last, NaN nowhere.
    """

    edges: Sequence[float] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.edges:
            raise self.fail("the histogram has no edges", "Write edges=[0, 15, 60]", "edges")
        for place, (low, high) in enumerate(pairwise(self.edges)):
            if low >= high:
                raise self.fail(f"edges[{place + 1}]={high} is not above {low}", "Give edges in rising order", "edges")
