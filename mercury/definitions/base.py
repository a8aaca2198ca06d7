"""What all definitions share: a canonical JSON form, a content hash that is their version, and checks at birth."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any, ClassVar, cast

from mercury.errors import DefinitionError, UsageError, did_you_mean
from mercury.time import duration

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")

_KINDS: dict[str, type[Definition]] = {}


@dataclass(frozen=True, eq=False)
class Definition:
    """A frozen value that says what is meant; nothing here runs.

    Two definitions are equal when their canonical JSON is equal. Fields that hold their default are left out of it, so
    a field that a later release adds does not change the version of what was written before.
    """

    kind: ClassVar[str] = "Definition"

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        cls.kind = cls.__name__
        _KINDS[cls.kind] = cls

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

    def fail(self, what: str, fix: str | None = None) -> DefinitionError:
        """The error for a fault in this definition, with its place filled in."""
        return DefinitionError(what, where=getattr(self, "address", self.kind), fix=fix)

    def check_duration(self, field: str, value: str | None) -> None:
        """Raise `DefinitionError` unless the value is None or a duration."""
        if value is None:
            return
        try:
            duration(value)
        except (UsageError, AttributeError) as error:
            raise self.fail(f"{field}={value!r} is not a duration", "Write it as in '5m', '2h' or '1d'") from error

    def check_choice(self, field: str, value: str, known: Iterable[str]) -> None:
        """Raise `DefinitionError` unless the value is one of the known words."""
        words = list(known)
        if value not in words:
            raise self.fail(f"{field}={value!r} is not known", did_you_mean(str(value), words))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Definition) and self.canonical_json() == other.canonical_json()

    def __hash__(self) -> int:
        return hash(self.canonical_json())


@dataclass(frozen=True, eq=False)
class Named(Definition):
    """A definition that others refer to by kind and name."""

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.match(self.name):
            raise DefinitionError(
                f"{self.name!r} is not a name",
                where=f"name of a {self.kind}",
                fix="Use letters, digits and _, and begin with a letter",
            )

    @property
    def address(self) -> str:
        """Kind and name, as in ``Stream/flights``: unique in a project."""
        return f"{self.kind}/{self.name}"


def canonical_json(value: object) -> bytes:
    """Sorted keys, no white space, UTF-8, no NaN: the bytes that are hashed and stored."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise DefinitionError(
            f"{value!r} cannot be written as JSON", fix="Definitions hold finite numbers only"
        ) from error
    return text.encode()


def decode(data: Mapping[str, Any], resolve: Callable[[str], Named]) -> Definition:
    """The definition that `Definition.to_dict` wrote; `resolve` maps an address to the definition it names.

    Raises `DefinitionError` for a kind or a field that this release does not know.
    """
    kind = data.get("kind")
    cls = _KINDS.get(str(kind))
    if cls is None:
        raise DefinitionError(f"{kind!r} is not a kind of definition", fix=did_you_mean(str(kind), _KINDS))
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


def as_tuple(value: str | Iterable[str]) -> tuple[str, ...]:
    """A tuple of words from one word or several, so that ``keys="carrier"`` and ``keys=["carrier"]`` mean the same."""
    return (value,) if isinstance(value, str) else tuple(value)


def set_field(definition: Definition, name: str, value: object) -> None:
    """Set a normalised value while a frozen definition is being born."""
    object.__setattr__(definition, name, value)


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
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise DefinitionError(
        f"{value!r} of type {type(value).__name__} cannot be part of a definition",
        fix="Use text, numbers, booleans, lists, mappings or other definitions",
    )


def _decode(value: Any, resolve: Callable[[str], Named]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"ref"}:
            return resolve(cast(str, value["ref"]))
        if "kind" in value and value["kind"] in _KINDS:
            return decode(value, resolve)
        return {key: _decode(item, resolve) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_decode(item, resolve) for item in value)
    return value


def _named_parts(value: object) -> Iterator[Named]:
    if isinstance(value, Named):
        yield value
    elif is_dataclass(value) and isinstance(value, Definition):
        yield from value.references()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _named_parts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _named_parts(item)


__all__ = ["Definition", "Named", "as_tuple", "canonical_json", "decode", "set_field"]
