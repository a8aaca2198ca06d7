"""Does the noise keep its promise? A lower bound on epsilon from what the mechanism really gives.

Draws for two neighbouring inputs are compared on the event that tells them apart best: when it happens with probability
p for one and q for the other, the mechanism cannot have less epsilon than log(p / q). With Clopper and Pearson's
intervals for p and q this is a bound that holds with the stated confidence. Noise that is too small, or made for a
smaller sensitivity, is caught; a bound below epsilon says no more than that this test found nothing.

Source: Jagielski, Ullman and Oprea, "Auditing differentially private machine learning", NeurIPS 2020.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mercury.definitions import PrivacyPolicy
from mercury.privacy.accounting import exact
from mercury.privacy.noise import Laplace

DRAWS = 40_000
CONFIDENCE = 0.999


@dataclass(frozen=True)
class Audited:
    """What was promised for a sensitivity, and the least epsilon that the draws leave possible."""

    sensitivity: int
    promised: float
    lower_bound: float

    @property
    def kept(self) -> bool:
        """Whether the draws are consistent with the promise."""
        return self.lower_bound <= self.promised


def audit(policy: PrivacyPolicy, *, draws: int = DRAWS) -> list[Audited]:
    """Audit the noise of a policy: of counts of units, of counts of rows, and of sums of each bounded column."""
    sensitivities = {policy.max_groups, policy.max_groups * policy.max_rows}
    for bounds in policy.bounds.values():
        reach = math.ceil(max(abs(bounds.low), abs(bounds.high)) / bounds.step)
        sensitivities.add(policy.max_groups * policy.max_rows * reach)
    found = []
    for sensitivity in sorted(sensitivities):
        noise = Laplace.for_share(sensitivity, exact(policy.epsilon))
        found.append(Audited(sensitivity, policy.epsilon, lower_bound(noise.add, sensitivity, draws)))
    return found


def lower_bound(mechanism: Callable[[Sequence[int]], list[int]], apart: int, draws: int = DRAWS) -> float:
    """The least epsilon that a mechanism can have, given its draws for 0 and for a neighbour that is ``apart`` away."""
    return least_epsilon(np.array(mechanism([0] * draws)), np.array(mechanism([apart] * draws)))


def least_epsilon(near: np.ndarray, far: np.ndarray) -> float:
    """The least epsilon of a mechanism that gave these answers to two neighbouring tables, as many of each.

    Half of the draws choose the event, the other half measure it, so that the choice does not flatter it.
    """
    draws = len(near)
    half = draws // 2
    edges = np.unique(np.quantile(np.concatenate([near[:half], far[:half]]), np.linspace(0.01, 0.99, 99)))
    best = max(edges, key=lambda edge: _bound((far[:half] > edge).sum(), (near[:half] > edge).sum(), half))
    other = max(edges, key=lambda edge: _bound((near[:half] <= edge).sum(), (far[:half] <= edge).sum(), half))
    rest = draws - half
    return max(
        0.0,
        _bound(int((far[half:] > best).sum()), int((near[half:] > best).sum()), rest),
        _bound(int((near[half:] <= other).sum()), int((far[half:] <= other).sum()), rest),
    )


def _bound(often: int, seldom: int, draws: int) -> float:
    """Lower bound of log(p / q), with error probability 1 - CONFIDENCE over both intervals and both events."""
    from scipy.stats import beta

    error = (1 - CONFIDENCE) / 4
    low = beta.ppf(error, often, draws - often + 1) if often else 0.0
    high = beta.ppf(1 - error, seldom + 1, draws - seldom) if seldom < draws else 1.0
    return math.log(low / high) if low > 0 else -math.inf
