"""Equal keys are the same bytes once normalised, and the same to every engine."""

from __future__ import annotations

import math
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.equality import comparable, key_sql, key_type, normalized
from mercury.errors import SchemaError
from mercury.runtime.hashing import hash_keys

FLOATS = [0.0, -0.0, math.nan, -math.nan, math.inf, -math.inf, 5e-324, -1.5, 1.5, 0.1]
TEXTS = ["", "a", "A", "é", "e\u0301", "\x00", "\U0001f680", "a "]


@st.composite
def keys(draw: st.DrawFn) -> pa.Array:
    kind, values = draw(
        st.sampled_from(
            [
                (pa.float64(), FLOATS),
                (pa.float32(), FLOATS),
                (pa.int8(), [-128, 0, 127]),
                (pa.uint64(), [0, 2**64 - 1]),
                (pa.string(), TEXTS),
                (pa.string_view(), TEXTS),
                (pa.timestamp("ns", tz="Europe/Paris"), [-1, 0, 999, 1000, 1001]),
                (pa.timestamp("s", tz="UTC"), [-1, 0, 1]),
                (pa.duration("ns"), [-1, 0, 1]),
                (pa.time32("ms"), [0, 86_399_999]),
                (pa.date64(), [0, 86_400_000]),
                (pa.bool_(), [True, False]),
            ]
        )
    )
    drawn = draw(st.lists(st.sampled_from([None, *values]), max_size=30))
    array = pa.array(drawn, kind)
    if draw(st.booleans()) and not pa.types.is_string_view(kind):
        array = pa.chunked_array([array[:3], array[3:]])
    return array


@settings(max_examples=300, deadline=None)
@given(keys())
def test_arrow_groups_normalised_keys_as_duckdb_groups_the_keys(column: pa.Array) -> None:
    plain = normalized(column)

    assert plain.type == key_type(column.type)
    assert plain.null_count == column.null_count
    arrow = pc.value_counts(plain)
    engine = duckdb.connect()
    engine.register("keys", pa.table({"k": plain}))
    counted = engine.sql("SELECT count(*) FROM keys GROUP BY k").fetchall()
    assert sorted(arrow.field("counts").to_pylist()) == sorted(count for (count,) in counted)


@settings(max_examples=200, deadline=None)
@given(keys())
def test_equal_keys_hash_alike_and_different_ones_do_not(column: pa.Array) -> None:
    plain = normalized(column)
    if not len(plain):
        return
    assert hash_keys([column]).tolist() == hash_keys([plain]).tolist()
    assert len(np.unique(hash_keys([column]))) == pc.count_distinct(plain, mode="all").as_py()


def test_zero_has_no_sign_and_there_is_one_nan_in_groups_of_every_engine() -> None:
    floats = pa.array([-0.0, 0.0, math.nan, -math.nan])
    assert normalized(floats).dictionary_encode().indices.to_pylist() == [0, 0, 1, 1]
    assert math.copysign(1, normalized(floats)[0].as_py()) == 1
    for kind in (pa.float64(), pa.float32()):
        engine = duckdb.connect()
        engine.register("keys", pa.table({"k": floats.cast(kind)}))
        query = f"SELECT {key_sql('k', kind)} AS key, count(*) FROM keys GROUP BY 1 ORDER BY 1"
        (zero, first), (nan, second) = engine.sql(query).fetchall()
        assert (math.copysign(1, zero), first, math.isnan(nan), second) == (1, 2, True, 2)


def test_float_dictionaries_and_nulls_are_normalised() -> None:
    encoded = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2]), pa.array([0.0, -0.0, math.nan]))
    plain = normalized(encoded)
    assert plain.to_pylist()[:3] == [0.0, 0.0, None]
    assert pc.count_distinct(plain, mode="all").as_py() == 3


def test_decimals_are_equal_by_number_whatever_their_scale() -> None:
    left = pa.array([Decimal("1.5"), Decimal("12345678901234567.89")], pa.decimal128(20, 2))
    right = pa.array([Decimal("1.500"), Decimal("12345678901234567.890")], pa.decimal128(20, 3))
    one, other = comparable(left, right, name="price", sides=("orders", "prices"))
    assert one.equals(other)
    one, other = comparable(pa.array([3]), pa.array([Decimal("3.0")], pa.decimal128(2, 1)), name="n", sides=("a", "b"))
    assert one.equals(other)


def test_an_integer_beyond_int64_equals_no_int64() -> None:
    one, other = comparable(pa.array([2**64 - 1], pa.uint64()), pa.array([-1], pa.int64()), name="id", sides=("a", "b"))
    assert one.type == other.type
    assert not one.equals(other)


def test_instants_are_equal_across_units_and_zones() -> None:
    left = pa.array([1_000_000_000_000_001], pa.timestamp("ns", tz="Asia/Tokyo"))
    right = pa.array([1_000_000], pa.timestamp("s", tz="UTC"))
    one, other = comparable(left, right, name="at", sides=("a", "b"))
    assert one.equals(other)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.array(["1"]), pa.array([1])),
        (pa.array([1.0]), pa.array([1])),
        (pa.array([0], pa.timestamp("us")), pa.array([0], pa.timestamp("us", tz="UTC"))),
    ],
)
def test_types_whose_values_are_never_equal_are_refused(left: pa.Array, right: pa.Array) -> None:
    with pytest.raises(SchemaError, match=r"key 'id' is .* in the labels and .* in view 'orders'"):
        comparable(left, right, name="id", sides=("the labels", "view 'orders'"))
