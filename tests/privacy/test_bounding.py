"""What each unit gives is bounded, chosen without favour, and added up exactly; a naive twin agrees."""

from __future__ import annotations

import hashlib
import itertools
import traceback
from collections import defaultdict
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mercury.definitions import Aggregate, BatchTable, Bounds, Count, CountDistinct, Mean, Sum, arrow_schema
from mercury.errors import DataError, DefinitionError
from mercury.privacy import aggregate
from mercury.privacy.aggregate import bounded, require_units
from mercury.privacy.answer import Noise, finished
from mercury.privacy.plan import USERS, Measure, PrivatePlan, make_plan
from mercury.runtime.hashing import hash_keys
from tests.privacy.people import policy, visits

ALL: dict[str, Aggregate] = {
    "n": Count(),
    "big": Count(where="spent > 10"),
    "spent": Sum("spent"),
    "mean_items": Mean("items"),
    "people": CountDistinct("person", exact=True),
}
SEED = b"\x07" * 32


def twin(plan: PrivatePlan, rows: pa.Table, seed: bytes) -> dict[tuple[object, ...], dict[str, int]]:
    """The same by loops over Python values."""
    pairs: dict[tuple[str, tuple[object, ...]], list[dict[str, object]]] = defaultdict(list)
    for row in rows.to_pylist():
        key = tuple(row[column] for column in plan.keys)
        if all(row[column] in plan.policy.public_keys.get(column, [row[column]]) for column in plan.by):
            pairs[row["person"], key].append(row)
    kept: dict[tuple[object, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for unit in {unit for unit, _ in pairs}:
        mine = [key for one, key in pairs if one == unit]

        def drawn(key: tuple[object, ...], unit: str = unit) -> int:
            secret = int.from_bytes(hashlib.sha256(seed).digest()[:8], "big")
            return splitmix64(int(hash_keys([pa.array([unit]), *(pa.array([part]) for part in key)])[0]) ^ secret)

        for key in sorted(mine, key=drawn)[: plan.policy.max_groups]:
            own = pairs[unit, key]
            group = kept[key]
            group[USERS] += 1
            for number, measure in enumerate(plan.measures):
                if measure.name == USERS:
                    group[f"m{number}"] += 1
                    continue
                total = sum(worth(measure, row) for row in own)
                if len(own) > plan.policy.max_rows:
                    total = int(Fraction(total * plan.policy.max_rows, len(own)))
                group[f"m{number}"] += total
    return {key: dict(group) for key, group in kept.items()}


def splitmix64(bits: int) -> int:
    """The reference of Steele, Lea and Flood in Python's integers."""
    bits = (bits + 0x9E3779B97F4A7C15) % 2**64
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) % 2**64
    return bits ^ (bits >> 31)


def worth(measure: Measure, row: dict[str, Any]) -> int:
    if measure.where is not None:
        return int(row["spent"] > 10)
    if measure.of is None:
        return 1
    if measure.high == 1:
        return int(row["items"] is not None)
    if measure.of == "spent":
        return round(min(max(row["spent"], 0.0), 50.0) / 0.01)
    return min(max(row["items"], 0), 10) - 5


def as_dict(
    plan: PrivatePlan, rows: pa.Table | list[str], seed: bytes = SEED
) -> dict[tuple[object, ...], dict[str, int]]:
    found = bounded(plan, rows, seed).table
    keys = [name for name in found.column_names if name.startswith("k")]
    return {
        tuple(row[key] for key in keys): {name: value for name, value in row.items() if name not in keys}
        for row in found.to_pylist()
    }


@pytest.mark.parametrize("by", [["shop"], ["items", "shop"], []])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_pass_is_that_of_a_naive_twin(by: list[str], seed: int, tmp_path: Path) -> None:
    rows = visits(300, seed)
    plan = make_plan(policy(), ALL, by)
    expected = twin(plan, rows, SEED)

    assert as_dict(plan, rows) == expected
    edges = [0, rows.num_rows // 3, rows.num_rows // 2, rows.num_rows]
    for place, (low, high) in enumerate(itertools.pairwise(edges)):
        pq.write_table(rows.slice(low, high - low), tmp_path / f"{place}.parquet")
    files = [str(tmp_path / f"{place}.parquet") for place in range(3)]
    assert as_dict(plan, files) == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 5), st.sampled_from([["shop"], []]))
def test_a_person_moves_the_answer_by_no_more_than_the_noise_is_made_for(
    seed: int, max_groups: int, max_rows: int, by: list[str]
) -> None:
    rows = visits(12, seed)
    plan = make_plan(policy(max_groups=max_groups, max_rows=max_rows), ALL, by)
    everybody = as_dict(plan, rows)
    people = rows["person"].to_pylist()
    for person in set(people):
        others = as_dict(plan, rows.filter(pa.array([name != person for name in people])))
        for number, measure in enumerate(plan.measures):
            name = f"m{number}"
            apart = [
                abs(everybody.get(key, {}).get(name, 0) - others.get(key, {}).get(name, 0))
                for key in {*everybody, *others}
            ]
            assert sum(apart) <= plan.sensitivity(measure)


def test_every_group_of_a_person_is_equally_likely_to_stay() -> None:
    """Chi-square over 600 seeds: rejects a fair choice once in 10,000 runs; the seeds are fixed, so never here."""
    rows = pa.table({"person": ["a"] * 6, "ts": pa.nulls(6, pa.timestamp("us", tz="UTC")),
                     "shop": [f"s{number}" for number in range(6)], "spent": [1.0] * 6, "items": [1] * 6})  # fmt: skip
    plan = make_plan(policy(max_groups=2, public_keys={}), {"n": Count()}, ["shop"])

    stayed = dict.fromkeys(rows["shop"].to_pylist(), 0)
    for number in range(600):
        for (shop,) in as_dict(plan, rows, number.to_bytes(32, "big")):
            stayed[shop] += 1

    assert sum(stayed.values()) == 1_200
    assert stats.chisquare(list(stayed.values())).pvalue > 1e-4


def test_units_taken_in_parts_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = visits(300, 6, shops=20)
    plan = make_plan(policy(public_keys={}), ALL, ["shop"])
    at_once = as_dict(plan, rows)
    monkeypatch.setattr(aggregate, "PAIRS_AT_ONCE", 100)

    assert as_dict(plan, rows) == at_once


def test_the_same_seed_chooses_the_same_and_another_one_others() -> None:
    rows = visits(200, 3, shops=20)
    plan = make_plan(policy(public_keys={}), {"n": Count()}, ["shop"])

    assert as_dict(plan, rows) == as_dict(plan, rows.take(pa.array(np.arange(rows.num_rows)[::-1])))
    assert as_dict(plan, rows) != as_dict(plan, rows, b"\x08" * 32)


def test_groups_of_many_columns_and_people_are_equally_likely_to_stay() -> None:
    """Chi-square over 10,000 people under two seeds each: pairs of values and their mirror images, as of journeys."""
    journeys = [("a", "b"), ("b", "a"), ("a", "a"), ("b", "b"), ("a", "c"), ("c", "a"), ("c", "c")]
    source = BatchTable("trips", schema={"person": "int64", "ts": "timestamp", "from": "string", "to": "string"},
                        event_time="ts")  # fmt: skip
    people = np.repeat(np.arange(10_000), len(journeys))
    rows = pa.table({"person": people, "ts": pa.nulls(len(people), pa.timestamp("us", tz="UTC")),
                     "from": [one for one, _ in journeys] * 10_000,
                     "to": [other for _, other in journeys] * 10_000})  # fmt: skip
    plan = make_plan(policy(source=source, bounds={}, public_keys={}, max_groups=3), {"n": Count()}, ["from", "to"])

    for seed in (b"\x01" * 32, b"\x02" * 32):
        stayed = [group["m0"] for group in as_dict(plan, rows, seed).values()]
        assert sum(stayed) == 30_000 and len(stayed) == len(journeys)
        # Three of seven without replacement vary less than independent draws: the statistic is divided by 1 - 2/6.
        statistic = stats.chisquare(stayed).statistic / (1 - 2 / 6)
        assert stats.chi2.sf(statistic, len(journeys) - 1) > 1e-4


@pytest.mark.parametrize(
    "name", ["unit", "rows", "place", "users", "nobody", "k0", "m0", "s0", "of0", "given", "value"]
)
def test_a_column_may_have_any_name(name: str) -> None:
    source = BatchTable("odd", schema={"person": "string", "ts": "timestamp", name: "string"}, event_time="ts")
    rows = pa.table({"person": ["a", "b", "c"], "ts": pa.nulls(3, pa.timestamp("us", tz="UTC")), name: ["x", "y", "x"]})
    for public in ({}, {name: ["x", "y", "z"]}):
        plan = make_plan(policy(source=source, bounds={}, public_keys=public), {"n": Count(name)}, [name])

        assert as_dict(plan, rows) == {("x",): {USERS: 2, "m0": 2}, ("y",): {USERS: 1, "m0": 1}}


@pytest.mark.parametrize(
    ("type_", "keys", "values", "expected"),
    [
        ("float64", [1, 2], [1.0, 2.0, 1.0, 2.5], {(1.0,): 2, (2.0,): 1}),
        ("int64", ["01", 2], [1, 2, 1, 3], {(1,): 2, (2,): 1}),
        ("bool", ["true"], [True, False, None, True], {(True,): 2}),
        ("string", ["it's", 7], ["it's", "7", "7", "x"], {("it's",): 1, ("7",): 2}),
        ("date", ["2024-03-31"], [date(2024, 3, 31), date(2024, 4, 1), None, None], {(date(2024, 3, 31),): 1}),
    ],
)
def test_public_keys_are_compared_as_values_of_their_column(
    type_: str, keys: list[str | int], values: list[object], expected: dict[tuple[object, ...], int]
) -> None:
    source = BatchTable("keyed", schema={"person": "int64", "ts": "timestamp", "key": type_}, event_time="ts")
    rows = pa.table({"person": [1, 2, 3, 4], "ts": pa.nulls(4, pa.timestamp("us", tz="UTC")),
                     "key": pa.array(values, arrow_schema({"key": type_}).field(0).type)})  # fmt: skip
    plan = make_plan(policy(source=source, bounds={}, public_keys={"key": keys}), {"n": Count()}, ["key"])

    assert {key: group["m0"] for key, group in as_dict(plan, rows).items()} == expected
    named = finished(plan, Noise(plan), Noise(plan).draw(bounded(plan, rows, SEED)))["key"].to_pylist()
    assert named == sorted(plan.public["key"].to_pylist())


@pytest.mark.parametrize(
    ("type_", "keys", "message"),
    [
        ("int64", ["x"], "'x' is no int64"),
        ("int64", [1, "01"], "two keys are one int64"),
        ("date", [7], "7 is no date"),
    ],
)
def test_public_keys_that_are_none_are_refused(type_: str, keys: list[str | int], message: str) -> None:
    source = BatchTable("keyed", schema={"person": "int64", "ts": "timestamp", "key": type_}, event_time="ts")

    with pytest.raises(DefinitionError, match=message):
        make_plan(policy(source=source, bounds={}, public_keys={"key": keys}), {"n": Count()}, ["key"])


def test_a_mean_leaves_nan_out_and_whole_numbers_whole() -> None:
    """The centre of 0 to 5 is no whole number: values counted from it would be rounded, all in one direction."""
    rows = visits(3, 5).slice(0, 3).set_column(0, "person", pa.array(["a", "b", "c"]))
    rows = rows.set_column(3, "spent", pa.array([10.0, float("nan"), None], pa.float64()))
    rows = rows.set_column(4, "items", pa.array([1, 2, 4]))
    plan = make_plan(
        policy(bounds={"spent": Bounds(0, 50, step=0.01), "items": Bounds(0, 5)}),
        {"s": Mean("spent"), "i": Mean("items")},
    )
    (found,) = as_dict(plan, rows).values()

    place = {part.name: f"m{number}" for number, part in enumerate(plan.measures)}
    exact = {}
    for part in plan.outputs:
        total, count = (found[place[name]] for name in part.measures)
        exact[part.name] = (part.centre + part.step * total / count, count)
    assert exact == {"s": (pytest.approx(10.0), 1), "i": (pytest.approx(7 / 3), 3)}


def test_sums_past_64_bits_stay_at_the_end() -> None:
    """An error there would tell of the data, and noise is made for sums that move no further than a unit does."""
    measure = Measure("m", "x", None, "{of}", 0, 2**31)
    for value, expected in ((2**62, 2**63 - 1), (-(2**62), -(2**63 - 1)), (5, 15)):
        pairs = ", ".join(f"(1, {value}::HUGEINT)" for _ in range(3))
        query = f"SELECT {aggregate._total(0, measure, 5)} FROM (VALUES {pairs}) t(rows, s0)"
        assert duckdb.sql(query).fetchall() == [(expected,)]


NOBODY = pa.array([None, "a", "a", "b"], pa.string())


@pytest.mark.parametrize("where", [None, "spent > 0", "spent < 0", "person = 'a'", "person IS NULL AND spent > 1",
                                   "person IS NOT NULL OR spent > 1"])  # fmt: skip
def test_rows_of_nobody_are_refused_whatever_is_asked(where: str | None) -> None:
    """Were it to depend on the question, a refusal would tell, for nothing, which rows are nobody's."""
    rows = visits(4, 4).slice(0, 4).set_column(0, "person", NOBODY)

    with pytest.raises(DataError, match=r"the unit 'person' is null in some rows.*where=\"\(person\) IS NOT NULL\""):
        require_units(make_plan(policy(), {"n": Count()}, where=where), rows)


@pytest.mark.parametrize("where", ["person IS NOT NULL", "spent > 0 AND NOT (person IS NULL)"])
def test_rows_of_nobody_are_left_out_when_the_question_says_so(where: str) -> None:
    rows = visits(4, 4).slice(0, 4).set_column(0, "person", NOBODY)
    plan = make_plan(policy(), {"n": Count(), "people": CountDistinct("person", exact=True)}, where=where)

    require_units(plan, rows)
    assert bounded(plan, rows, SEED).table.to_pylist() == [{USERS: 2, "m0": 3, "m1": 2}]


def test_a_unit_that_is_no_number_is_nobody() -> None:
    rows = visits(3, 4).slice(0, 3).set_column(3, "spent", pa.array([1.0, float("nan"), None], pa.float64()))
    of_amounts = policy(unit="spent")

    with pytest.raises(DataError, match="the unit 'spent' is null in some rows"):
        require_units(make_plan(of_amounts, {"n": Count()}), rows)
    left = bounded(make_plan(of_amounts, {"n": Count()}, where="spent IS NOT NULL"), rows, SEED).table
    assert left["m0"].to_pylist() == [1]


def test_a_failure_of_the_engine_tells_nothing_of_the_data(tmp_path: Path) -> None:
    rows = visits(3, 4)
    secret = rows.set_column(4, "items", pa.array(["secret"] * rows.num_rows))
    pq.write_table(secret, tmp_path / "rows.parquet")

    with pytest.raises(DataError, match="the question could not be answered; what it costs stays spent") as caught:
        bounded(make_plan(policy(), {"items": Sum("items")}), [str(tmp_path / "rows.parquet")], SEED)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("value", "worth"),
    [
        (float("inf"), 50.0),
        (float("-inf"), 0.0),
        (float("nan"), 0.0),
        (None, 0.0),
        (1e300, 50.0),
        (-0.0, 0.0),
        (49.999, 50.0),
    ],
)
def test_values_are_clamped_before_they_are_scaled(value: float | None, worth: float) -> None:
    rows = visits(1, 5).slice(0, 1).set_column(3, "spent", pa.array([value], pa.float64()))
    plan = make_plan(policy(), {"spent": Sum("spent")})

    assert bounded(plan, rows, SEED).table["m0"].to_pylist() == [round(worth / 0.01)]
