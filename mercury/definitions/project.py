"""The project: all definitions of one project file, checked together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from mercury.definitions.base import Named, canonical_json, decode, set_field, shown
from mercury.definitions.features import BatchTable, FeatureView
from mercury.definitions.privacy import PrivacyPolicy
from mercury.definitions.streams import Stream, Window
from mercury.definitions.values import FrozenMapping
from mercury.errors import DefinitionError, NotFoundError, did_you_mean

FORMAT = 2
"""Version of the canonical JSON of a project; a reader knows all lesser ones and refuses a greater one."""

T = TypeVar("T", bound=Named)


@dataclass(frozen=True, eq=False)
class Job(Named):
    """A batch job: a script that runs on Ray, the tables it reads and the table it writes.

    Parameters
    ----------
    script : path of the script, looked for from the project file's folder upwards, then from the current folder.
    inputs : names of the batch tables that it reads, one or several.
    output : name of the batch table that it writes.
    engine : ``auto`` chooses by the bytes to read; ``duckdb``, ``ray`` or ``spark`` forces one.
    """

    script: str = ""
    inputs: Sequence[str] = ()
    output: str = ""
    engine: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("script", "output"):
            if not getattr(self, name):
                fix = "Give script='jobs/….py', output='…'"
                raise self.fail("a job needs a script and an output table", fix, name)
        self.check_distinct("inputs", self.inputs)
        self.check_choice("engine", self.engine, ["auto", "duckdb", "ray", "spark"])


@dataclass(frozen=True, eq=False)
class Project(Named):
    """Definitions by address. What a definition uses is part of the project without being listed."""

    definitions: Sequence[Named] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        found: dict[str, Named] = {}
        for part in _with_references(self.definitions):
            if isinstance(part, Project):
                raise self.fail(f"{part.address} is inside a project", "List its definitions instead", "definitions")
            other = found.setdefault(part.address, part)
            if other != part:
                what = f"{part.address} is defined twice, differently: {_difference(other, part)}"
                raise self.fail(what, "Give one of them another name", "definitions")
        set_field(self, "definitions", tuple(found[address] for address in sorted(found)))
        self._check_panes()
        self._check_jobs()
        self._check_policies()

    @property
    def contracts(self) -> Mapping[str, str]:
        """Path of each contract to the SHA-256 of its bytes, once they were read (`with_contracts`)."""
        read = {part.contract: part.contract_sha256 for part in self.of(Stream) if part.contract_sha256 is not None}
        return FrozenMapping((path, digest) for path, digest in sorted(read.items()) if path is not None)

    def with_contracts(self, hashes: Mapping[str, str]) -> Project:
        """The same project whose streams carry the hashes of their contracts, given by path.

        The versions of the streams, and of all that uses them, then follow the contents of the contracts.
        """
        data = self.to_dict()
        for part in self.of(Stream):
            if part.contract is not None and part.contract in hashes:
                data["definitions"][part.address]["contract_sha256"] = hashes[part.contract]
        return Project.from_dict(data)

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
        }

    @property
    def version(self) -> str:
        """Content hash, 16 hex digits, of the canonical JSON."""
        return hashlib.sha256(canonical_json(self.to_dict())).hexdigest()[:16]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Project:
        """The project that `to_dict` wrote; `DefinitionError` for another format or a broken reference."""
        found = data.get("format")
        if found == 1:
            data = _from_format_1(data)
        elif found != FORMAT:
            raise DefinitionError(f"project format {shown(found)} is not one of 1 to {FORMAT}", fix="Upgrade Mercury")
        entries: Mapping[str, Mapping[str, Any]] = data["definitions"]
        place = f"Project/{data['project']}"
        done: dict[str, Named] = {}
        under_way: list[str] = []

        def resolve(address: str) -> Named:
            if address in done:
                return done[address]
            if address not in entries:
                raise DefinitionError(f"{address} is referred to but not defined", where=place)
            if address in under_way:
                raise DefinitionError(f"{address} refers to itself", where=place)
            under_way.append(address)
            part = decode(entries[address], resolve)
            if not isinstance(part, Named) or part.address != address:
                raise DefinitionError(f"{address} holds another definition", where=place)
            done[under_way.pop()] = part
            return part

        return cls(data["project"], tuple(resolve(address) for address in entries))

    def _check_panes(self) -> None:
        """One job keeps the windows and the views of a stream, each under its name."""
        windows = {(window.source.address, window.name) for window in self.of(Window) if window.source is not None}
        for view in self.of(FeatureView):
            if isinstance(view.source, Stream) and (view.source.address, view.name) in windows:
                what = f"Window/{view.name} and {view.address} are both kept of {view.source.address}"
                raise self.fail(what, "Give one of them another name", "definitions")

    def _check_jobs(self) -> None:
        jobs = {job.name: job for job in self.of(Job)}
        writers: dict[str, Job] = {}
        for job in jobs.values():
            other = writers.setdefault(job.output, job)
            if other is not job:
                what = f"output={job.output!r} is written by {other.address} too: each would replace the other's rows"
                raise job.fail(what, "Give each job a table of its own", "output")
        for table in self.of(BatchTable):
            if table.job is None:
                continue
            if table.job not in jobs:
                fix = did_you_mean(table.job, jobs) or "Define it with Job(…) and list it in the project"
                raise table.fail(f"job={table.job!r} is no Job of {self.address}", fix, "job")
            if jobs[table.job].output != table.name:
                what = f"job={table.job!r} writes the table {jobs[table.job].output!r}, not {table.name!r}"
                raise table.fail(what, "Give the job's output the name of the table", "job")

    def _check_policies(self) -> None:
        """One dataset has one unit and one budget: with two, the loosest would be what holds."""
        first: dict[str, PrivacyPolicy] = {}
        for policy in self.of(PrivacyPolicy):
            assert policy.source is not None
            other = first.setdefault(policy.source.address, policy)
            for name in ("unit", "budget"):
                if getattr(policy, name) != getattr(other, name):
                    what = (
                        f"{name}={getattr(policy, name)!r} is not that of {other.address}, which guards the same source"
                    )
                    raise policy.fail(what, f"Give all policies of {policy.source.address} one {name}", name)


_MAPPINGS_OF_FORMAT_1 = ("schema", "features", "aggregates", "params")


def _with_references(parts: Iterable[Named]) -> Iterator[Named]:
    for part in parts:
        yield from _with_references(part.references())
        yield part


def _difference(one: Named, other: Named) -> str:
    """The first field by which two definitions of one kind differ."""
    before, after = one.to_dict(), other.to_dict()
    for field in fields(one):
        if before.get(field.name) != after.get(field.name):
            values = shown(getattr(one, field.name)), shown(getattr(other, field.name))
            return f"{field.name} is {values[0]} and {values[1]}"
    raise AssertionError("equal definitions do not differ")


def _from_format_1(data: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 as the newest: it wrote mappings as objects, sorted by key, and the contracts' hashes apart."""

    def newer(value: Any, field: str | None = None) -> Any:
        if isinstance(value, list):
            return [newer(item) for item in value]
        if not isinstance(value, dict):
            return value
        if field in _MAPPINGS_OF_FORMAT_1:
            return {"map": [[key, newer(item)] for key, item in value.items()]}
        return {key: newer(item, key) for key, item in value.items()}

    definitions = {address: newer(entry) for address, entry in data["definitions"].items()}
    for entry in definitions.values():
        if entry.get("kind") == "Stream" and entry.get("contract") in data.get("contracts", {}):
            entry["contract_sha256"] = data["contracts"][entry["contract"]]
    return {"format": FORMAT, "project": data["project"], "definitions": definitions}
