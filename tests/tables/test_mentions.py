"""An id that is left anywhere in a table's rows is found: nested, in bytes, in another case, inside a longer text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mercury.errors import PartialError
from mercury.tables import Table
from mercury.tables.mentions import Mention, Mentions

PERSON = pa.struct([("user", pa.string()), ("age", pa.int64())])
TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "large": pa.large_string(),
    "view": pa.string_view(),
    "coded": pa.dictionary(pa.int8(), pa.string()),
    "bytes": pa.binary(),
    "fixed": pa.binary(12),
    "texts": pa.list_(pa.string()),
    "person": PERSON,
    "people": pa.list_(PERSON),
    "tags": pa.map_(pa.string(), pa.string()),
    "deep": pa.struct([("a", pa.list_(pa.struct([("b", pa.map_(pa.string(), pa.large_binary()))])))]),
}


def planted(name: str, text: str) -> Any:
    """A value of a type with a text somewhere in it."""
    values: dict[str, Any] = {
        "bytes": text.encode(),
        "fixed": text.encode().ljust(12, b" "),
        "texts": ["x", text],
        "person": {"user": text, "age": 7},
        "people": [None, {"user": None, "age": 1}, {"user": text, "age": 7}],
        "tags": [("k", "v"), (text, "v")],
        "deep": {"a": [{"b": []}, {"b": [("k", text.encode())]}]},
    }
    return values.get(name, text)


def spelt(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from([text, text.upper(), text.title(), f"({text})", f"{text}."])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(TYPES)), st.data(), st.integers(0, 4), st.booleans())
def test_a_text_id_is_found_in_every_type(name: str, data: st.DataObject, before: int, null: bool) -> None:
    mentions = Mentions("user", pa.array(["ann-17", "bob"], pa.string()))
    other = planted(name, "somebody")
    id_ = data.draw(spelt("ann-17"))
    values = [other] * before + [planted(name, id_)] + ([None] if null else [])

    with_it = pa.array(values, TYPES[name])
    without = pa.array([other] * 3, TYPES[name])

    found = list(mentions.in_column(name, with_it))
    assert [(each.values, each.legible) for each in found] == [(1, True)], found
    assert found[0].path.split(".")[0] == name
    assert list(mentions.in_column(name, with_it.slice(0, before))) == []
    assert list(mentions.in_column(name, without)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ann-17 called", True),
        ('{"who": "ann-17"}', True),
        ("ANN-17", True),
        ("xann-17", False),
        ("ann-170", False),
        ("ann_17", False),
        ("\uff41nn-17", True),  # a full-width letter
        ("", False),
    ],
)
def test_an_id_is_found_as_a_word_whatever_its_case_and_form(text: str, found: bool) -> None:
    mentions = Mentions("user", pa.array(["ann-17"], pa.string()))
    assert bool(list(mentions.in_column("note", pa.array([text])))) is found


def test_ids_of_signs_and_in_great_number_are_found() -> None:
    ids = pa.array([f"{n}+a|b$*" for n in range(1000)] + ["^"], pa.string())
    mentions = Mentions("user", ids)
    assert list(mentions.in_column("note", pa.array(["x 999+a|b$* y", "^", "1000+a|b"]))) == [Mention("note", 2, True)]


def test_integers_are_found_where_they_are_called_by_the_columns_name() -> None:
    mentions = Mentions("user", pa.array([17], pa.int64()))
    row = pa.struct([("User", pa.float64()), ("age", pa.int64())])

    assert list(mentions.in_column("owner", pa.array([{"User": 17.0, "age": 3}], row))) == [
        Mention("owner.User", 1, True)
    ]
    assert list(mentions.in_column("owner", pa.array([{"User": 3.0, "age": 17}], row))) == []
    assert list(mentions.in_column("users", pa.array([[17]], pa.list_(pa.int64())))) == []
    assert list(mentions.in_column("user", pa.array([[17, 4]], pa.list_(pa.int64())))) == [
        Mention("user.element", 1, True)
    ]
    texts = [json.dumps({"user": 17}), json.dumps({"user": 170}), "user=17;", "17 apples", "the user: '17'"]
    assert list(mentions.in_column("raw", pa.array(texts))) == [Mention("raw", 3, True)]
    assert list(mentions.in_column("raw", pa.array([text.encode() for text in texts]))) == [Mention("raw", 3, True)]


def test_bytes_that_are_no_text_are_never_vouched_for() -> None:
    mentions = Mentions("user", pa.array(["ann"], pa.string()))
    values = pa.array([b"\xff\xfe", "ann".encode("utf-16"), b"plain", None, b"\x00\x01"])
    assert list(mentions.in_column("raw", values)) == [Mention("raw", 3, False)]


@pytest.mark.parametrize("name", ["texts", "person", "people", "tags", "bytes"])
@pytest.mark.parametrize("spelling", ["ann-17", "ANN-17"])
def test_no_certificate_says_proven_while_an_id_is_left(tmp_path: Path, name: str, spelling: str) -> None:
    schema = pa.schema([("user", pa.string()), ("n", pa.int64()), (name, TYPES[name])])
    table = Table.create(tmp_path / "t", schema)
    columns = {"user": ["ann-17", "bob"], "n": [1, 2]}
    table.append(pa.table({**columns, name: pa.array([None, planted(name, spelling)], TYPES[name])}, schema=schema))

    with pytest.raises(PartialError, match=rf"1 rows were deleted, but .* hold an id in column '{name}"):
        table.erase("user", ["ann-17"])

    certificate = table.prove_erased("user", ["ann-17"])
    assert not certificate.proven
    assert "ann" not in certificate.to_json().lower()
    table.overwrite(pa.table({"user": ["bob"], "n": [2], name: pa.nulls(1, TYPES[name])}, schema=schema))
    assert table.erase("user", ["ann-17"]).proven


def test_a_row_whose_id_differs_in_case_is_not_erased_and_not_proven(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "t", pa.schema([("user", pa.string()), ("n", pa.int64())]))
    table.append(pa.table({"user": ["ann", "Ann"], "n": [1, 2]}))

    with pytest.raises(PartialError, match="1 rows were deleted"):
        table.erase("user", ["ann"])

    assert table.read()["n"].to_pylist() == [2]
    assert table.erase("user", ["Ann"]).proven
