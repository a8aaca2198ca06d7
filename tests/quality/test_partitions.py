"""Verdicts do not depend on how the data is split, nor on the order in which parts arrive."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.quality import Contract, Report, Result, load_contract
from mercury.quality.engines import arrow
from mercury.quality.metrics import KeyCounts, Metric, Order, ValueCounts
from mercury.quality.metrics import values as values_module
from mercury.quality.plan import Partial, compute, expressions_of, merge, plan
from mercury.quality.run import check
from mercury.quality.source import ArrowSource
from tests.quality.contracts import contract_of
from tests.quality.history import history

RULES = """
- name: n
  required: true
  unique: true
  quality:
    - {name: distinct, type: custom, engine: mercury, implementation: {check: distinct, mustBeGreaterThan: 3}}
    - {name: rising, type: custom, engine: mercury, implementation: {check: monotonic}}
    - {name: falling, type: custom, engine: mercury, implementation: {check: monotonic, direction: decreasing}}
    - {name: strictly, type: custom, engine: mercury, implementation: {check: monotonic, strict: true}}
- name: x
  logicalType: number
  logicalTypeOptions: {minimum: -1, maximum: 1}
  quality:
    - {name: median, type: custom, engine: mercury, implementation: {check: quantile, q: 0.5, mustBeLessThan: 0}}
    - {name: p99, type: custom, engine: mercury, implementation: {check: quantile, q: 0.99, mustBeLessThan: 0}}
    - {name: mean, type: custom, engine: mercury, implementation: {check: mean, mustBeLessThan: 0}}
    - {name: std, type: custom, engine: mercury, implementation: {check: std, mustBeLessThan: 1}}
    - {name: least, type: custom, engine: mercury, implementation: {check: min, mustBeLessThan: 0}}
- name: text
  unique: true
  quality:
    - {name: words, type: custom, engine: mercury, implementation: {check: monotonic}}
    - {name: set, metric: invalidValues, arguments: {validValues: [a, é]}, mustBeLessThan: 50, unit: percent}
"""

TABLE_RULES = """
- {name: rows, metric: rowCount, mustBeGreaterThan: 5}
- {name: compound, metric: duplicateValues, arguments: {properties: [n, text]}, mustBe: 0}
- {name: condition, type: custom, engine: mercury, implementation: "n > 0 OR x IS NULL"}
"""


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return contract_of(tmp_path_factory.mktemp("c"), RULES, TABLE_RULES)


class SplitSource(ArrowSource):
    """A table in ranges that end at given rows (some may be empty), handed out in a shuffled order."""

    def __init__(self, table: pa.Table, ends: Sequence[int], shuffle: int) -> None:
        super().__init__(table)
        self._ends, self._shuffle = sorted(ends), shuffle

    def ranges(self):  # type: ignore[no-untyped-def]
        from mercury.quality.source import Range

        starts = [0, *self._ends]
        ends = [*self._ends, self.table.num_rows]
        parts = [Range(0, -1, start, end - start, 1) for start, end in zip(starts, ends, strict=True)]
        random.Random(self._shuffle).shuffle(parts)
        return parts


def is_float(result: Result) -> bool:
    return result.check in ("mean", "std") and result.value is not None


def outcome(report: Report) -> list[tuple[object, ...]]:
    return [
        (
            result.check,
            result.verdict,
            pytest.approx(result.value, rel=1e-9, abs=1e-12, nan_ok=True) if is_float(result) else result.value,
            result.tested,
            result.failed,
            [(sample.position, dict(sample.values)) for sample in result.sample],
        )
        for result in report.results
    ]


COLUMNS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-3, 12)),
        st.one_of(st.none(), st.sampled_from([0.0, -0.0, 0.5, -2.0, 1e300]), st.floats(-2, 2)),
        st.one_of(st.none(), st.sampled_from(["a", "b", "é", "日本", "", "a"])),
    ),
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(COLUMNS, st.lists(st.integers(0, 60), max_size=63), st.integers(0, 2**32), st.booleans())
def test_any_split_in_any_order_gives_the_verdicts_of_the_whole(
    contract: Contract, rows: list[tuple[int | None, float | None, str | None]], cuts: list[int], seed: int, coded: bool
) -> None:
    text = pa.array([row[2] for row in rows], pa.string())
    table = pa.table(
        {
            "n": pa.array([row[0] for row in rows], pa.int64()),
            "x": pa.array([row[1] for row in rows], pa.float64()),
            "text": text.dictionary_encode() if coded else text,
        }
    )
    whole = check(ArrowSource(table, rows=1_000), contract)
    split = check(SplitSource(table, [min(cut, len(rows)) for cut in cuts], seed), contract)
    assert outcome(split) == outcome(whole)


@pytest.mark.parametrize("parts", [1, 2, 7, 64])
def test_the_history_in_parts_gives_the_same_results(parts: int) -> None:
    contract = load_contract("examples/flights/contracts/flights_history.odcs.yaml")
    seed = 7 * parts
    print("seed", seed)
    cuts = [random.Random(seed).randrange(len(history())) for _ in range(parts - 1)]
    report = check(SplitSource(history(), cuts, seed), contract)
    found = {result.check: result.value for result in report.results}
    assert found["few cancellations"] == 100 * 8_255 / 336_776
    assert found["all carriers fly"] == 16
    assert found["long delays are rare"] == 191
    assert found["usual departure delay"] == pytest.approx(12.639070257304708, rel=1e-12)
    assert found["spread of arrival delays"] == pytest.approx(44.63329169019395, rel=1e-12)
    assert report.counts[report.verdict] == len(report.results)


def test_all_null_and_empty_parts_are_skipped_by_order() -> None:
    table = pa.table({"n": pa.array([1, 2, None, None, None, 2, 1], pa.int64())})
    metric = Order("n")
    states = [metric.partial(block) for block in arrow.blocks(SplitSource(table, [2, 2, 4, 5], 3), ["n"])]
    assert metric.finish(metric.merge(states))[:2] == (4, 1)
    assert metric.finish(metric.merge([])) == (0, 0, ())


@pytest.mark.parametrize("metric", [KeyCounts(("n",)), KeyCounts(("n", "text")), Order("n"), ValueCounts("x")])
def test_merge_is_associative_and_has_a_neutral_element(metric: Metric) -> None:
    generator = np.random.default_rng(3)
    table = pa.table(
        {
            "n": generator.integers(0, 50, 300),
            "x": generator.normal(size=300).round(2),
            "text": generator.choice(["a", "b", "é"], 300),
        }
    )
    one, two, three = (
        metric.partial(block) for block in arrow.blocks(ArrowSource(table, rows=100), table.column_names)
    )
    left = metric.merge([metric.merge([one, two]), three])
    right = metric.merge([one, metric.merge([three, two])])
    assert left == right == metric.merge([left, metric.merge([])])


@pytest.mark.parametrize("rows", [1, 40, 4_000])
def test_quantiles_beyond_the_exact_limit_are_sketched_alike_for_every_split(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(values_module, "EXACT_VALUES", 500)
    generator = np.random.default_rng(11)
    data = np.concatenate([generator.lognormal(2, 2, 2_000), -generator.lognormal(0, 1, 500), np.zeros(100)])
    generator.shuffle(data)
    table = pa.table({"x": data})
    metric = ValueCounts("x")
    whole = metric.partial(next(iter(arrow.blocks(ArrowSource(table, rows=10_000), ["x"]))))
    state = metric.merge([metric.partial(block) for block in arrow.blocks(ArrowSource(table, rows=rows), ["x"])])
    assert whole.sketched and state == whole
    for q in (0.0, 0.01, 0.25, 0.5, 0.9, 0.999, 1.0):
        expected = float(np.quantile(data, q, method="lower"))
        assert state.quantile(q) == pytest.approx(expected, rel=values_module.ACCURACY * 1.0001, abs=1e-12)


def test_a_metric_that_breaks_in_one_part_is_broken_in_the_whole(contract: Contract) -> None:
    wanted = plan(contract.checks, pa.schema({"n": pa.int64(), "x": pa.float64(), "text": pa.string()}))
    good = pa.table({"n": [1], "x": [1.0], "text": ["a"]})
    bad = pa.table({"n": [1], "x": ["no number"], "text": ["a"]})
    parts = []
    for table in (good, bad, good):
        (block,) = arrow.blocks(ArrowSource(table), table.column_names)
        parts.append(Partial(1, compute(wanted.metrics, block)))
    assert expressions_of(wanted.metrics)
    states = merge(wanted, parts).states
    broken = {metric for metric, state in states.items() if type(state).__name__ == "Broken"}
    assert broken and all("x" in metric.columns for metric in broken)
    assert states[KeyCounts(("n",))].rows == 3


def test_files_and_row_groups_are_parts_like_any_other(contract: Contract, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    table = pa.table(
        {
            "n": pa.array(np.sort(generator.integers(0, 900, 1_000)), mask=generator.random(1_000) < 0.1),
            "x": generator.normal(size=1_000),
            "text": generator.choice(["a", "b", "é"], 1_000),
        }
    )
    for number, (start, end) in enumerate([(0, 300), (300, 300), (300, 1_000)]):
        pq.write_table(table.slice(start, end - start), tmp_path / f"part-{number}.parquet", row_group_size=70)
    whole = check(table, contract)
    files = check(str(tmp_path), contract)
    assert [(r.check, r.verdict, r.failed, r.tested) for r in files.results] == [
        (r.check, r.verdict, r.failed, r.tested) for r in whole.results
    ]
    assert files.rows == 1_000 and len(files.files) == 3
