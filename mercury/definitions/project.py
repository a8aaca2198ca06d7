"""The project: all definitions of one project file, checked together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mercury.definitions.base import Definition, Named, canonical_json, decode, set_field
from mercury.errors import DefinitionError, NotFoundError, did_you_mean

FORMAT = 1
"""Version of the canonical JSON of a project; a reader refuses a greater one."""

T = TypeVar("T", bound=Named)


@dataclass(frozen=True, eq=False)
class Job(Named):
    """A batch job: a script that `ray job submit` runs, the tables it reads and the table it writes."""

    script: str = ""
    inputs: Sequence[str] = ()
    output: str = ""
    engine: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        set_field(self, "inputs", tuple(self.inputs))
        if not self.script or not self.output:
            raise self.fail("a job needs a script and an output table", "Give script='jobs/….py', output='…'")
        self.check_choice("engine", self.engine, ["auto", "duckdb", "ray", "spark"])


@dataclass(frozen=True, eq=False)
class Project(Named):
    """Definitions by address. What a definition uses is part of the project without being listed.

    ``contracts`` maps the path of each contract to the SHA-256 of its bytes, filled in by `mercury.load_project`, so
    that a changed contract shows up in a plan.
    """

    definitions: Sequence[Named] = ()
    contracts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        found: dict[str, Named] = {}
        for part in _with_references(self.definitions):
            other = found.setdefault(part.address, part)
            if other != part:
                raise self.fail(f"{part.address} is defined twice, differently", "Give one of them another name")
        set_field(self, "definitions", tuple(found[address] for address in sorted(found)))

    def get(self, kind: type[T], name: str) -> T:
        """The definition of this kind and name; `NotFoundError` with the nearest spelling when there is none."""
        names = {part.name: part for part in self.of(kind)}
        if name not in names:
            raise NotFoundError(
                f"no {kind.__name__} is named {name!r}", where=self.address, fix=did_you_mean(name, names)
            )
        return names[name]

    def of(self, kind: type[T]) -> list[T]:
        """All definitions of one kind, by name."""
        return [part for part in self.definitions if isinstance(part, kind)]

    def to_dict(self) -> dict[str, Any]:
        """Canonical form: every definition once, references by address."""
        return {
            "format": FORMAT,
            "project": self.name,
            "definitions": {part.address: part.to_dict() for part in self.definitions},
            "contracts": dict(self.contracts),
        }

    @property
    def version(self) -> str:
        """Content hash, 16 hex digits, of the canonical JSON."""
        import hashlib

        return hashlib.sha256(canonical_json(self.to_dict())).hexdigest()[:16]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Project:
        """The project that `to_dict` wrote; `DefinitionError` for another format or a broken reference."""
        if data.get("format") != FORMAT:
            raise DefinitionError(f"project format {data.get('format')!r} is not {FORMAT}", fix="Upgrade Mercury")
        entries: Mapping[str, Mapping[str, Any]] = data["definitions"]
        done: dict[str, Named] = {}

        def resolve(address: str) -> Named:
            if address not in done:
                if address not in entries:
                    raise DefinitionError(
                        f"{address} is referred to but not defined", where=f"Project/{data['project']}"
                    )
                part: Definition = decode(entries[address], resolve)
                assert isinstance(part, Named)
                done[address] = part
            return done[address]

        return cls(data["project"], tuple(resolve(address) for address in entries), data.get("contracts", {}))


def _with_references(parts: Iterable[Named]) -> Iterator[Named]:
    for part in parts:
        if not isinstance(part, Named):
            raise DefinitionError(
                f"{part!r} is not a named definition", where="Project", fix="List streams, views, models …"
            )
        yield from _with_references(part.references())
        yield part
