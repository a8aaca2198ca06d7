"""The profile agrees with DuckDB and pandas on every figure."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mercury.quality.profile import profile
from mercury.quality.source import ArrowSource
from tests.quality.contracts import contract_of
from tests.quality.history import history


def test_every_column_of_the_history_agrees_with_duckdb() -> None:
    table = history()
    found = profile(ArrowSource(table))
    connection = duckdb.connect()
    connection.register("t", table)
    assert found.rows == 336_776
    for column in found.columns:
        name = column.name
        query = f'SELECT count(*) - count("{name}"), count(DISTINCT "{name}") FROM t'
        assert (column.nulls, column.distinct) == connection.execute(query).fetchall()[0], name
        if column.type == "int64":
            numbers = f"""SELECT min("{name}"), max("{name}"), avg("{name}"), stddev_samp("{name}"),
                          quantile_cont("{name}", [0.01, 0.25, 0.5, 0.75, 0.99]) FROM t"""
            least, greatest, mean, std, quantiles = connection.execute(numbers).fetchall()[0]
            assert (column.least, column.greatest) == (least, greatest)
            assert column.mean == pytest.approx(mean, rel=1e-12)
            assert column.std == pytest.approx(std, rel=1e-10, abs=1e-12)
            assert list(column.quantiles.values()) == pytest.approx(quantiles, rel=1e-12)
            assert column.accuracy is None


def test_awkward_columns() -> None:
    nan = float("nan")
    table = pa.table(
        {
            "f": pa.array([1.0, nan, None, -0.0, 0.0, nan, float("inf")]),
            "s": pa.array(["é", "", None, "日本", "", "é", "z"]),
            "b": pa.array([True, None, False, True, True, None, True]),
            "none": pa.nulls(7),
            "void": pa.array([None] * 7, pa.float64()),
            "list": pa.array([[1], None, [], [1], [2], [3], [4]]),
        }
    )
    f, s, b, none, void, nested = profile(ArrowSource(table, rows=3)).columns
    assert (f.nulls, f.nan, f.distinct, f.least, f.greatest) == (1, 2, 3, 0.0, float("inf"))
    assert (s.nulls, s.distinct, s.least, s.greatest, s.mean) == (1, 4, "", "日本", None)
    assert (b.nulls, b.distinct, b.mean) == (2, 2, 0.8)
    assert (none.nulls, void.nulls, nested.nulls) == (7, 7, 1)
    assert (void.distinct, void.least, void.mean, void.quantiles) == (0, None, None, {})
    assert nested.distinct is None and not nested.error


def test_random_floats_agree_with_pandas() -> None:
    random = np.random.default_rng(4)
    values = random.normal(size=20_000)
    table = pa.table({"x": pa.array(values, mask=random.random(20_000) < 0.1)})
    (found,) = profile(ArrowSource(table, rows=999)).columns
    series: pd.Series = table["x"].to_pandas()
    assert found.distinct == series.nunique()
    assert found.mean == pytest.approx(series.mean(), rel=1e-9)
    assert found.std == pytest.approx(series.std(), rel=1e-12)
    assert found.quantiles["0.75"] == pytest.approx(series.quantile(0.75), rel=1e-12)


def test_values_of_sensitive_columns_are_redacted(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, "- {name: salary, classification: confidential}\n- {name: age}")
    table = pa.table({"salary": [987_654, 12], "age": [4, 5]})
    text = json.dumps(profile(ArrowSource(table), contract).to_dict())
    assert "987654" not in text and "<redacted>" in text
    assert json.loads(text)["columns"][1]["greatest"] == 5
