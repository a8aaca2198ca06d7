"""The choice among a unit's groups is that of sorting all, fair, and undisturbed by equal hashes."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.privacy import choosing
from mercury.privacy.choosing import by_sorting, chosen, drawn
from mercury.runtime.hashing import hash_keys

SEED = b"\x05" * 32

UNITS: dict[str, st.SearchStrategy[Any]] = {
    "short text": st.text("ab", max_size=3),
    "long text": st.text("ab", max_size=2).map(lambda end: "the same beginning " + end),
    "whole": st.integers(-3, 3),
    "float": st.sampled_from([0.5, 1.5, float("inf")]),
    "date": st.integers(1, 5).map(lambda day: date(2024, 2, day)),
    "bool": st.booleans(),
}


def table(units: list[Any], groups: int, seed: int) -> pa.Table:
    """Some of all pairs of units and groups, in any order."""
    rng = np.random.default_rng(seed)
    pairs = [(unit, f"g{group}") for unit in dict.fromkeys(units) for group in range(rng.integers(1, groups + 1))]
    pairs = [pairs[place] for place in rng.permutation(len(pairs))]
    return pa.table({"unit": pa.array([unit for unit, _ in pairs]), "k0": pa.array([group for _, group in pairs])})


def sorted_choice(pairs: pa.Table, most: int, draws: np.ndarray | None = None) -> np.ndarray:
    found = drawn(hash_keys([pairs["unit"], pairs["k0"]]), choosing._secret(SEED)) if draws is None else draws
    return by_sorting(pairs, "unit", ["k0"], found, most)


@pytest.mark.parametrize("kind", UNITS)
def test_the_choice_is_that_of_sorting(kind: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(UNITS[kind], min_size=1, max_size=8), st.integers(1, 9), st.integers(1, 4), st.integers(0, 999))
    def check(units: list[Any], groups: int, most: int, seed: int) -> None:
        pairs = table(units, groups, seed)
        kept = chosen(pairs, "unit", ["k0"], SEED, most)
        assert kept.tolist() == sorted_choice(pairs, most).tolist()
        every = pairs["unit"].to_pylist()
        stay = pairs["unit"].filter(pa.array(kept)).to_pylist()
        assert all(stay.count(unit) == min(most, every.count(unit)) for unit in every)

    check()


def test_many_buckets_give_the_same() -> None:
    rng = np.random.default_rng(8)
    number = np.repeat(np.arange(30_000), rng.integers(1, 9, 30_000))
    group = np.arange(len(number)) - np.searchsorted(number, number)
    pairs = pa.table({"unit": pa.array([f"u{each}" for each in number]), "k0": pa.array(group)})
    pairs = pairs.take(pa.array(rng.permutation(len(number))))

    assert (chosen(pairs, "unit", ["k0"], SEED, 3) == sorted_choice(pairs, 3)).all()


@pytest.mark.parametrize("units", [["a", "b"], ["the same beginning a", "the same beginning b"]])
def test_units_with_one_hash_stay_two(units: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken for one, the two would share its places: whether one is there would change what the other gives."""
    honest = hash_keys
    monkeypatch.setattr(
        choosing,
        "hash_keys",
        lambda columns: honest(columns) if len(columns) > 1 else np.full(len(columns[0]), 7, "u8"),
    )
    pairs = table(units, 1, 1)

    assert chosen(pairs, "unit", ["k0"], SEED, 1).tolist() == [True, True]


def test_equal_draws_are_told_apart_by_the_group_and_not_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = hash_keys
    monkeypatch.setattr(
        choosing,
        "hash_keys",
        lambda columns: honest(columns) if len(columns) == 1 else np.full(len(columns[0]), 7, "u8"),
    )
    groups = ["g3", "g1", "g2", "g0"]
    for order in (groups, groups[::-1], sorted(groups)):
        pairs = pa.table({"unit": ["a"] * 4, "k0": order})
        kept = chosen(pairs, "unit", ["k0"], SEED, 2)
        assert sorted(pairs["k0"].filter(pa.array(kept)).to_pylist()) == ["g0", "g1"]


def test_no_pairs_are_no_choice() -> None:
    pairs = pa.table({"unit": pa.array([], pa.string()), "k0": pa.array([], pa.string())})

    assert chosen(pairs, "unit", ["k0"], SEED, 2).tolist() == []


def test_the_choice_is_golden() -> None:
    """The same seed chooses the same in every release and on every machine."""
    pairs = pa.table({"unit": ["ann"] * 5 + ["bob"] * 5, "k0": [f"g{number}" for number in range(5)] * 2})

    assert drawn(hash_keys([pa.array(["ann"]), pa.array(["g0"])]), choosing._secret(SEED)).tolist() == [
        2223838406580536293
    ]
    assert np.flatnonzero(chosen(pairs, "unit", ["k0"], SEED, 2)).tolist() == [0, 4, 5, 9]
