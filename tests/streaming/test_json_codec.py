"""The JSON codec: what is accepted, what is refused and why, and that both readers agree."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.streaming.codecs.json import JsonCodec

SCHEMA = {
    "s": "string",
    "i": "int64",
    "k": "int32",
    "f": "float64",
    "h": "float32",
    "b": "bool",
    "t": "timestamp",
    "d": "date",
    "x": "binary",
}
FAST = {name: kind for name, kind in SCHEMA.items() if kind not in ("date", "binary")}


@pytest.fixture(scope="module")
def codec() -> JsonCodec:
    return JsonCodec(SCHEMA)


def refusal(codec: JsonCodec, value: bytes | None) -> tuple[str, str]:
    decoded = codec.decode(pa.array([value], pa.binary()))
    assert decoded.rows.num_rows == 0
    assert decoded.bad.tolist() == [0]
    return decoded.kinds[0], decoded.reasons[0]


def test_every_type_is_read(codec: JsonCodec) -> None:
    value = (
        b'{"s":"\xc3\xa9","i":-5,"k":7,"f":0.1,"h":0.5,"b":true,"t":"1969-12-31T23:59:59.5+01:00",'
        b'"d":"2013-02-28","x":"AAE="}'
    )

    row = codec.decode(pa.array([value])).rows.to_pylist()[0]

    assert row["t"].timestamp() == -3600.5
    assert (row["s"], row["i"], row["k"], row["f"], row["h"], row["b"]) == ("é", -5, 7, 0.1, 0.5, True)
    assert row["d"].isoformat() == "2013-02-28"
    assert row["x"] == b"\x00\x01"


def test_a_column_that_is_absent_or_null_is_null(codec: JsonCodec) -> None:
    rows = codec.decode(pa.array([b"{}", b'{"i":null,"s":null}'])).rows

    assert rows.to_pylist() == [dict.fromkeys(SCHEMA)] * 2


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (b'{"i":1', "malformed", "malformed JSON: Expecting ',' delimiter: line 1 column 7 (char 6)"),
        (b"", "malformed", "malformed JSON: Expecting value: line 1 column 1 (char 0)"),
        (b'{"i":1}{"i":2}', "malformed", "malformed JSON: Extra data: line 1 column 8 (char 7)"),
        (b'{"s":"\xff"}', "malformed", "malformed JSON: not UTF-8 at byte 6"),
        (b'{"f":NaN}', "malformed", "malformed JSON: NaN is not a JSON number"),
        (b"[1]", "malformed", "not a JSON object: [1]"),
        (None, "malformed", "the message has no value (a tombstone)"),
        (b'{"i":1.0}', "type", "column 'i' is not a int64: 1.0"),
        (b'{"i":9223372036854775808}', "type", "column 'i' is not a int64: 9223372036854775808"),
        (b'{"k":2147483648}', "type", "column 'k' is not a int32: 2147483648"),
        (b'{"f":"abc"}', "type", "column 'f' is not a float64: \"abc\""),
        (b'{"f":1e400}', "type", "column 'f' is not a float64: Infinity"),
        (b'{"h":1e39}', "type", "column 'h' is not a float32: 1e+39"),
        (b'{"b":1}', "type", "column 'b' is not a bool: 1"),
        (b'{"s":{"a":1}}', "type", "column 's' is not a string: {\"a\": 1}"),
        (b'{"t":"2013-01-01T00:00:00"}', "type", "column 't' is not a timestamp: \"2013-01-01T00:00:00\""),
        (b'{"t":"2013-02-30T00:00:00Z"}', "type", "column 't' is not a timestamp: \"2013-02-30T00:00:00Z\""),
        (b'{"d":"2013-02-30"}', "type", "column 'd' is not a date: \"2013-02-30\""),
        (b'{"x":"=="}', "type", "column 'x' is not a binary: \"==\""),
        (b'{"ss":1}', "unknown_column", "unknown column 'ss'. Did you mean 's'?"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(
    codec: JsonCodec, value: bytes | None, kind: str, reason: str
) -> None:
    assert refusal(codec, value) == (kind, reason)


def test_exactly_the_bad_values_are_refused(codec: JsonCodec) -> None:
    values = [b'{"i":0}', b"{", b'{"i":2,"s":"\\u0041"}', b'{"i":"3"}', b'{"i":4}']

    decoded = codec.decode(pa.array(values))

    assert decoded.rows.column("i").to_pylist() == [0, 2, 4]
    assert decoded.rows.column("s").to_pylist() == [None, "A", None]
    assert decoded.positions.tolist() == [0, 2, 4]
    assert decoded.bad.tolist() == [1, 3]


def test_values_of_a_slice_are_read_where_they_lie(codec: JsonCodec) -> None:
    values = pa.array([b'{"i":0}', b'{"i":1}', b'{"i":2}']).slice(1)

    assert codec.decode(values).rows.column("i").to_pylist() == [1, 2]


def test_white_space_and_order_of_members_do_not_matter(codec: JsonCodec) -> None:
    values = [b' { "f" : 1 ,\n"i":2\t} ', b'{"i":2,"f":1}']

    rows = codec.decode(pa.array(values)).rows.to_pylist()

    assert rows[0] == rows[1]


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=6),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.dates().map(str),
    st.just([1]),
    st.just({"s": 1}),
)
fitting = st.fixed_dictionaries(
    {},
    optional={
        "s": st.none() | st.text(max_size=8),
        "i": st.none() | st.integers(-(2**63), 2**63 - 1),
        "k": st.none() | st.integers(-(2**31), 2**31 - 1),
        "f": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**17), 10**17),
        "h": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
        "b": st.none() | st.booleans(),
        "t": st.none() | st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    },
)
odd = st.dictionaries(st.sampled_from([*FAST, "z"]), scalars, max_size=4)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """JSON as producers write it, and as nobody should."""
    document = draw(fitting | odd)
    text = json.dumps(document, ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.just(1)))
    raw = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 4)) == 0 and raw:
        at = draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + draw(st.binary(max_size=2)) + raw[at + draw(st.integers(0, 2)) :]
    return raw


def bits(column: pa.ChunkedArray) -> list[object]:
    """Values of a column, floats by their bits."""
    if pa.types.is_floating(column.type):
        return [None if v is None else np.float64(v).tobytes() for v in column.to_pylist()]
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64()).to_pylist()
    return column.to_pylist()


@settings(max_examples=400, deadline=None)
@given(st.lists(texts(), max_size=6))
def test_the_compiled_pass_and_the_rowwise_reader_agree(values: list[bytes]) -> None:
    array = pa.array(values, pa.binary())

    fast = JsonCodec(FAST).decode(array)
    slow = JsonCodec(FAST, columnar=False).decode(array)

    assert fast.positions.tolist() == slow.positions.tolist()
    assert (fast.bad.tolist(), fast.kinds, fast.reasons) == (slow.bad.tolist(), slow.kinds, slow.reasons)
    assert [bits(column) for column in fast.rows.columns] == [bits(column) for column in slow.rows.columns]


@settings(max_examples=300, deadline=None)
@given(st.lists(fitting, min_size=1, max_size=4))
def test_what_fits_is_read_as_python_reads_it(documents: list[dict[str, object]]) -> None:
    values = [json.dumps(document).encode("utf-8", "surrogatepass") for document in documents]
    rows = JsonCodec(FAST).decode(pa.array(values, pa.binary())).rows.to_pylist()

    for row, document in zip(rows, documents, strict=True):
        for name in ("s", "i", "k", "b"):
            assert row[name] == document.get(name)
        value = document.get("f")
        assert row["f"] is None if value is None else math.isclose(row["f"], float(value), rel_tol=0, abs_tol=0)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789-:TZ+. ", max_size=26) | st.datetimes().map(lambda moment: moment.isoformat() + "Z"))
def test_times_are_read_alike(text: str) -> None:
    value = pa.array([json.dumps({"t": text}).encode()], pa.binary())

    fast = JsonCodec({"t": "timestamp"}).decode(value)
    slow = JsonCodec({"t": "timestamp"}, columnar=False).decode(value)

    assert bits(fast.rows.column("t")) == bits(slow.rows.column("t"))
