"""What privacy loss is and how it adds up: exact amounts, composed so that every later question may depend on answers.

The measure is (epsilon, delta)-differential privacy for adding or removing all rows of one unit. Basic composition adds
epsilons and deltas; with the bound fixed beforehand it is a valid filter for questions that are chosen one after the
other, in view of the answers (Rogers, Roth, Ullman and Vadhan, "Privacy odometers and filters", NIPS 2016). For a few
questions there is nothing tighter; of a thousand small ones a Renyi filter would allow five times as many.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, localcontext
from fractions import Fraction

from mercury.definitions import Budget

DIGITS = 30
"""Significant digits of a stored amount; what is beyond is rounded up, never away."""


@dataclass(frozen=True)
class Loss:
    """Privacy loss as exact fractions."""

    epsilon: Fraction = Fraction(0)
    delta: Fraction = Fraction(0)

    @classmethod
    def of(cls, budget: Budget) -> Loss:
        """The loss that a budget allows: its numbers as they were written, in decimals."""
        return cls(exact(budget.epsilon), exact(budget.delta))

    def __add__(self, other: Loss) -> Loss:
        return Loss(self.epsilon + other.epsilon, self.delta + other.delta)

    def __sub__(self, other: Loss) -> Loss:
        return Loss(self.epsilon - other.epsilon, self.delta - other.delta)

    def __str__(self) -> str:
        return f"epsilon {float(self.epsilon):g} and delta {float(self.delta):g}"

    def within(self, budget: Loss) -> bool:
        """Whether neither part is more than the budget's."""
        return self.epsilon <= budget.epsilon and self.delta <= budget.delta

    def stored(self) -> tuple[str, str]:
        """Both parts as decimal text that is never less than they are."""
        return _rounded_up(self.epsilon), _rounded_up(self.delta)

    def rounded(self) -> Loss:
        """What is read again once this was stored: never less."""
        return Loss.read(*self.stored())

    @classmethod
    def read(cls, epsilon: str, delta: str) -> Loss:
        """What `stored` wrote."""
        return cls(Fraction(epsilon), Fraction(delta))


def exact(number: float) -> Fraction:
    """A float as the decimal that a person wrote: 0.1 is a tenth, not 0.1000000000000000055….

    >>> exact(0.1)
    Fraction(1, 10)
    """
    return Fraction(repr(float(number)))


def _rounded_up(value: Fraction) -> str:
    with localcontext() as context:
        context.prec, context.rounding = DIGITS, ROUND_CEILING
        return str(Decimal(value.numerator) / Decimal(value.denominator))
