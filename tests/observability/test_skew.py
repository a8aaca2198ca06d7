"""Skew: which served values differ from the join, whatever their type, and how far the two distributions are apart."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from mercury.observability.skew import Skew, differing_rows, measure_skew


@pytest.mark.parametrize(
    ("mine", "theirs", "differing"),
    [
        ([1.0, 2.0, None], [1.0, 2.0, None], 0),
        ([1.0, None, math.nan], [None, 1.0, None], 2),
        ([0.1 + 0.2, 1e9, 0.0], [0.3, 1e9 + 10, -0.0], 1),
        ([math.inf, -math.inf, math.inf], [math.inf, math.inf, 1.0], 2),
        (["a", None, "b"], ["a", None, "B"], 1),
        (["a", None, "b"], [None, "a", "b"], 2),
    ],
    ids=["the same", "missing", "rounding", "infinite", "text", "missing text"],
)
def test_rows_that_differ_are_counted(mine: list[Any], theirs: list[Any], differing: int) -> None:
    assert differing_rows(pa.chunked_array([mine]), pa.chunked_array([theirs])) == differing


def test_each_feature_has_its_rows_and_its_distance() -> None:
    served = pa.table(
        {"delay": [0.0] * 10 + [5.0] * 90, "carrier": ["UA"] * 99 + ["ua"], "size": [3] * 100, "code": ["1"] * 100}
    )
    joined = pa.table(
        {
            "delay": [5.0] * 100,
            "carrier": pa.array(["UA"] * 100).dictionary_encode(),
            "size": [3.0] * 100,
            "code": [1] * 100,
        }
    )

    found = measure_skew(served, joined, ["delay", "carrier", "size", "code"])

    assert {name: feature.differing for name, feature in found.features.items()} == {
        "delay": 10, "carrier": 1, "size": 0, "code": 0,
    }  # fmt: skip
    assert found.features["delay"].distance == pytest.approx(0.1)
    assert found.features["carrier"].distance == pytest.approx(0.01)
    assert (found.rows, found.differing) == (100, 11)
    assert Skew.from_dict(found.to_dict()) == found


def test_text_where_a_number_was_differs_and_is_no_error() -> None:
    found = measure_skew(pa.table({"x": ["late", "1.5"]}), pa.table({"x": [2.0, 1.5]}), ["x"])

    assert found.features["x"].differing == 1
