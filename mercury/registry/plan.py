"""The difference between two projects, as a person reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mercury.definitions import Named, Project

DEFAULT = "(default)"
"""Stands for a field that is not written, on either side of a change."""

ABSENT = "(absent)"
"""Stands for an entry of a mapping (a column, a feature, an aggregate) that is not there, on either side."""

ORDER = "(order)"
"""Last part of the path of a change of order, whose values are the names in their order."""


@dataclass(frozen=True)
class FieldChange:
    """One field: its path (``aggregates.flights.where``), what it was and what it becomes.

    The order of a mapping (``schema.(order)``) is a change of its own where entries that stay have moved, or new ones
    do not stand at the end.
    """

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        old, new = _shown(self.old), _shown(self.new)
        if old == new:
            # A text and the number that it reads like.
            old, new = json.dumps(self.old, ensure_ascii=False), json.dumps(self.new, ensure_ascii=False)
        return f"{self.path}: {old} → {new}"


@dataclass(frozen=True)
class Change:
    """What happens to one definition.

    Parameters
    ----------
    action : ``add``, ``change`` or ``remove``; ``follow`` when it stays as written but something that it uses changes.
    address : kind and name, as in ``Stream/flights``.
    fields : changed fields; for an added definition all that are written, with the old value `DEFAULT`.
    through : addresses of the changed definitions that this one uses, directly or not.
    before, after : versions of the definition; None where there is none.
    """

    action: Literal["add", "change", "remove", "follow"]
    address: str
    fields: tuple[FieldChange, ...] = ()
    through: tuple[str, ...] = ()
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class Plan:
    """From a revision to a project. `base` is the revision that the plan was made against, 0 for none."""

    project: Project
    base: int
    changes: tuple[Change, ...]

    @property
    def empty(self) -> bool:
        """Whether the project is already what has been applied."""
        return not self.changes and self.base > 0

    def text(self) -> str:
        """The plan in lines: one per definition, its fields below it, and a count at the end."""
        title = f"Project {self.project.name}"
        if self.empty:
            return f"{title}: revision {self.base}, no changes"
        lines = [f"{title}: revision {self.base} → {self.base + 1}"]
        for change in self.changes:
            versions = " → ".join(version[:8] for version in (change.before, change.after) if version)
            note = f"  through {', '.join(change.through)}" if change.action == "follow" else ""
            lines.append(f"  {_SIGNS[change.action]} {change.address}  {versions}{note}")
            for part in change.fields:
                lines.append(f"      {part.path}: {_shown(part.new)}" if change.action == "add" else f"      {part}")
        counts = [
            f"{count} {word}"
            for action, word in _WORDS.items()
            if (count := sum(change.action == action for change in self.changes))
        ]
        return "\n".join([*lines, ", ".join(counts)])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, with the canonical form of the project that it leads to."""
        return {
            "format": 2,
            "project": self.project.name,
            "base": self.base,
            "version": self.project.version,
            "changes": [
                {
                    "action": change.action,
                    "address": change.address,
                    "fields": [{"path": part.path, "old": part.old, "new": part.new} for part in change.fields],
                    "through": list(change.through),
                    "before": change.before,
                    "after": change.after,
                }
                for change in self.changes
            ],
        }


def make_plan(old: Project | None, base: int, new: Project) -> Plan:
    """The plan that makes `old`, applied as revision `base`, into `new`."""
    before = {part.address: part for part in old.definitions} if old is not None else {}
    after = {part.address: part for part in new.definitions}
    changes: dict[str, Change] = {}
    for address in sorted(before.keys() | after.keys()):
        was, becomes = before.get(address), after.get(address)
        versions = (was.version if was else None, becomes.version if becomes else None)
        if becomes is None:
            changes[address] = Change("remove", address, (), (), *versions)
        elif was is None:
            changes[address] = Change("add", address, tuple(_changed(_Form(), _Form.of(becomes))), (), *versions)
        elif was != becomes:
            changes[address] = Change(
                "change", address, tuple(_changed(_Form.of(was), _Form.of(becomes))), (), *versions
            )
        elif versions[0] != versions[1]:
            changes[address] = Change("follow", address, (), (), *versions)
    rewritten = {address for address, change in changes.items() if change.action == "change"}
    for address, change in changes.items():
        if change.action == "follow":
            changes[address] = replace(change, through=tuple(sorted(_used(new, address) & rewritten)))
    return Plan(new, base, tuple(changes[address] for address in sorted(changes)))


_SIGNS = {"add": "+", "change": "~", "remove": "-", "follow": "~"}
_WORDS = {"add": "added", "change": "changed", "remove": "removed", "follow": "changed through others"}

_Path = tuple[str, ...]


@dataclass
class _Form:
    """A definition flattened: the value at each path, and the names of each mapping in their order."""

    values: dict[_Path, Any] = field(default_factory=dict)
    orders: dict[_Path, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, part: Named) -> _Form:
        form = cls()
        form._add((), part.to_dict())
        return form

    def _add(self, path: _Path, value: Any) -> None:
        if isinstance(value, Mapping) and "map" in value:
            self.orders[path] = [key for key, _ in value["map"]]
            for key, item in value["map"]:
                self._add((*path, key), item)
        elif isinstance(value, Mapping) and "ref" in value:
            self.values[path] = value["ref"]
        elif isinstance(value, Mapping):
            for key, item in value.items():
                if path or key not in ("kind", "name"):
                    self._add((*path, key), item)
        elif isinstance(value, list):
            self.values[path] = [item["ref"] if isinstance(item, Mapping) else item for item in value]
        else:
            self.values[path] = value

    def get(self, path: _Path) -> Any:
        """The value at a path, or what stands for its absence."""
        if path in self.values:
            return self.values[path]
        entries = ((path[:end], path[end]) for end in range(1, len(path)))
        return ABSENT if any(at in self.orders and name not in self.orders[at] for at, name in entries) else DEFAULT


def _changed(before: _Form, after: _Form) -> Iterator[FieldChange]:
    # In the order of the fields and of the mappings' entries, what is gone at the end.
    for path in dict.fromkeys([*after.values, *before.values]):
        old, new = before.get(path), after.get(path)
        # 1, 1.0 and true are equal to Python, and three different parameters to a trainer.
        if type(old) is not type(new) or old != new:
            yield FieldChange(".".join(path), old, new)
    for path in (path for path in after.orders if path in before.orders):
        was, becomes = before.orders[path], after.orders[path]
        if becomes != [name for name in was if name in becomes] + [name for name in becomes if name not in was]:
            yield FieldChange(".".join((*path, ORDER)), was, becomes)


def _used(project: Project, address: str) -> set[str]:
    """Addresses of all that a definition uses, directly or not."""
    parts = {part.address: part for part in project.definitions}
    found: set[str] = set()
    pending = [address]
    while pending:
        for part in parts[pending.pop()].references():
            if part.address not in found:
                found.add(part.address)
                pending.append(part.address)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, str) and value.isprintable():
        # The hash of a contract's file; its beginning tells two of them apart.
        return f"{value[:12]}…" if _SHA256.match(value) else value
    return json.dumps(value, ensure_ascii=False)


_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
