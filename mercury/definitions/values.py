"""What the fields of a definition may hold: the declared types, checked at birth and made immutable.

A field's annotation is its check. Lists become tuples and mappings `FrozenMapping`, so that nothing can change a
definition through what it was made from, and numbers become the one form that is hashed: a whole number is an int
where an int is declared and a float where a float is, so ``1`` and ``1.0`` mean the same; a truth value is no number.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from mercury.errors import UsageError
from mercury.time import DAY, duration

LONGEST = 3_652_500 * DAY
"""Microseconds of the longest duration, 10000 years: an instant plus any duration still fits 64 bits."""

V = TypeVar("V")


class FrozenMapping(Mapping[str, V]):
    """A mapping that keeps its order and cannot be changed; equal to any mapping with the same items, pickles.

    >>> FrozenMapping({"b": 1, "a": 2})
    {'b': 1, 'a': 2}
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, V] | Iterable[tuple[str, V]] = ()) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)


class Misfit(Exception):
    """A value that its field cannot hold. ``path`` leads to it within the field, as in ``['ts']`` or ``[2]``."""

    def __init__(self, value: object, fault: str, fix: str | None = None, path: str = "") -> None:
        super().__init__(value, fault, fix, path)
        self.value, self.fault, self.fix, self.path = value, fault, fix, path


@dataclass(frozen=True)
class Text:
    """A rule for text beyond being text: what it is called, how to write it, and the test of it."""

    noun: str
    fix: str
    least: int | None = None

    def check(self, value: str) -> None:
        """Raise `Misfit` unless the rule holds."""
        if self.least is None:
            fits = bool(value.strip())
        else:
            try:
                fits = self.least <= duration(value) <= LONGEST
            except UsageError:
                fits = False
        if not fits:
            raise Misfit(value, f"is not {self.noun}", self.fix)


_AS_WRITTEN = "Write it as in '5m', '2h' or '1d'"

Duration = Annotated[str, Text("a duration of at most 10000 years", _AS_WRITTEN, least=0)]
"""A duration as people write it, zero included (`mercury.time.duration`)."""

Length = Annotated[str, Text("a duration longer than zero", _AS_WRITTEN, least=1)]
"""A duration that is longer than zero, as of a window."""

Sql = Annotated[str, Text("a SQL expression", "Write one, as in 'dep_delay > 15', or leave the field out")]
"""A SQL expression; it is parsed and checked against its source when the project is loaded."""


@cache
def hints(cls: type) -> Mapping[str, Any]:
    """The annotation of each field of a dataclass."""
    declared = get_type_hints(cls, include_extras=True)
    return {field.name: declared[field.name] for field in fields(cls)}


def conform(value: object, hint: Any) -> Any:
    """The value as its annotation wants it, immutable and in canonical form; `Misfit` when it cannot be."""
    origin, arms = get_origin(hint), get_args(hint)
    if origin is Annotated:
        base, rule = arms
        if not isinstance(value, str):
            raise Misfit(value, f"is not {rule.noun}", rule.fix)
        text = conform(value, base)
        rule.check(text)
        return text
    if origin in (Union, types.UnionType):
        return _one_of(value, hint, arms)
    if origin is Mapping:
        return _mapping(value, arms[1])
    if origin is Sequence:
        return _tuple(value, arms[0])
    if hint in (str, int, float, bool):
        return _scalar(value, hint)
    if not isinstance(value, hint):
        raise Misfit(value, f"is not {described(hint)}", _fix(value, hint))
    return value


def described(hint: Any) -> str:
    """What an annotation asks for, in words."""
    origin, arms = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return str(arms[1].noun)
    if origin in (Union, types.UnionType):
        words = [described(arm) for arm in arms if arm is not types.NoneType]
        return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    if origin is Mapping:
        return "a mapping"
    if origin is Sequence:
        return "a list"
    if hint in _SCALARS:
        return _SCALARS[hint]
    noun = vars(hint).get("noun") or hint.__name__
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"


_SCALARS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a finite number", bool: "True or False"}


def _scalar(value: object, hint: type) -> str | int | float | bool:
    plain = _plain(value)
    if hint is float and type(plain) is int:
        try:
            plain = float(plain)
        except OverflowError:
            plain = math.inf
    if hint is int and type(plain) is float and plain.is_integer():
        plain = int(plain)
    if type(plain) is not hint or (isinstance(plain, float) and not math.isfinite(plain)):
        raise Misfit(plain, f"is not {_SCALARS[hint]}", _fix(plain, hint))
    if isinstance(plain, str):
        try:
            plain.encode()
        except UnicodeEncodeError as error:
            raise Misfit(value, "is not Unicode text", "Remove the lone surrogate") from error
    # Adding zero makes -0.0 into 0.0, which is equal to it and would hash apart.
    return plain + 0.0 if isinstance(plain, float) else plain  # type: ignore[return-value]


def _plain(value: object) -> object:
    """Python's own number or text for those of numpy and of subclasses; anything else as it is."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return value


def _one_of(value: object, hint: Any, arms: Sequence[Any]) -> Any:
    plain = _plain(value)
    for arm in arms:
        # The value's own type comes first, so that 1.0 stays a float where ints are welcome as well.
        if type(plain) is arm:
            return None if plain is None else conform(plain, arm)
    misfits = []
    for arm in arms:
        try:
            return conform(value, arm)
        except Misfit as misfit:
            misfits.append(misfit)
    inner = next((misfit for misfit in misfits if misfit.path), None)
    if inner is not None:
        raise inner
    wanted = [arm for arm in arms if arm is not types.NoneType]
    if len(wanted) == 1:
        raise misfits[arms.index(wanted[0])]
    raise Misfit(value, f"is not {described(hint)}", _fix(value, *wanted))


def _mapping(value: object, hint: Any) -> FrozenMapping[Any]:
    if not isinstance(value, Mapping):
        raise Misfit(value, "is not a mapping", "Write {'name': …}")
    items: dict[str, Any] = {}
    for key, item in value.items():
        try:
            name = _scalar(key, str)
        except Misfit as misfit:
            raise Misfit(key, misfit.fault, "Names are text", path=f"[{key!r}]") from misfit
        if not name:
            raise Misfit(key, "is no name", "Write at least one character", path="['']")
        items[str(name)] = _inner(item, hint, f"[{name!r}]")
    return FrozenMapping(items)


def _tuple(value: object, hint: Any) -> tuple[Any, ...]:
    if isinstance(value, str) and hint is str:
        value = (value,)
    if isinstance(value, Set):
        raise Misfit(value, "has no order", "Write a list, as in ['a', 'b']")
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise Misfit(value, "is not a list", "Put it in [ ]")
    return tuple(_inner(item, hint, f"[{place}]") for place, item in enumerate(value))


def _inner(value: object, hint: Any, place: str) -> Any:
    try:
        return conform(value, hint)
    except Misfit as misfit:
        raise Misfit(misfit.value, misfit.fault, misfit.fix, place + misfit.path) from misfit


def _fix(value: object, *wanted: Any) -> str | None:
    """How to write what was probably meant."""
    classes = tuple(hint for hint in wanted if isinstance(hint, type) and hint not in _SCALARS)
    if isinstance(value, type):
        return f"Write {value.__name__}(…)" if issubclass(value, classes) else None
    if isinstance(value, str) and classes:
        return "Give the definition itself, not its name"
    if isinstance(value, bool) and (int in wanted or float in wanted):
        return f"Write {int(value)}"
    if isinstance(value, str) and (int in wanted or float in wanted):
        return "Write a number, without quotes"
    return None


__all__ = ["LONGEST", "Duration", "FrozenMapping", "Length", "Misfit", "Sql", "conform", "described", "hints"]
