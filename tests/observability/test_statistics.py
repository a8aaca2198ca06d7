"""Ten statistics against scipy's on the raw rows, their bounds, and what they say of columns that hold nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from scipy import stats
from scipy.spatial import distance

from mercury.errors import SpecMismatchError, UsageError
from mercury.observability import STATISTICS, DriftReport, compare, learn, profile, reference_profile
from mercury.observability.statistics import CONFIDENCE, Pair
from mercury.observability.statistics.psi import PSEUDO_COUNT
from tests.observability.tables import AWKWARD, table, tables

RANDOM = np.random.default_rng(20131201)

SAMPLES = {
    "equal": (RANDOM.normal(size=9_000), RANDOM.normal(size=4_000)),
    "shifted": (RANDOM.normal(size=9_000), RANDOM.normal(0.2, 1, size=4_000)),
    "heavy tails": (RANDOM.lognormal(0, 2, 9_000), RANDOM.lognormal(0.3, 2, 4_000)),
    "few values": (RANDOM.poisson(2.0, 9_000) * 1.0, RANDOM.poisson(2.3, 4_000) * 1.0),
    "zeros": (RANDOM.normal(size=9_000), np.where(RANDOM.random(4_000) < 0.1, 0.0, RANDOM.normal(size=4_000))),
    "far away": (RANDOM.normal(size=900), RANDOM.normal(50.0, 1, size=400)),
}


def pair_of(mine: object, theirs: object) -> Pair:
    """The profiles of two samples, cut by the first."""
    one, other = pa.table({"x": mine}), pa.table({"x": theirs})
    reference = reference_profile(one)
    return Pair.of(profile(one, reference)["x"], profile(other, reference)["x"], reference.atom_share)


@pytest.mark.parametrize("name", SAMPLES)
def test_ks_is_scipys_up_to_its_certificate(name: str) -> None:
    mine, theirs = SAMPLES[name]
    found = STATISTICS["ks"](pair_of(mine, theirs))
    exact = stats.ks_2samp(mine, theirs).statistic

    assert found.certificate is not None and found.value is not None
    assert found.value - 1e-12 <= exact <= found.value + found.certificate + 1e-12
    assert abs(found.value - exact) <= 1e-3
    n, m = len(mine), len(theirs)
    assert found.p_value == pytest.approx(stats.kstwobign.sf(math.sqrt(n * m / (n + m)) * found.value), abs=1e-12)


@pytest.mark.parametrize("name", SAMPLES)
def test_wasserstein_is_scipys(name: str) -> None:
    mine, theirs = SAMPLES[name]
    found, exact = STATISTICS["wasserstein"](pair_of(mine, theirs)).value, stats.wasserstein_distance(mine, theirs)

    assert found == pytest.approx(exact, rel=0.035 if name == "equal" else 0.01)
    assert found <= exact * (1 + 1e-9)


@pytest.mark.parametrize("name", SAMPLES)
def test_divergences_are_scipys_on_the_groups(name: str) -> None:
    pair = pair_of(*SAMPLES[name])
    mine, theirs = pair.grouped
    p, q = pair.shares
    some = mine + theirs > 0
    smooth = [(counts[some] + PSEUDO_COUNT) / (counts[some] + PSEUDO_COUNT).sum() for counts in (mine, theirs)]
    chance = (some.sum() - 1) * (1 / mine.sum() + 1 / theirs.sum())
    chi2 = stats.chi2_contingency(np.stack([mine, theirs])[:, mine + theirs > 0], correction=False)
    found = {name: statistic(pair) for name, statistic in STATISTICS.items()}

    index = stats.entropy(*smooth) + stats.entropy(*smooth[::-1])
    assert found["psi"].value == pytest.approx(max(0.0, index - chance), abs=1e-12)
    assert found["jensen_shannon"].value == pytest.approx(distance.jensenshannon(p, q), abs=1e-12)
    assert found["hellinger"].value == pytest.approx(distance.euclidean(np.sqrt(p), np.sqrt(q)) / math.sqrt(2))
    assert found["total_variation"].value == pytest.approx(distance.cityblock(p, q) / 2)
    assert found["l_infinity"].value == pytest.approx(distance.chebyshev(*pair.cell_shares))
    assert found["chi_square"].value == pytest.approx(chi2.statistic)
    assert found["chi_square"].p_value == pytest.approx(chi2.pvalue, abs=1e-12)


def test_groups_are_tenths_of_the_reference_and_cells_its_frequent_values() -> None:
    values = np.r_[np.zeros(500), RANDOM.normal(size=9_500)]
    pair = pair_of(values, values)

    shares = pair.groups.add_up(pair.reference.counts) / len(values)
    assert shares[shares > 0] == pytest.approx([0.1] * 10, abs=0.05)
    assert "= 0" in pair.cells.names and len([name for name in pair.cells.names if name.startswith("[")]) == 10


def test_the_share_of_missing_has_newcombes_interval() -> None:
    mine, theirs = pa.array([None] * 9 + [1.0] * 91), pa.array([None] * 30 + [1.0] * 170)
    found = STATISTICS["missing"](pair_of(mine, theirs))
    p, q = (
        stats.binomtest(9, 100).proportion_ci(method="wilson"),
        stats.binomtest(30, 200).proportion_ci(method="wilson"),
    )

    assert found.value == pytest.approx(0.06)
    assert found.low == pytest.approx(0.06 - math.hypot(0.15 - q.low, p.high - 0.09))
    assert found.high == pytest.approx(0.06 + math.hypot(q.high - 0.15, 0.09 - p.low))


def test_unseen_categories_are_a_share_with_wilsons_interval() -> None:
    found = STATISTICS["unseen"](pair_of(["a", "b"], ["a"] * 95 + ["c"] * 5))
    interval = stats.binomtest(5, 100).proportion_ci(method="wilson")

    assert found.value == 0.05
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert STATISTICS["unseen"](pair_of([1.0, 2.0], [1.0, math.inf])).value == 0.5
    assert STATISTICS["unseen"](pair_of([1.0, math.inf], [1.0, math.inf])).value == 0.0


def test_zeros_for_a_tenth_are_seen_by_shares_where_the_distribution_function_hardly_moves() -> None:
    pair = pair_of(*SAMPLES["zeros"])

    assert STATISTICS["ks"](pair).value < 0.06
    assert STATISTICS["l_infinity"](pair).value > 0.09
    atoms = pair_of(np.r_[np.zeros(500), RANDOM.normal(3, 1, 9_500)], np.r_[np.zeros(580), RANDOM.normal(3, 1, 3_420)])
    assert STATISTICS["l_infinity"](atoms).value == pytest.approx(0.145 - 0.05, abs=1e-9)


def test_intervals_hold_the_distance_of_the_laws() -> None:
    """KS of N(0,1) and N(0.3,1) is 2 Phi(0.15) - 1; the interval misses it in fewer than 1 in 20 of 200 draws."""
    random, truth, held = np.random.default_rng(5), 2 * stats.norm.cdf(0.15) - 1, 0
    for _ in range(200):
        found = STATISTICS["ks"](pair_of(random.normal(size=600), random.normal(0.3, 1, 400)))
        held += found.low <= truth <= found.high

    assert held >= CONFIDENCE * 200


@given(tables(), tables())
@settings(max_examples=100, deadline=None)
def test_any_two_columns_compare_and_none_differs_from_itself(mine: pa.Table, theirs: pa.Table) -> None:
    reference = reference_profile(mine)
    own, other = profile(mine, reference), profile(theirs, reference)

    for report in (compare(own, other), compare(own, own)):
        assert list(report.columns) == ["x", "s"]
    for drift in compare(own, own).columns.values():
        assert drift.verdict == ("no" if mine.num_rows else "empty")
        for name in ("ks", "wasserstein", "psi", "jensen_shannon", "hellinger", "total_variation", "l_infinity"):
            assert drift.statistics[name].value in (None, pytest.approx(0.0, abs=1e-7))


@pytest.mark.parametrize("learnt", AWKWARD)
def test_statistics_of_awkward_columns_are_numbers_or_nothing(learnt: str) -> None:
    """The report is JSON, and Prometheus' gauges are numbers: neither knows what a NaN of a statistic would mean."""
    rows = pa.table({"x": AWKWARD[learnt]})
    reference, then = learn(rows)
    for values in AWKWARD.values():
        report = compare(then, profile(pa.table({"x": values}), reference))
        json.dumps(report.to_dict(), allow_nan=False)
    for name in ("ks", "total_variation", "l_infinity", "psi", "hellinger"):
        assert compare(then, then).columns["x"].statistics[name].value in (None, pytest.approx(0.0, abs=1e-12))


@pytest.mark.parametrize("kind", ["heavy tails", "whole numbers", "zeros for half", "a sentinel far out"])
def test_distances_of_awkward_columns_are_scipys(kind: str) -> None:
    random = np.random.default_rng(11)
    mine = AWKWARD[kind]
    theirs = np.where(random.random(len(mine)) < 0.05, 0.0, random.permutation(mine))
    found = {name: statistic(pair_of(mine, theirs)) for name, statistic in STATISTICS.items()}
    exact = stats.ks_2samp(mine, theirs).statistic

    assert found["ks"].value - 1e-12 <= exact <= found["ks"].value + found["ks"].certificate + 1e-12
    assert found["wasserstein"].value == pytest.approx(stats.wasserstein_distance(mine, theirs), rel=0.01)


def report_of(mine: object, theirs: object, tolerance: float = 0.1) -> DriftReport:
    """Two samples compared."""
    one, other = pa.table({"x": mine}), pa.table({"x": theirs})
    reference = reference_profile(one)
    return compare(profile(one, reference), profile(other, reference), tolerance=tolerance)


def test_a_verdict_needs_a_change_above_the_tolerance_for_certain() -> None:
    base = RANDOM.normal(size=20_000)

    assert report_of(base, RANDOM.normal(0.1, 1, 20_000)).columns["x"].verdict == "no"
    assert report_of(base, np.quantile(base, (np.arange(300) + 0.5) / 300) + 0.35).columns["x"].verdict == "possible"
    drift = report_of(base, RANDOM.normal(0.6, 1, 5_000)).columns["x"]
    assert (drift.verdict, drift.by) == ("drift", "ks")


@pytest.mark.parametrize(
    ("mine", "theirs", "verdict", "changed"),
    [
        ([7.0] * 500, [7.0] * 500, "no", None),
        ([7.0] * 500, [8.0] * 500, "drift", None),
        ([7.0] * 500, [7.0, math.inf] * 250, "drift", "inf"),
        ([7.0] * 500, pa.nulls(500, pa.float64()), "drift", "missing"),
        (pa.nulls(500, pa.float64()), pa.nulls(500, pa.float64()), "no", None),
        (pa.nulls(500, pa.float64()), [1.0] * 500, "drift", None),
        (["a"] * 500, ["a", "b"] * 250, "drift", None),
        ([7.0] * 500, pa.array([], pa.float64()), "empty", None),
        (pa.array([], pa.float64()), [7.0] * 500, "empty", None),
    ],
)
def test_bad_columns_have_a_verdict(mine: object, theirs: object, verdict: str, changed: str | None) -> None:
    drift = report_of(mine, theirs).columns["x"]

    assert drift.verdict == verdict
    if changed is not None:
        assert drift.changed is not None and drift.changed[0] in (changed, "= 7")


def test_the_most_changed_columns_come_first() -> None:
    names = ["a", "b", "c"]
    one = pa.table({name: RANDOM.normal(size=5_000) for name in names})
    other = pa.table({name: RANDOM.normal(shift, 1, 5_000) for name, shift in zip(names, (0.5, 0.0, 2.0), strict=True)})
    reference = reference_profile(one)

    assert compare(profile(one, reference), profile(other, reference)).drifted == ["c", "a"]
    with pytest.raises(SpecMismatchError, match="do not compare"):
        compare(profile(one, reference), profile(other, reference_profile(other)))


def test_a_report_is_json_without_what_is_not_known() -> None:
    rows = table([(1.0, "a"), (2.0, "b"), (None, None)])
    reference = reference_profile(rows)
    document = compare(profile(rows, reference), profile(rows, reference)).to_dict()

    assert [entry["column"] for entry in document["columns"]] == ["x", "s"]
    assert document["columns"][1]["statistics"]["ks"] == {}
    assert document["columns"][0]["statistics"]["missing"]["value"] == 0.0


@pytest.mark.parametrize("tolerance", [0, 1, 0.0, np.float32(0.5), {"x": 0}])
def test_a_whole_number_is_a_tolerance(tolerance: object) -> None:
    same = report_of([1.0] * 500, [1.0] * 500, tolerance).columns["x"]  # type: ignore[arg-type]

    assert same.verdict == "no"
    expected = tolerance["x"] if isinstance(tolerance, dict) else tolerance
    assert same.tolerance == expected


@pytest.mark.parametrize("tolerance", [math.nan, -0.1, 1.1, math.inf, True, "0.1", {"x": math.nan}])
def test_a_tolerance_that_no_share_can_have_is_refused(tolerance: object) -> None:
    with pytest.raises(UsageError, match="is not between 0 and 1"):
        report_of([1.0] * 500, [1.0] * 500, tolerance)  # type: ignore[arg-type]


def test_a_tolerance_of_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="a tolerance is given for 'y', which is no column"):
        report_of([1.0] * 500, [1.0] * 500, {"y": 0.1})  # type: ignore[arg-type]
