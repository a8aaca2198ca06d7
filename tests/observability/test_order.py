"""Order statistics: those of a sort of all values, whatever the values are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mercury.observability import reference_profile
from mercury.observability.order import SAMPLE, Order
from mercury.observability.reference import QUANTILES, TAILS, Numbers

ROWS = 6 * SAMPLE
RANDOM = np.random.default_rng(20131201)

AWKWARD = {
    "normal": RANDOM.normal(size=ROWS),
    "lognormal": RANDOM.lognormal(0, 3, ROWS),
    "heavy tails": RANDOM.standard_cauchy(ROWS) ** 3,
    "far from zero": 1.7e15 + RANDOM.normal(size=ROWS),
    "whole numbers": RANDOM.poisson(3.0, ROWS) * 1.0,
    "many whole numbers": np.round(RANDOM.normal(0, 1e4, ROWS)),
    "zeros for half": np.where(RANDOM.random(ROWS) < 0.5, -0.0, RANDOM.normal(size=ROWS)),
    "constant": np.full(ROWS, 7.0),
    "constant but for one": np.r_[np.full(ROWS, 7.0), 8.0],
    "rising": np.sort(RANDOM.exponential(size=ROWS)),
    "the greatest and the least": RANDOM.choice([1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 0.0], ROWS),
    "a sentinel far out": np.where(RANDOM.random(ROWS) < 0.01, 1e300, RANDOM.normal(size=ROWS)),
    "missing and infinite": RANDOM.choice([np.nan, np.inf, -np.inf, 1.0, 2.0, 3.5], ROWS),
    "few": np.array([3.0, 1.0, np.nan, 2.0, 2.0]),
    "one": np.array([-0.0]),
    "none": np.array([np.nan, np.inf]),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_values_at_ranks_are_those_of_a_sort(name: str) -> None:
    values = AWKWARD[name]
    finite = np.sort(values[np.isfinite(values)])
    order = Order(values)

    assert order.count == len(finite)
    for asked in (1, 7, 300):
        ranks = np.unique(RANDOM.integers(0, max(len(finite), 1), asked))[: len(finite)]
        if not len(ranks):
            continue
        found = order.near(ranks)
        np.testing.assert_array_equal(found.at(ranks), finite[ranks])
        np.testing.assert_array_equal(found.before, np.searchsorted(finite, found.values, side="left"))
        np.testing.assert_array_equal(found.before + found.counts, np.searchsorted(finite, found.values, side="right"))


@pytest.mark.parametrize("name", AWKWARD)
def test_edges_and_atoms_are_those_that_a_sort_of_the_column_gives(name: str) -> None:
    values = AWKWARD[name]
    (column,) = reference_profile(pa.table({"x": values})).columns
    edges, atoms = plain_cut(values)

    assert isinstance(column, Numbers)
    assert (column.edges, column.atoms) == (tuple(edges.tolist()), tuple(atoms.tolist()))
    assert not np.signbit([value for value in column.edges if value == 0.0]).any()


def plain_cut(values: np.ndarray, atom_share: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Edges and atoms by a sort."""
    finite = np.sort(values[np.isfinite(values)] + 0.0)
    count = len(finite)
    if not count:
        return finite, finite
    distinct, counts = np.unique(finite, return_counts=True)
    tails = np.array([tail for tail in TAILS if tail * count >= 1])
    levels = np.r_[np.arange(1, QUANTILES) / QUANTILES, tails, 1 - tails]
    quantiles = np.quantile(finite, np.unique(levels), method="inverted_cdf")
    frequent = distinct[counts / count >= 1 / QUANTILES]
    above = np.nextafter(frequent, np.inf)
    return np.unique(np.r_[quantiles, frequent, above[np.isfinite(above)]]), distinct[counts / count >= atom_share]
