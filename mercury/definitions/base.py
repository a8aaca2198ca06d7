"""What all definitions share: a canonical JSON form, a content hash that is their version, and checks at birth.

The JSON form has objects of three shapes, told apart by one key, so that no name a user chooses can be taken for one::

    {"kind": "Count", "over": "1d"}           a definition: its kind and the fields that differ from their default
    {"ref": "Stream/flights"}                 a named definition that is used here and written elsewhere
    {"map": [["id", "string"], ["ts", …]]}    a mapping in its order, which for columns and features is meaning

Names of users stand only in the arrays of a mapping and as values, never as keys of an object.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar

from mercury.definitions.values import Misfit, conform, described, hints
from mercury.errors import DefinitionError, did_you_mean

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")

_KINDS: dict[str, type[Definition]] = {}


@dataclass(frozen=True, eq=False)
class Definition:
    """A frozen value that says what is meant; nothing here runs.

    Two definitions are equal when their canonical JSON is equal. Fields that hold their default are left out of it, so
    a field that a later release adds does not change the version of what was written before.

    Every field is checked against its annotation and made immutable at birth (`mercury.definitions.values`).
    """

    kind: ClassVar[str] = "Definition"
    noun: ClassVar[str] = "definition"
    """What a base class is called where one of its kinds is wanted; a class with a noun of its own is only a base."""

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        cls.kind = cls.__name__
        _KINDS[cls.kind] = cls

    def __post_init__(self) -> None:
        if "noun" in vars(type(self)):
            raise self.fail(f"{self.kind} is what definitions share, not a definition", "Use one of its kinds")
        cls: type = type(self)
        for name, hint in hints(cls).items():
            try:
                set_field(self, name, conform(getattr(self, name), hint))
            except Misfit as misfit:
                what = f"{name}{misfit.path}={shown(misfit.value)} {misfit.fault}"
                raise self.fail(what, misfit.fix, name) from misfit

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: ``kind`` and every field that differs from its default; named parts become references."""
        out: dict[str, Any] = {"kind": self.kind}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "name" or value != _default(field):
                out[field.name] = _encode(value)
        return out

    def canonical_json(self) -> bytes:
        """UTF-8 JSON with sorted keys and no white space: equal definitions give equal bytes, on every machine."""
        return canonical_json(self.to_dict())

    def references(self) -> Iterator[Named]:
        """The named definitions that this one uses directly, each once."""
        seen: set[str] = set()
        for field in fields(self):
            for part in _named_parts(getattr(self, field.name)):
                if part.address not in seen:
                    seen.add(part.address)
                    yield part

    @property
    def version(self) -> str:
        """Content hash, 16 hex digits, over this definition and all that it uses."""
        digest = hashlib.sha256(self.canonical_json())
        for part in sorted(self.references(), key=lambda named: named.address):
            digest.update(part.version.encode())
        return digest.hexdigest()[:16]

    def fail(self, what: str, fix: str | None = None, field: str | None = None) -> DefinitionError:
        """The error for a fault in this definition, with its place filled in, down to the field where there is one."""
        place = getattr(self, "address", self.kind)
        return DefinitionError(what, where=f"{place}.{field}" if field else place, fix=fix)

    def check_choice(self, field: str, value: str, known: Iterable[str]) -> None:
        """Raise `DefinitionError` unless the value is one of the known words."""
        words = list(known)
        if value not in words:
            raise self.fail(f"{field}={value!r} is not known", did_you_mean(value, words), field)

    def check_distinct(self, field: str, names: Sequence[str]) -> None:
        """Raise `DefinitionError` when a name stands twice in a field."""
        for name, count in Counter(names).items():
            if count > 1:
                raise self.fail(f"{field} names {name!r} {count} times", "Name it once", field)

    def check_output(self, field: str, name: str, taken: Iterable[str] = ()) -> None:
        """Raise `DefinitionError` unless a name can be that of an output column.

        It becomes part of the names of state columns and of folders, which is why it is plain.
        """
        if not NAME.match(name) or "__" in name:
            fix = "Use letters, digits and single _, and begin with a letter"
            raise self.fail(f"{name!r} cannot be the name of a column", fix, field)
        if name in taken:
            raise self.fail(f"{name!r} is already the name of another column", "Rename it", field)

    def check_timezone(self, field: str, name: str) -> None:
        """Raise `DefinitionError` unless a name is that of an IANA time zone."""
        from zoneinfo import ZoneInfo, available_timezones

        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            fix = did_you_mean(name, available_timezones()) or "Write an IANA name, as 'America/New_York'"
            raise self.fail(f"{field}={name!r} is not a time zone", fix, field) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Definition) and self.canonical_json() == other.canonical_json()

    def __hash__(self) -> int:
        return hash(self.canonical_json())


@dataclass(frozen=True, eq=False)
class Named(Definition):
    """A definition that others refer to by kind and name."""

    name: str

    noun: ClassVar[str] = "named definition"

    def __post_init__(self) -> None:
        # The name comes first, since every other fault is told with it.
        if not isinstance(self.name, str) or not NAME.match(self.name):
            raise DefinitionError(
                f"{shown(self.name)} is not a name",
                where=f"name of {described(type(self))}",
                fix="Use letters, digits and _, and begin with a letter",
            )
        super().__post_init__()

    @property
    def address(self) -> str:
        """Kind and name, as in ``Stream/flights``: unique in a project."""
        return f"{self.kind}/{self.name}"


def canonical_json(value: object) -> bytes:
    """Sorted keys, no white space, UTF-8, no NaN: the bytes that are hashed and stored."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise DefinitionError(
            f"{shown(value)} cannot be written as JSON: {error}", fix="Use text, finite numbers, lists and mappings"
        ) from error


def decode(data: Mapping[str, Any], resolve: Callable[[str], Named]) -> Definition:
    """The definition that `Definition.to_dict` wrote; `resolve` maps an address to the definition it names.

    Raises `DefinitionError` for a kind or a field that this release does not know, and for an object of another shape.
    """
    kind = data.get("kind")
    cls = _KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise DefinitionError(f"{shown(kind)} is not a kind of definition", fix=did_you_mean(str(kind), _KINDS))
    known = {field.name for field in fields(cls)}
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key == "kind":
            continue
        if key not in known:
            raise DefinitionError(
                f"{key!r} is not a field of {kind}",
                where=f"{kind}/{data.get('name', '')}",
                fix=did_you_mean(key, known),
            )
        values[key] = _decode(value, resolve)
    return cls(**values)


def set_field(definition: Definition, name: str, value: object) -> None:
    """Set a normalised value while a frozen definition is being born."""
    object.__setattr__(definition, name, value)


def shown(value: object) -> str:
    """A value as an error shows it: a named definition by its address, anything else shortened."""
    return value.address if isinstance(value, Named) else _SHORT.repr(value)


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80


_SHORT = _Short()


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _encode(value: object) -> Any:
    if isinstance(value, Named):
        return {"ref": value.address}
    if isinstance(value, Definition):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {"map": [[key, _encode(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value


def _decode(value: Any, resolve: Callable[[str], Named]) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item, resolve) for item in value)
    if not isinstance(value, dict):
        return value
    if "kind" in value:
        return decode(value, resolve)
    match value:
        case {"ref": str(address), **rest} if not rest:
            return resolve(address)
        case {"map": list(pairs), **rest} if not rest and all(map(_is_pair, pairs)):
            items = {key: _decode(item, resolve) for key, item in pairs}
            if len(items) == len(pairs):
                return items
    raise DefinitionError(f"{shown(value)} is no definition, reference or mapping", fix="Restore the stored project")


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _named_parts(value: object) -> Iterator[Named]:
    if isinstance(value, Named):
        yield value
    elif isinstance(value, Definition):
        yield from value.references()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _named_parts(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from _named_parts(item)


__all__ = ["Definition", "Named", "canonical_json", "decode", "set_field", "shown"]
