"""Order statistics: those of a sort of all values, whatever the values are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mercury.observability import reference_profile
from mercury.observability.order import Order
from mercury.observability.reference import QUANTILES, TAILS, Numbers
from tests.observability.tables import AWKWARD

RANDOM = np.random.default_rng(20131201)


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
    above = np.nextafter(frequent[frequent < np.finfo(float).max], np.inf)
    return np.unique(np.r_[quantiles, frequent, above]), distinct[(counts / count >= atom_share) & (counts > 1)]
