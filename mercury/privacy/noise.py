"""Noise from OpenDP's core: exact discrete Laplace from a secure source, and its own word for what it costs.

Each measurement is made by OpenDP, and its privacy map is asked what a unit's whole contribution costs; the scale is
raised until that is at most the share that was planned.

Sources: Canonne, Kamath and Steinke, "The discrete Gaussian for differential privacy", 2020, for samplers; Rogers, "A
unifying privacy analysis framework for unknown domain algorithms in differential privacy", 2023, for the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

from mercury.errors import MissingDependencyError, UsageError

CONFIDENCE = 0.95
"""Of error bars."""

_STEPS_UP = 60

_MOST_REACH = 2**62
_MOST_SCALE = 2.0**56
"""Greatest sensitivity and scale: noise beyond 64 bits, where OpenDP's would end, is then as likely as 10^-55."""


@dataclass(frozen=True)
class Laplace:
    """Discrete Laplace noise of a scale, for values that one unit can move by ``sensitivity`` in all (L1)."""

    scale: float
    sensitivity: int

    @classmethod
    def for_share(cls, sensitivity: int, epsilon: Fraction) -> Laplace:
        """The least noise for which OpenDP's privacy map stays within the share.

        Raises `UsageError` when it would not fit 64 bits.
        """
        if not sensitivity:
            return cls(0.0, 0)
        if sensitivity > _MOST_REACH or sensitivity / epsilon > _MOST_SCALE:
            raise UsageError(
                f"noise of {sensitivity:.3g} by an epsilon of {float(epsilon):.3g} does not fit 64 bits",
                fix="Ask with a larger epsilon, or give the policy fewer rows and groups, or bounds with a wider step",
            )
        scale = float(Fraction(sensitivity) / epsilon)
        for _ in range(_STEPS_UP):
            if Fraction(_laplace(scale).map(sensitivity)) <= epsilon:
                return cls(scale, sensitivity)
            scale = math.nextafter(scale * (1 + 1e-15), math.inf)
        raise UsageError(f"no noise gives epsilon={float(epsilon)}", fix="Ask with a larger epsilon")

    def add(self, values: Sequence[int]) -> list[int]:
        """The values with fresh noise each."""
        if not values:
            return []
        return [int(value) for value in _laplace(self.scale)([int(value) for value in values])]

    def error(self, confidence: float = CONFIDENCE) -> float:
        """Half the width of the interval that holds the noise with this probability."""
        return laplace_error(self.scale, confidence)


@dataclass(frozen=True)
class Threshold:
    """Groups that are named because enough units are in them, with noisy numbers of units."""

    noise: Laplace
    least: int

    @classmethod
    def for_share(cls, max_groups: int, epsilon: Fraction, delta: Fraction) -> Threshold:
        """The least threshold for which OpenDP's privacy map stays within epsilon and delta.

        OpenDP 0.16 names a group whose noisy number is equal to the threshold, while its map gives the delta of those
        above it: so the threshold in use is one more than the one that the map was asked about.
        """
        noise = Laplace.for_share(max_groups, epsilon)
        distance = (max_groups, max_groups, 1)
        for _ in range(_STEPS_UP):
            low, high = 1, 2
            while not _fits(noise.scale, high, distance, epsilon, delta) and high < 2**40:
                low, high = high, high * 2
            if high < 2**40:
                while low + 1 < high:
                    middle = (low + high) // 2
                    fits = _fits(noise.scale, middle, distance, epsilon, delta)
                    low, high = (low, middle) if fits else (middle, high)
                return cls(noise, high + 1)
            noise = Laplace(math.nextafter(noise.scale * (1 + 1e-15), math.inf), noise.sensitivity)
        raise UsageError(f"no threshold gives delta={float(delta)}", fix="Give the budget a larger delta")

    def choose(self, users: Sequence[int]) -> dict[int, int]:
        """Place of each group that is named, to its noisy number of units."""
        if not users:
            return {}
        counts = {str(place): int(count) for place, count in enumerate(users)}
        return {int(place): int(count) for place, count in _threshold(self.noise.scale, self.least)(counts).items()}


def laplace_error(scale: float, confidence: float) -> float:
    """Quantile of the absolute value of Laplace noise."""
    return math.ceil(scale * math.log(1 / (1 - confidence))) if scale else 0.0


@cache
def _opendp() -> tuple[Any, Any, Any]:
    """OpenDP's domains, metrics and measurements. Its prelude would load scikit-learn, which takes seconds."""
    try:
        from opendp import domains, measurements, metrics
        from opendp.mod import enable_features
    except ImportError as error:
        raise MissingDependencyError("opendp is not installed", fix="pip install 'opendp>=0.16,<0.17'") from error
    enable_features("contrib")
    return domains, metrics, measurements


@cache
def _laplace(scale: float) -> Any:
    domains, metrics, measurements = _opendp()
    values = domains.vector_domain(domains.atom_domain(T="i64"))
    return measurements.make_laplace(values, metrics.l1_distance(T="i64"), scale=scale)


@cache
def _threshold(scale: float, least: int) -> Any:
    domains, metrics, measurements = _opendp()
    return measurements.make_laplace_threshold(
        domains.map_domain(domains.atom_domain(T="String"), domains.atom_domain(T="i64")),
        metrics.l01inf_distance(metrics.absolute_distance(T="i64")),
        scale=scale,
        threshold=least,
    )


def _fits(scale: float, least: int, distance: tuple[int, int, int], epsilon: Fraction, delta: Fraction) -> bool:
    spent = _threshold(scale, least).map(distance)
    return Fraction(spent[0]) <= epsilon and Fraction(spent[1]) <= delta
