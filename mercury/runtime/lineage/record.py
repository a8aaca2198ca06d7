"""What is known of a run: its name, and the datasets that it reads and writes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mercury.runtime.lineage.datasets import dataset, without_secrets

if TYPE_CHECKING:
    from mercury.config import Settings


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

    A dataset that is named again keeps what was said of it: its rows add up, and the last version counts. ``teller``
    is given the run and the state RUNNING when it says how far it is.
    """

    name: RunName
    settings: Settings | None
    streaming: bool = False
    parent: RunName | None = None
    inputs: dict[tuple[str, str], Dataset] = field(default_factory=dict)
    outputs: dict[tuple[str, str], Dataset] = field(default_factory=dict)
    teller: Callable[[Run, str], None] | None = None

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
        if self.teller is not None:
            self.teller(self, "RUNNING")


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
