"""The audit passes honest noise and catches each of five mistakes that people make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest

from mercury.privacy.audit import audit, lower_bound
from mercury.privacy.noise import Laplace
from tests.privacy.people import policy

DRAWS = 20_000


def test_honest_noise_keeps_its_promise_and_is_not_much_larger_than_it_must_be() -> None:
    """Wrongly caught once in a thousand runs for each of four kinds of noise."""
    found = audit(policy(), draws=DRAWS)

    assert [one.sensitivity for one in found] == [2, 6, 60, 30_000]
    assert all(one.kept for one in found), found
    assert all(one.lower_bound > 0.6 for one in found), found


SEEDED = np.random.default_rng(3)

MISTAKES: dict[str, Callable[[Sequence[int]], list[int]]] = {
    "half the noise": lambda values: Laplace(3.0, 6).add(values),
    "a forgotten factor of max_groups": lambda values: Laplace.for_share(3, Fraction(1)).add(values),
    "no noise": lambda values: list(values),
    "noise only above zero": lambda values: [value + abs(more) for value, more in
                                             zip(values, Laplace(6.0, 6).add([0] * len(values)), strict=True)],
    "uniform noise": lambda values: [int(value) for value in np.array(values) + SEEDED.integers(-12, 13, len(values))],
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_caught(mistake: Callable[[Sequence[int]], list[int]]) -> None:
    assert lower_bound(mistake, 6, DRAWS) > 1.0
