"""Sketches stay inside the error that they state, measured against exact answers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.definitions import CountDistinct, Quantile
from mercury.summaries import SummarySpec, finish, merge, partial
from tests.summaries.awkward import random_rows

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QS = [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0]


def quantiles_of(values: pa.Array, accuracy: float) -> list[float]:
    spec = SummarySpec([], {f"q{place}": Quantile("x", q, accuracy=accuracy) for place, q in enumerate(QS)})
    half = len(values) // 2
    parts = [partial(spec, pa.table({"x": part})) for part in (values[:half], values[half:])]
    return [finish(merge(parts))[name][0].as_py() for name in spec.aggregates]


@pytest.mark.parametrize("accuracy", [0.0001, 0.01, 0.2])
@pytest.mark.parametrize("shape", ["lognormal", "normal", "pareto", "uniform", "integers", "tiny and huge"])
def test_quantiles_are_within_their_relative_accuracy(shape: str, accuracy: float) -> None:
    rng = np.random.default_rng(21)
    values = {
        "lognormal": rng.lognormal(3, 2, 20_001),
        "normal": rng.normal(0, 10, 20_001),
        "pareto": rng.pareto(0.5, 20_001),
        "uniform": rng.uniform(-1, 1, 20_001),
        "integers": rng.integers(-1000, 1000, 20_001).astype(float),
        "tiny and huge": np.exp(rng.uniform(-740, 700, 20_001)) * rng.choice([-1, 1], 20_001),
    }[shape]

    for q, found in zip(QS, quantiles_of(pa.array(values), accuracy), strict=True):
        exact = float(np.quantile(values, q, method="lower"))
        assert abs(found - exact) <= accuracy * abs(exact) * (1 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20), st.sampled_from([0.001, 0.05]))
def test_quantiles_of_any_floats(values: list[float], accuracy: float) -> None:
    for q, found in zip(QS, quantiles_of(pa.array(values, pa.float64()), accuracy), strict=True):
        exact = sorted(values)[math.floor(q * (len(values) - 1))]
        # The least doubles have too few digits to be told within an accuracy.
        assert found == exact or abs(found - exact) <= accuracy * abs(exact) * (1 + 1e-9) + 5e-324


def test_quantiles_of_each_group_leave_out_null_and_nan() -> None:
    rows = random_rows(4_000, seed=22)
    found = finish(partial(SummarySpec(["h"], {"p90": Quantile("f", 0.9)}), rows))

    groups, values = np.array(rows["h"].to_pylist(), object), np.array(rows["f"].to_pylist(), float)
    for key, answer in zip(found["h"].to_pylist(), found["p90"].to_pylist(), strict=True):
        own = values[(groups == key) & ~np.isnan(values)]
        assert answer == pytest.approx(float(np.quantile(own, 0.9, method="lower")), rel=0.01 + 1e-9)
    assert (
        finish(partial(SummarySpec([], {"q": Quantile("f")}), pa.table({"f": [None, math.nan]})))["q"][0].as_py()
        is None
    )


@pytest.mark.parametrize("precision", [4, 10, 12])
@pytest.mark.parametrize("filling", [0.01, 0.3, 1.0, 2.5, 4.0, 20.0])
def test_distinct_counts_err_as_stated_and_without_bias(precision: int, filling: float) -> None:
    # Groups are trials. With the standard error e = 1.04 / sqrt(2**precision): no trial is further off than 5 e, a
    # chance below 1e-6 each if errors were normal; the mean of n trials is within 4 e / sqrt(n) (6e-5), and their root
    # mean square within 1.25 e (for n = 200 beyond five of its own standard deviations).
    trials, registers = 200, 1 << precision
    count = max(1, round(filling * registers))
    if trials * count > 2_000_000:
        trials = 2_000_000 // count
    rng = np.random.default_rng(precision * 1000 + int(filling * 100))
    rows = pa.table({"trial": np.repeat(np.arange(trials), count), "x": rng.integers(0, 2**62, trials * count)})

    found = finish(partial(SummarySpec(["trial"], {"n": CountDistinct("x", precision=precision)}), rows))[
        "n"
    ].to_numpy()

    error = (found - count) / count
    stated = 1.04 / math.sqrt(registers)
    rounding = 0.5 / count
    assert np.abs(error).max() <= (5 if precision > 4 else 6) * stated + rounding
    assert abs(error.mean()) <= 4 * stated / math.sqrt(trials) + rounding
    assert math.sqrt((error**2).mean()) <= 1.25 * stated + rounding


def test_distinct_counts_of_flights_are_within_three_standard_errors(flights: pa.Table) -> None:
    columns = {"tailnum": 4043, "dest": 105, "carrier": 16, "time_hour": 6936}
    spec = SummarySpec([], {name: CountDistinct(name, precision=14) for name in columns})

    (found,) = finish(partial(spec, flights)).to_pylist()

    for name, exact in columns.items():
        assert abs(found[name] - exact) <= 3 * 1.04 / math.sqrt(2**14) * exact, name


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array(["é", "", "日本"]), lambda value: value),
        (pa.array([0, -(2**63), 2**63 - 1]), str),
        (pa.array([True, False]), lambda value: str(value).lower()),
        (pa.array([-1, 0, 10**15], pa.timestamp("us", tz="UTC")), lambda value: str(_microseconds(value))),
        (pa.array([-719162, 0, 20000], pa.date32()), lambda value: str((value - EPOCH.date()).days)),
    ],
    ids=["text", "integers", "booleans", "times", "dates"],
)
def test_registers_and_ranks_are_the_bits_of_md5(column: pa.Array, text: Callable[[Any], str]) -> None:
    for precision in (4, 11, 18):
        state = partial(SummarySpec([], {"n": CountDistinct("x", precision=precision)}), pa.table({"x": column}))
        expected: dict[int, int] = {}
        for value in column.to_pylist():
            bits = bin(int(hashlib.md5(text(value).encode()).hexdigest()[:15], 16))[2:].zfill(60)
            register, rank = int(bits[:precision], 2), (bits[20:] + "1").index("1") + 1
            expected[register] = max(rank, expected.get(register, 0))
        assert dict(zip(*(column.to_pylist() for column in state.tables["n"].columns), strict=True)) == expected


def test_a_sketch_is_no_larger_than_its_cells() -> None:
    rng = np.random.default_rng(23)
    rows = pa.table({"x": np.arange(200_000), "f": rng.lognormal(0, 3, 200_000)})
    spec = SummarySpec([], {"n": CountDistinct("x", precision=10), "p": Quantile("f")})

    state = partial(spec, rows)

    assert state.tables["n"].num_rows == 1024
    # Bins between the least and the greatest value.
    assert state.tables["p"].num_rows <= math.log(rows["f"].to_numpy().max() / rows["f"].to_numpy().min()) / 0.02 + 2


def _microseconds(value: datetime) -> int:
    return (value - EPOCH) // timedelta(microseconds=1)
