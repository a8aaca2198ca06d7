"""A run that is being told: what it reads and writes while it goes on, and how it ended."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mercury.runtime.lineage.code import CODE_VARIABLE, code_version
from mercury.runtime.lineage.datasets import dataset, without_secrets
from mercury.runtime.lineage.delivery import delivery

if TYPE_CHECKING:
    from mercury.config import Settings

PARENT_VARIABLE = "OPENLINEAGE_PARENT_ID"
"""``namespace/job/run id`` of the run that started this process, as other OpenLineage integrations set it."""

NAMESPACE_VARIABLE = "OPENLINEAGE_NAMESPACE"
"""Namespace of jobs, for an endpoint that several projects share."""

NAMESPACE = "mercury"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunName:
    """What other runs call a run: its job's namespace and name, and its id."""

    namespace: str
    job: str
    id: str

    @classmethod
    def parse(cls, text: str) -> RunName | None:
        """From ``namespace/job/run id``, where the job may have slashes; None when it is something else."""
        namespace, _, rest = text.partition("/")
        job, _, identity = rest.rpartition("/")
        try:
            return cls(namespace, job, str(uuid.UUID(identity))) if namespace and job else None
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.job}/{self.id}"


@dataclass
class Dataset:
    """What a run says of a dataset."""

    namespace: str
    name: str
    version: str | None = None
    rows: int | None = None
    assertions: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass
class Run:
    """A run of a job. It names what it reads and writes as that becomes known.

    A dataset that is named again keeps what was said of it: its rows add up, and the last version counts.
    """

    name: RunName
    settings: Settings | None
    streaming: bool = False
    parent: RunName | None = None
    inputs: dict[tuple[str, str], Dataset] = field(default_factory=dict)
    outputs: dict[tuple[str, str], Dataset] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The run's UUID, version 7; commits carry it as their ``run``."""
        return self.name.id

    def input(
        self,
        address: str | Path,
        *,
        version: object = None,
        rows: int | None = None,
        assertions: Sequence[Mapping[str, Any]] = (),
        namespace: str | None = None,
    ) -> None:
        """Say that the run read a dataset.

        Parameters
        ----------
        address : path or URI of a table, file, folder or topic (``kafka://host:port/topic``).
        version : of a table; of a topic its offset ranges by partition, as `offset_ranges` writes them.
        rows : how many were read.
        assertions : what was checked of it and how that ended: entries of the facet ``dataQualityAssertions``
            (`mercury.quality.lineage.assertions`).
        namespace : of a dataset that is not at a path or URI; the address is then its name in there.
        """
        _say(self.inputs, address, version, rows, namespace).assertions.extend(assertions)

    def output(
        self,
        address: str | Path,
        *,
        version: object = None,
        rows: int | None = None,
        namespace: str | None = None,
    ) -> None:
        """Say that the run wrote a dataset: the version that it made and the number of rows written."""
        _say(self.outputs, address, version, rows, namespace)

    def progress(self) -> None:
        """Tell what is known so far, as a RUNNING event: for runs that may not end for weeks."""
        _tell(self, "RUNNING")


@contextmanager
def run(job: str, *, settings: Settings | None, streaming: bool = False) -> Iterator[Run]:
    """Tell of a run: START now, COMPLETE at the end of the block, FAIL when it raises, ABORT when it is interrupted.

    A run inside a run names the outer one as its parent; without one, the environment's `PARENT_VARIABLE` counts.
    ``settings`` say where events go; with None nobody is told.
    """
    if settings is None:
        yield Run(RunName(NAMESPACE, job, ""), None)
        return
    from openlineage.client.uuid import generate_new_uuid

    namespace = os.environ.get(NAMESPACE_VARIABLE) or NAMESPACE
    told = Run(RunName(namespace, job, str(generate_new_uuid())), settings, streaming, _parent())
    _tell(told, "START")
    token = _current.set(told)
    try:
        yield told
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        _tell(told, "ABORT")
        raise
    except BaseException as error:  # Panics of Rust libraries are no Exceptions, yet failures.
        _tell(told, "FAIL", error)
        raise
    else:
        _tell(told, "COMPLETE")
    finally:
        _current.reset(token)


def current() -> Run:
    """The run that this code is part of; outside of all runs one that nobody is told of."""
    return _current.get() or Run(RunName(NAMESPACE, "", ""), None)


def environment() -> dict[str, str]:
    """Variables for a process that this run starts: its runs then name this one as their parent, and the same code."""
    names = (PARENT_VARIABLE, NAMESPACE_VARIABLE, CODE_VARIABLE)
    found = {name: os.environ[name] for name in names if os.environ.get(name)}
    outer = _current.get()
    if outer is not None and outer.settings is not None:
        found[PARENT_VARIABLE] = str(outer.name)
        found[CODE_VARIABLE] = " ".join(code_version(Path(outer.settings.project)))
    return found


def inside_project(settings: Settings) -> Settings | None:
    """The settings of work that needs no project, for `run`: None where there is neither a project nor an endpoint.

    So looking at a bare file leaves no trace beside it.
    """
    return settings if settings.project.exists() or settings.lineage_url is not None else None


_current: ContextVar[Run | None] = ContextVar("mercury_lineage_run", default=None)


def _say(
    held: dict[tuple[str, str], Dataset],
    address: str | Path,
    version: object,
    rows: int | None,
    namespace: str | None,
) -> Dataset:
    place = dataset(str(address)) if namespace is None else (without_secrets(namespace), str(address))
    found = held.setdefault(place, Dataset(*place))
    if version is not None:
        found.version = str(version)
    if rows is not None:
        found.rows = (found.rows or 0) + int(rows)
    return found


def _tell(told: Run, state: str, error: BaseException | None = None) -> None:
    """Build and deliver an event. What goes wrong here is told in the log and never reaches the run."""
    if told.settings is None:
        return
    try:
        from mercury.runtime.lineage.events import event

        delivery(told.settings).send(event(told, state, error))
    except Exception:
        _log.warning("the lineage event %s of %s could not be told", state, told.name.job, exc_info=True)


def _parent() -> RunName | None:
    outer = _current.get()
    if outer is not None:
        return outer.name
    text = os.environ.get(PARENT_VARIABLE)
    if not text:
        return None
    found = RunName.parse(text)
    if found is None:
        _log.warning("%s=%r is not namespace/job/run id; the run has no parent", PARENT_VARIABLE, text)
    return found
