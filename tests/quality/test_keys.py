"""Uniqueness is exact: equal keys always meet, and different keys with one hash are told apart by value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.quality.block import Block
from mercury.quality.engines.arrow import blocks
from mercury.quality.keys import Uniqueness, uniqueness
from mercury.quality.metrics import KeyCounts
from mercury.quality.opening import open_source
from mercury.quality.source import ArrowSource


def found(table: pa.Table, keys: Sequence[str], rows: int = 7) -> Uniqueness:
    source, metric = ArrowSource(table, rows=rows), KeyCounts(tuple(keys))
    state = metric.merge([metric.partial(block) for block in blocks(source, keys)])
    return uniqueness(metric, state, table.schema, blocks(source, keys))


VALUES = st.one_of(
    st.tuples(st.just(pa.int64()), st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=40)),
    st.tuples(st.just(pa.float64()), st.lists(st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.5])), max_size=40)),
    st.tuples(st.just(pa.string()), st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=40)),
    st.tuples(st.just(pa.bool_()), st.lists(st.one_of(st.none(), st.booleans()), max_size=40)),
)


@settings(max_examples=80, deadline=None)
@given(VALUES)
def test_duplicates_agree_with_pandas(column: tuple[pa.DataType, list[object]]) -> None:
    kind, values = column
    table = pa.table({"k": pa.array(values, kind)})
    present = pd.Series([value for value in values if value is not None], dtype=object)
    answer = found(table, ["k"])
    assert (answer.keys, answer.duplicates) == (len(present), int(present.duplicated().sum()))
    later = [row for row in range(len(values)) if values[row] is not None and values[row] in values[:row]]
    assert [sample.position.row for sample in answer.sample] == later[:5]


def test_compound_keys_with_a_null_part_are_left_out() -> None:
    table = pa.table({"a": [1, 1, 1, None, None], "b": ["x", "y", "x", "x", "x"]})
    answer = found(table, ["a", "b"], rows=2)
    assert (answer.keys, answer.distinct, answer.duplicates) == (3, 2, 1)
    assert answer.sample[0].values == {"a": 1, "b": "x"} and answer.sample[0].position.row == 2


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_different_keys_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    import mercury.runtime.hashing as hashing

    def crowded(columns: Sequence[pa.Array]) -> np.ndarray:
        return np.array([len(str(value)) for value in columns[0].to_pylist()], dtype=np.uint64)

    monkeypatch.setattr(hashing, "hash_keys", crowded)
    words = ["aa", "bb", "cc", "d", "aa", "eee", "bb", None, "é", "日本"]
    answer = found(pa.table({"k": words}), ["k"], rows=rows)
    assert (answer.keys, answer.distinct, answer.duplicates) == (9, 7, 2)
    assert [sample.position.row for sample in answer.sample] == [4, 6]
    coded = pa.table({"k": pa.array(words).dictionary_encode()})
    assert found(coded, ["k"], rows=rows).duplicates == 2


def test_nan_is_one_key_and_a_null_is_none() -> None:
    answer = found(pa.table({"k": [float("nan"), 1.0, None, float("nan"), None]}), ["k"])
    assert (answer.keys, answer.duplicates) == (3, 1)
    assert answer.sample[0].position.row == 3


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_that_differ_below_a_microsecond_are_different_keys(unit: str) -> None:
    answer = found(pa.table({"k": pa.array([1, 2, 3, 3], pa.timestamp(unit))}), ["k"])
    assert answer.duplicates == 1


def test_a_key_is_the_same_in_every_encoding_and_width(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": ["a", "b"]}), tmp_path / "1.parquet", use_dictionary=True)
    pq.write_table(pa.table({"k": ["b", "c"]}), tmp_path / "2.parquet", use_dictionary=False)
    source, metric = open_source(tmp_path), KeyCounts(("k",))
    state = metric.merge([metric.partial(block) for block in blocks(source, ["k"])])
    assert uniqueness(metric, state, source.schema, blocks(source, ["k"])).duplicates == 1
    narrow = Block(pa.table({"k": pa.array([1, 2], pa.int8())}), next(iter(blocks(source, ["k"]))).position)
    wide = Block(pa.table({"k": pa.array([1, 2], pa.int64())}), narrow.position)
    assert metric.partial(narrow) == metric.partial(wide)


def test_a_state_of_unique_keys_is_eight_bytes_a_row() -> None:
    table = pa.table({"k": np.arange(10_000)})
    metric = KeyCounts(("k",))
    state = metric.merge([metric.partial(block) for block in blocks(ArrowSource(table, rows=999), ["k"])])
    assert state.counts is None and state.hashes.nbytes == 80_000
