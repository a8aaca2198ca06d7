"""The key hash is a format: its values never change, and equal keys hash alike in any encoding."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercury.errors import SchemaError, UsageError
from mercury.runtime.hashing import NULL_HASH, bucket_of, hash_keys

MASK = (1 << 64) - 1


def splitmix64(bits: int) -> int:
    bits = (bits + 0x9E3779B97F4A7C15) & MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
    return bits ^ (bits >> 31)


def fnv1a(content: bytes) -> int:
    digest = 0xCBF29CE484222325
    for byte in content:
        digest = ((digest ^ byte) * 0x100000001B3) & MASK
    return digest


def test_published_vectors() -> None:
    # splitmix64 seeded with 0 gives these first outputs (Vigna's reference); FNV-1a vectors of draft-eastlake-fnv.
    golden = 0x9E3779B97F4A7C15
    assert [splitmix64(0), splitmix64(golden), splitmix64(2 * golden & MASK)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]
    assert [fnv1a(b""), fnv1a(b"a"), fnv1a(b"foobar")] == [0xCBF29CE484222325, 0xAF63DC4C8601EC8C, 0x85944171F73967E8]


def test_golden_values() -> None:
    # On-disk buckets depend on these: a change here orphans every feature run that was ever written.
    assert [int(value) for value in hash_keys([pa.array([0, 1, -1, None])])] == [
        16294208416658607535,
        10451216379200822465,
        16490336266968443936,
        NULL_HASH,
    ]
    assert [int(value) for value in hash_keys([pa.array(["", "UA", "Zürich"])])] == [
        14087677454934409008,
        9690226353658505482,
        11096000129251378253,
    ]
    assert [int(value) for value in hash_keys([pa.array(["UA", None]), pa.array([7, 7])])] == [
        1101785085125329676,
        3886979117194317816,
    ]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_integers_equal_the_naive_twin(values: list[int | None]) -> None:
    expected = [NULL_HASH if value is None else splitmix64(value & MASK) for value in values]
    assert hash_keys([pa.array(values, pa.int64())]).tolist() == expected


@given(st.lists(st.one_of(st.none(), st.text())), st.integers(0, 3))
def test_text_equals_the_naive_twin_in_every_encoding(values: list[str | None], skip: int) -> None:
    expected = [NULL_HASH if value is None else splitmix64(fnv1a(value.encode())) for value in values][skip:]
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        if pa.types.is_dictionary(kind) and len(values) > 100:
            continue
        encoded = pa.array(values, pa.string()).cast(kind)
        assert hash_keys([encoded.slice(skip)]).tolist() == expected, kind
    assert hash_keys([pa.chunked_array([values[:skip], values[skip:]], pa.string())]).tolist()[skip:] == expected


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(-5, 5)), st.one_of(st.none(), st.text(max_size=3)))))
def test_several_columns_combine_from_the_left(rows: list[tuple[int | None, str | None]]) -> None:
    left, right = pa.array([row[0] for row in rows], pa.int32()), pa.array([row[1] for row in rows], pa.string())
    pairs = zip(hash_keys([left]).tolist(), hash_keys([right]).tolist(), strict=True)
    assert hash_keys([left, right]).tolist() == [splitmix64(splitmix64(one) ^ two) for one, two in pairs]


def test_equal_values_of_different_types_hash_alike() -> None:
    small = pa.array([1, 2, None, 100], pa.int8())
    for kind in (pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64()):
        np.testing.assert_array_equal(hash_keys([small.cast(kind)]), hash_keys([small]))
    moment = pa.array([dt.datetime(1969, 12, 31, 23, 59, 59, 250_000), None, dt.datetime(2013, 1, 1)])
    micros = hash_keys([moment.cast(pa.timestamp("us", "UTC"))])
    np.testing.assert_array_equal(hash_keys([moment.cast(pa.timestamp("ms"))]), micros)
    np.testing.assert_array_equal(hash_keys([moment.cast(pa.timestamp("ns", "UTC"))]), micros)
    day = pa.array([dt.date(1969, 12, 31), None])
    np.testing.assert_array_equal(hash_keys([day.cast(pa.date64())]), hash_keys([day]))
    np.testing.assert_array_equal(
        hash_keys([pa.array([0.5, -0.0, float("nan")], pa.float32())]),
        hash_keys([pa.array([0.5, 0.0, -float("nan")], pa.float64())]),
    )
    text = hash_keys([pa.array(["ab", None])])
    np.testing.assert_array_equal(hash_keys([pa.array([b"ab", None])]), text)
    np.testing.assert_array_equal(hash_keys([pa.array([b"ab", None], pa.binary(2))]), text)


def test_buckets_are_even() -> None:
    counts = np.bincount(bucket_of([pa.array([f"N{i:05d}" for i in range(64_000)])], 64), minlength=64)
    assert counts.sum() == 64_000
    assert abs(counts - 1000).max() < 150  # about 4.7 standard deviations of a binomial


def test_bad_keys_are_refused() -> None:
    with pytest.raises(SchemaError, match="list"):
        hash_keys([pa.array([[1]])])
    with pytest.raises(SchemaError, match="lengths"):
        hash_keys([pa.array([1]), pa.array([1, 2])])
    with pytest.raises(UsageError):
        hash_keys([])
    with pytest.raises(UsageError):
        bucket_of([pa.array([1])], 0)


def test_no_rows() -> None:
    for kind in (pa.int64(), pa.string(), pa.null(), pa.dictionary(pa.int32(), pa.string()), pa.float64()):
        assert hash_keys([pa.array([], kind)]).tolist() == []
        assert hash_keys([pa.chunked_array([], kind)]).tolist() == []
