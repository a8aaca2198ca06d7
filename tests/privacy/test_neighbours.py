"""One person more or less moves exact integers by no more than their noise is made for, whatever the rows are."""

from __future__ import annotations

import math
import random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mercury.definitions import BatchTable, Bounds, Budget, Count, CountDistinct, Mean, PrivacyPolicy, Sum
from mercury.privacy import aggregate
from mercury.privacy.aggregate import bounded
from mercury.privacy.answer import Noise
from mercury.privacy.noise import Laplace
from mercury.privacy.plan import USERS, PrivatePlan, make_plan

SCHEMA = {"who": "string", "ts": "timestamp", "place": "float64", "kind": "string", "x": "float64", "n": "int64"}
SOURCE = BatchTable("rows", schema=SCHEMA, event_time="ts")
VALUES: dict[str, list[Any]] = {
    "who": ["a", "b", "\u00e9", "A", ""],
    "place": [0.0, -0.0, 1.5, math.nan, math.inf, None],
    "kind": ["k", "K", "", "\U0001f680", None],
    "x": [0.0, -0.0, 1.0, -3.7, 1e300, -1e300, math.nan, math.inf, -math.inf, None],
    "n": [0, 1, -7, 2**63 - 1, -(2**63), None],
}
OUTPUTS: dict[str, Any] = {
    "rows": Count(),
    "with_x": Count("x"),
    "some": Count(where="n > 0"),
    "sum_x": Sum("x"),
    "sum_n": Sum("n", where="kind = 'k'"),
    "mean_n": Mean("n"),
    "people": None,
}


def case(rng: random.Random) -> tuple[PrivatePlan, pa.Table]:
    """A random policy, question and table: few people, odd values, sometimes no rows at all."""
    count = rng.choice([0, 1, 2, 5, 20])
    people = rng.sample(VALUES["who"], rng.choice([1, 2, len(VALUES["who"])]))
    columns: dict[str, Any] = {"who": [rng.choice(people) for _ in range(count)], "ts": [0] * count}
    columns |= {name: [rng.choice(VALUES[name]) for _ in range(count)] for name in ("place", "kind", "x", "n")}
    types = {"string": pa.string(), "timestamp": pa.timestamp("us", tz="UTC"), "float64": pa.float64(),
             "int64": pa.int64()}  # fmt: skip
    table = pa.table({name: pa.array(values, types[SCHEMA[name]]) for name, values in columns.items()})
    low, high = rng.choice([(0, 10), (-5, 5), (-100, -1), (1000, 2000)])
    rules = PrivacyPolicy(
        "rows",
        source=SOURCE,
        unit=rng.choice(["who", "lower(who)", "coalesce(who, 'nobody')"]),
        budget=Budget(100.0, 1e-6),
        epsilon=1.0,
        max_groups=rng.choice([1, 2, 50]),
        max_rows=rng.choice([1, 3, 1000]),
        bounds={"x": Bounds(low, high, step=rng.choice([1.0, 0.25])), "n": Bounds(low, high)},
        public_keys=rng.choice([{}, {"kind": ["k", "K"]}, {"kind": ["k"]}]),
    )
    by = rng.choice([[], ["kind"], ["place"], ["kind", "place"]])
    asked = rng.sample(sorted(OUTPUTS), rng.randint(1, 3))
    where = rng.choice([None, "x > 0", "n IS NOT NULL", "kind = 'nothing'"])
    people = CountDistinct(str(rules.unit), exact=True)
    return make_plan(rules, {name: OUTPUTS[name] or people for name in asked}, by, where), table


def groups(plan: PrivatePlan, rows: pa.Table, seed: bytes) -> dict[tuple[Any, ...], dict[str, int]]:
    table = bounded(plan, rows, seed).table
    keys = [name for name in table.column_names if name.startswith("k")]
    return {
        tuple("NaN" if row[key] != row[key] else row[key] for key in keys): {
            name: value for name, value in row.items() if name not in keys
        }
        for row in table.to_pylist()
    }


def violation(rng: random.Random) -> str | None:
    """What one person moved further than was planned, in a random case; None when nothing did."""
    plan, rows = case(rng)
    seed = rng.randbytes(32)
    unit = {"lower(who)": pc.utf8_lower(rows["who"])}.get(str(plan.policy.unit), rows["who"])
    everybody = groups(plan, rows, seed)
    for person in pc.unique(unit).to_pylist():
        others = groups(plan, rows.filter(pc.not_equal(unit, person)), seed)
        keys = {*everybody, *others}
        if len([key for key in keys if everybody.get(key) != others.get(key)]) > plan.groups_of_a_unit:
            return f"{person!r} changes more than {plan.groups_of_a_unit} groups of {plan}"
        named = {f"m{place}": plan.sensitivity(measure) for place, measure in enumerate(plan.measures)}
        for name, most in {USERS: plan.groups_of_a_unit, **named}.items():
            moved = sum(abs(everybody.get(key, {}).get(name, 0) - others.get(key, {}).get(name, 0)) for key in keys)
            if moved > most:
                return f"{person!r} moves {name} by {moved}, planned for {most}: {plan}"
    return None


@pytest.mark.parametrize("seed", range(4))
def test_nobody_moves_an_answer_further_than_the_noise_is_made_for(seed: int) -> None:
    rng = random.Random(seed)
    for number in range(150):
        found = violation(rng)
        assert found is None, f"seed {seed}, case {number}: {found}"


def test_a_sum_of_no_rows_that_became_the_bound_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    most = aggregate.MOST
    monkeypatch.setattr(aggregate, "_fitting", lambda total: f"least(greatest({total}, -{most}), {most})::BIGINT")
    rng = random.Random(1)
    assert any(violation(rng) for _ in range(150))


@pytest.mark.parametrize("by", [[], ["kind"]])
def test_what_nobody_has_is_zero(by: list[str]) -> None:
    rules = PrivacyPolicy("rows", source=SOURCE, unit="who", budget=Budget(1.0, 1e-6), bounds={"n": Bounds(0, 9)},
                          public_keys={"kind": ["k"]})  # fmt: skip
    asked = {"n": Count(), "some": Count(where="n > 0"), "sum": Sum("n"), "mean": Mean("n")}
    plan = make_plan(rules, asked, by)
    _, table = case(random.Random(0))
    found = bounded(plan, table.slice(0, 0), b"\x00" * 32).table
    assert [set(row.values()) for row in found.to_pylist()] == ([] if by else [{0}])


def test_noise_is_made_for_as_many_groups_as_there_can_be() -> None:
    rules = PrivacyPolicy("rows", source=SOURCE, unit="who", budget=Budget(1.0, 1e-6), epsilon=1.0, max_groups=20,
                          public_keys={"kind": ["k", "K"]})  # fmt: skip
    for by, groups_ in (([], 1), (["kind"], 2), (["kind", "place"], 20)):
        plan = make_plan(rules, {"n": Count()}, by)
        assert plan.groups_of_a_unit == groups_
        (name,) = [measure.name for measure in plan.measures]
        assert Noise(plan).laplace[name] == Laplace.for_share(groups_, plan.share)


def test_zero_has_no_sign_in_groups_and_public_keys() -> None:
    """A label of minus zero would say that a certain person's row is in the group."""
    rules = PrivacyPolicy("rows", source=SOURCE, unit="who", budget=Budget(1.0, 1e-6), max_groups=2)
    table = pa.table(
        {
            "who": ["a", "b"],
            "ts": pa.array([0, 0], pa.timestamp("us", tz="UTC")),
            "place": [-0.0, 0.0],
            "kind": ["k", "k"],
            "x": [1.0, 1.0],
            "n": [1, 1],
        }
    )
    for rows in (table, table.take([1, 0]), table.slice(0, 1)):
        (label,) = bounded(make_plan(rules, {"n": Count()}, ["place"]), rows, b"\x00" * 32).table["k0"].to_pylist()
        assert math.copysign(1, label) == 1
