"""Two draws of one law are not drift, and categories that vanish are, however many there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial import distance

from mercury.observability import ColumnDrift, compare, learn, profile

SEED = 20131201
Draw = Callable[[np.random.Generator, int], np.ndarray | pa.Array]


def text(categories: int) -> Draw:
    """As many equally frequent categories."""
    return lambda random, rows: pa.array(random.integers(0, categories, rows)).cast(pa.string())


LAWS: dict[str, Draw] = {
    "normal": lambda random, rows: random.normal(size=rows),
    "one decimal": lambda random, rows: np.round(random.normal(size=rows), 1),
    "whole numbers": lambda random, rows: random.integers(0, 1_000, rows) * 1.0,
    "few whole numbers": lambda random, rows: random.poisson(2.0, rows) * 1.0,
    "heavy tails": lambda random, rows: pa.array(random.zipf(1.3, rows) % 50_000).cast(pa.string()),
    "ids": text(2**60),
    **{f"{count} categories": text(count) for count in (2, 20, 300, 5_000, 12_000, 50_000)},
}


def compared(mine: np.ndarray | pa.Array, theirs: np.ndarray | pa.Array) -> ColumnDrift:
    """The second sample against the first."""
    reference, then = learn(pa.table({"x": mine}))
    return compare(then, profile(pa.table({"x": theirs}), reference)).columns["x"]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("rows", "reports"), [(30, 40), (50, 40), (100, 40), (101, 40), (1_000, 40), (100_000, 4)])
def test_two_draws_of_one_law_are_called_drift_in_at_most_one_of_twenty_reports(
    law: str, rows: int, reports: int
) -> None:
    random = np.random.default_rng([SEED, rows])
    found = sum(compared(LAWS[law](random, rows), LAWS[law](random, rows)).verdict == "drift" for _ in range(reports))

    assert found <= reports / 20, f"seed {SEED}, {rows}"


@pytest.mark.parametrize("rows", [5_000, 20_000, 100_000])
def test_a_thousand_categories_of_which_nine_tenths_vanish_are_drift(rows: int) -> None:
    random = np.random.default_rng([SEED, rows])
    drift = compared(text(1_000)(random, rows), text(100)(random, rows))

    assert (drift.verdict, drift.by) == ("drift", "total_variation"), f"seed {SEED}, {rows}"


@pytest.mark.parametrize("categories", [3, 1_000, 10_000])
def test_divergences_of_text_are_scipys_of_the_categories_themselves(categories: int) -> None:
    random = np.random.default_rng([SEED, categories])
    mine, theirs = (
        np.r_[np.arange(categories), random.integers(0, categories, 40_000)],
        random.integers(0, categories // 2 + 1, 30_000),
    )
    drift = compared(pa.array(mine).cast(pa.string()), pa.array(theirs).cast(pa.string()))
    p, q = (np.bincount(side, minlength=categories) / len(side) for side in (mine, theirs))

    print(f"seed {SEED}, {categories}")
    found = {name: drift.statistics[name].value for name in ("jensen_shannon", "hellinger", "total_variation")}
    assert found["jensen_shannon"] == pytest.approx(distance.jensenshannon(p, q), abs=1e-9)
    assert found["hellinger"] == pytest.approx(distance.euclidean(np.sqrt(p), np.sqrt(q)) / np.sqrt(2), abs=1e-9)
    assert found["total_variation"] == pytest.approx(distance.cityblock(p, q) / 2, abs=1e-9)


def test_new_categories_are_a_change_where_the_reference_had_no_rare_ones() -> None:
    random = np.random.default_rng(SEED)
    known = text(5)(random, 2_000)

    assert compared(known, pa.concat_arrays([known.slice(0, 1_200), pa.array(["new"] * 800)])).verdict == "drift"


@pytest.mark.parametrize("rows", [20, 50, 100, 1_000, 20_000])
def test_the_stability_index_of_one_law_is_near_zero_or_is_not_given(rows: int) -> None:
    random = np.random.default_rng([SEED, rows])
    drifts = [compared(random.normal(size=5_000), random.normal(size=rows)) for _ in range(100)]
    found = [value for drift in drifts if (value := drift.statistics["psi"].value) is not None]

    assert len(found) == (0 if rows == 20 else 100)
    assert sum(value >= 0.2 for value in found) <= 5 and np.mean([0.0, *found]) < 0.05, f"seed {SEED}, {rows}"
    assert compared(np.full(5_000, 7.0), np.full(rows, 7.0)).statistics["psi"].value == pytest.approx(0.0, abs=1e-12)
