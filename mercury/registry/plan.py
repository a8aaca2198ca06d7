"""The difference between two projects, as a person reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mercury.definitions import Project, Stream

DEFAULT = "(default)"
"""Stands for a field that is not written, on either side of a change."""


@dataclass(frozen=True)
class FieldChange:
    """One field: its path (``aggregates.flights.where``), what it was and what it becomes."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.old)} → {_shown(self.new)}"


@dataclass(frozen=True)
class Change:
    """What happens to one definition.

    Parameters
    ----------
    action : ``add``, ``change`` or ``remove``; ``follow`` when it stays as written but something that it uses changes.
    address : kind and name, as in ``Stream/flights``.
    fields : changed fields; for an added definition all that are written, with the old value `DEFAULT`.
    through : addresses of the changed definitions that this one uses, directly or not.
    """

    action: Literal["add", "change", "remove", "follow"]
    address: str
    fields: tuple[FieldChange, ...] = ()
    through: tuple[str, ...] = ()


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
            note = f"  changes through {', '.join(change.through)}" if change.action == "follow" else ""
            lines.append(f"  {_SIGNS[change.action]} {change.address}{note}")
            for field in change.fields:
                lines.append(f"      {field.path}: {_shown(field.new)}" if change.action == "add" else f"      {field}")
        counts = [
            f"{count} {word}"
            for action, word in _WORDS.items()
            if (count := sum(change.action == action for change in self.changes))
        ]
        return "\n".join([*lines, ", ".join(counts)])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, with the canonical form of the project that it leads to."""
        return {
            "format": 1,
            "project": self.project.name,
            "base": self.base,
            "version": self.project.version,
            "changes": [
                {
                    "action": change.action,
                    "address": change.address,
                    "fields": [{"path": part.path, "old": part.old, "new": part.new} for part in change.fields],
                    "through": list(change.through),
                }
                for change in self.changes
            ],
        }


def make_plan(old: Project | None, base: int, new: Project) -> Plan:
    """The plan that makes `old`, applied as revision `base`, into `new`."""
    before = _forms(old) if old is not None else {}
    after = _forms(new)
    changed: dict[str, Change] = {}
    for address in sorted(before.keys() | after.keys()):
        if address not in after:
            changed[address] = Change("remove", address)
        elif address not in before:
            changed[address] = Change("add", address, tuple(_fields({}, after[address])))
        elif before[address] != after[address]:
            changed[address] = Change("change", address, tuple(_fields(before[address], after[address])))
    for part in new.definitions:
        if part.address not in changed:
            through = _used(new, part.address) & {a for a, c in changed.items() if c.action == "change"}
            if through:
                changed[part.address] = Change("follow", part.address, through=tuple(sorted(through)))
    return Plan(new, base, tuple(changed[address] for address in sorted(changed)))


_SIGNS = {"add": "+", "change": "~", "remove": "-", "follow": "~"}
_WORDS = {"add": "added", "change": "changed", "remove": "removed", "follow": "changed through others"}


def _forms(project: Project) -> dict[str, dict[str, Any]]:
    """Each definition as a flat mapping of path to value; a stream's contract counts with the hash of its file."""
    forms = {}
    for part in project.definitions:
        form = dict(_flat("", part.to_dict()))
        if isinstance(part, Stream) and part.contract is not None and part.contract in project.contracts:
            form["contract file"] = project.contracts[part.contract][:12]
        forms[part.address] = form
    return forms


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value.keys() == {"ref"}:
        yield path, value["ref"]
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            if path or key not in ("kind", "name"):
                yield from _flat(f"{path}.{key}" if path else key, item)
    elif isinstance(value, list) and value and all(isinstance(i, Mapping) and i.keys() == {"ref"} for i in value):
        yield path, [item["ref"] for item in value]
    else:
        yield path, value


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[FieldChange]:
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path, DEFAULT), after.get(path, DEFAULT)
        if old != new:
            yield FieldChange(path, old, new)


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
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
