"""Where ids are mentioned in values of any type: whole, inside a longer text, nested, in bytes, in another case.

What is looked for depends on the ids:

* Text ids are looked for in every text and in bytes that are text, as whole words, in any case and Unicode form.
* Integers are everywhere, so they are looked for where they are called by the id column's name: in numbers and texts of
  a field of that name at any depth, and after the name inside texts, as in ``"user": 17``.

Bytes that are no text (compressed, encrypted, another encoding) may hold anything: nobody can say that they do not hold
an id, and so it is said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

_AT_ONCE = 200
"""Ids in one regular expression."""
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Mention(NamedTuple):
    """A column, or a field in it, and how many of its values hold an id, or are not ``legible`` and may hold one."""

    path: str
    values: int
    legible: bool


class Mentions:
    """Looks for the ids of one column.

    Parameters
    ----------
    column : name of the id column.
    ids : text or integers, without nulls.
    """

    def __init__(self, column: str, ids: pa.Array) -> None:
        self.column = column
        self.is_text = bool(pa.types.is_string(ids.type))
        self.texts = sorted({folded(str(value)) for value in ids.to_pylist()}, key=len, reverse=True)
        self._words = [_words(self.texts[at : at + _AT_ONCE]) for at in range(0, len(self.texts), _AT_ONCE)]
        called = rf"(?:^|[^\pL\pN]){_escaped(folded(column))}[^\pL\pN]{{1,8}}"
        self._called = [called + _numbers(self.texts[at : at + _AT_ONCE]) for at in range(0, len(self.texts), _AT_ONCE)]

    def in_column(self, name: str, values: pa.Array) -> Iterator[Mention]:
        """Each place in a column where an id is mentioned, or where that cannot be told."""
        yield from self._search(name, values, folded(name) == folded(self.column))

    def _search(self, path: str, values: pa.Array, named: bool) -> Iterator[Mention]:
        kind = values.type
        if isinstance(kind, pa.BaseExtensionType):
            yield from self._search(path, values.storage, named)
        elif pa.types.is_dictionary(kind):
            yield from self._search(path, values.cast(kind.value_type), named)
        elif pa.types.is_struct(kind):
            for place, part in enumerate(values.flatten()):
                name = kind.field(place).name
                yield from self._search(f"{path}.{name}", part, folded(name) == folded(self.column))
        elif pa.types.is_map(kind):
            # The parts of a slice are those of the whole array.
            start, end = values.offsets[0].as_py(), values.offsets[-1].as_py()
            yield from self._search(f"{path}.key", values.keys.slice(start, end - start), named)
            yield from self._search(f"{path}.value", values.items.slice(start, end - start), named)
        elif pa.types.is_nested(kind):
            yield from self._search(f"{path}.element", values.flatten(), named)
        elif _is_binary(kind):
            texts, unread = _decoded(values)
            yield from self._search(path, texts, named)
            if unread:
                yield Mention(path, unread, False)
        else:
            found = self._count(values, named)
            if found:
                yield Mention(path, found, True)

    def _count(self, values: pa.Array, named: bool) -> int:
        kind = values.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            # What a dictionary holds is looked at once.
            distinct = pc.value_counts(values.cast(pa.large_string()))
            texts = pc.utf8_normalize(distinct.field("values"), form="NFKC")
            patterns = self._words if self.is_text or named else self._called
            met = pa.array([False] * len(texts), pa.bool_())
            for pattern in patterns:
                met = pc.or_(met, pc.fill_null(pc.match_substring_regex(texts, pattern, ignore_case=True), False))
            return int(pc.sum(pc.filter(distinct.field("counts"), met)).as_py() or 0)
        if named and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            numbers = pc.replace_substring_regex(values.cast(pa.string()), r"\.0*$", "")
            return int(pc.sum(pc.is_in(numbers, value_set=pa.array(self.texts, pa.string()))).as_py() or 0)
        return 0


def folded(text: str) -> str:
    """The text in the form and case in which ids are compared."""
    return unicodedata.normalize("NFKC", text).lower()


def _words(texts: list[str]) -> str:
    """A regular expression of RE2: one of the texts, which does not go on with a letter or digit."""
    return "|".join(_edge(text[:1], True) + _escaped(text) + _edge(text[-1:], False) for text in texts)


def _numbers(texts: list[str]) -> str:
    return f"(?:{'|'.join(_escaped(text) for text in texts)})(?:$|[^\\pL\\pN_])"


def _edge(character: str, start: bool) -> str:
    if not (character.isalnum() or character == "_"):
        return ""
    return r"(?:^|[^\pL\pN_])" if start else r"(?:$|[^\pL\pN_])"


def _escaped(text: str) -> str:
    return "".join(rf"\x{{{ord(part):x}}}" if not part.isalnum() else part for part in text)


def _is_binary(kind: pa.DataType) -> bool:
    views = pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind)
    return bool(views or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _decoded(values: pa.Array) -> tuple[pa.Array, int]:
    """The values that are text in UTF-8, and how many are none."""
    texts, unread = [], 0
    for value in values.to_pylist():
        if value is None:
            continue
        try:
            text = value.decode()
        except UnicodeDecodeError:
            unread += 1
            continue
        if _NO_TEXT.search(text):
            unread += 1
        else:
            texts.append(text)
    return pa.array(texts, pa.large_string()), unread
