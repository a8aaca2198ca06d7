"""A run that is being told: what it reads and writes while it goes on, and how it ended.

Events follow OpenLineage (https://openlineage.io/spec/2-0-2/OpenLineage.json) and are built of the classes of its own
client, so that they are valid by construction. Datasets are named as the project names them (``raw_flights``,
``feature_view:carrier_delay``) in the namespace of the lake, topics in that of their broker.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mercury
from mercury.runtime.lineage.delivery import delivery

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from mercury.config import Settings

PARENT_VARIABLE = "OPENLINEAGE_PARENT_ID"
"""``namespace/job/run id`` of the run that started this process, as other OpenLineage integrations set it."""

PRODUCER = f"https://pypi.org/project/mercury-platform/{mercury.__version__}"
NAMESPACE = "mercury"

_GIT_SECONDS = 5.0

_current: ContextVar[Run | None] = ContextVar("mercury_lineage_run", default=None)
_log = logging.getLogger(__name__)


@dataclass
class _Dataset:
    namespace: str
    name: str
    version: str | None = None
    rows: int | None = None
    assertions: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass
class Run:
    """A run of a job. Name what it reads and writes as it becomes known; the last word on a dataset counts."""

    job: str
    namespace: str
    dataset_namespace: str
    id: str
    parent: tuple[str, str, str] | None = None
    """Namespace, job and id of the run that this one is part of."""
    _inputs: dict[tuple[str, str], _Dataset] = field(default_factory=dict)
    _outputs: dict[tuple[str, str], _Dataset] = field(default_factory=dict)

    def input(
        self,
        name: str,
        *,
        version: object = None,
        rows: int | None = None,
        assertions: Sequence[Mapping[str, Any]] = (),
        namespace: str | None = None,
    ) -> None:
        """Say that the run read a dataset.

        Parameters
        ----------
        version : of a table; of a topic its offset ranges by partition, as `offset_ranges` writes them.
        rows : how many were read.
        assertions : what was checked of it and how that ended: entries of the facet ``dataQualityAssertions``
            (`mercury.quality.lineage.assertions`).
        namespace : where the dataset is; None: in the lake.
        """
        self._put(self._inputs, name, version, rows, namespace).assertions.extend(assertions)

    def output(
        self, name: str, *, version: object = None, rows: int | None = None, namespace: str | None = None
    ) -> None:
        """Say that the run wrote a dataset: the version that it made and the number of rows written."""
        self._put(self._outputs, name, version, rows, namespace)

    def _put(
        self,
        held: dict[tuple[str, str], _Dataset],
        name: str,
        version: object,
        rows: int | None,
        namespace: str | None,
    ) -> _Dataset:
        place = namespace or self.dataset_namespace
        found = _Dataset(place, name, None if version is None else str(version), rows)
        held[place, name] = found
        return found


@contextmanager
def run(job: str, *, settings: Settings, namespace: str = NAMESPACE) -> Iterator[Run]:
    """Tell of a run: START now, COMPLETE at the end of the block, FAIL when it raises, ABORT when it is interrupted.

    A run inside a run names the outer one as its parent; without one, the environment's `PARENT_VARIABLE` counts. The
    code's version (git commit, ``-dirty`` when changed; else the hash of the project file) goes with every event.
    """
    from openlineage.client.uuid import generate_new_uuid

    told = Run(job, namespace, _lake(settings), str(generate_new_uuid()), _parent())
    _tell(told, "START", settings)
    token = _current.set(told)
    try:
        yield told
    except Exception as error:
        _tell(told, "FAIL", settings, error)
        raise
    except BaseException:
        _tell(told, "ABORT", settings)
        raise
    else:
        _tell(told, "COMPLETE", settings)
    finally:
        _current.reset(token)


def offset_ranges(offsets: Mapping[Any, Sequence[int]]) -> str:
    """The version of what was read of a topic: ``0:0-120,1:7-98`` for ``{0: [0, 120], 1: [7, 98]}``, ends left out."""
    return ",".join(f"{p}:{offsets[p][0]}-{offsets[p][1]}" for p in sorted(offsets, key=int))


@lru_cache(maxsize=64)
def code_version(project: Path) -> tuple[str, str]:
    """Kind and version of a project's code: ``("git", commit)``, else ``("file", SHA-256 of the project file)``."""
    try:
        told = subprocess.run(
            ["git", "-C", str(project.parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
        )
        if told.returncode == 0 and told.stdout.strip():
            return "git", told.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        pass  # No git, or one that hangs on a network drive: the file's hash says as much.
    try:
        return "file", hashlib.sha256(project.read_bytes()).hexdigest()
    except OSError:
        return "package", mercury.__version__


def _tell(told: Run, state: str, settings: Settings, error: Exception | None = None) -> None:
    """Build and deliver an event. What goes wrong here is told in the log and never reaches the run."""
    try:
        delivery(settings).send(_event(told, state, settings, error))
    except Exception:
        _log.warning("the lineage event %s of %s could not be told", state, told.job, exc_info=True)


def _event(told: Run, state: str, settings: Settings, error: Exception | None) -> RunEvent:
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, RunEvent, RunState
    from openlineage.client.event_v2 import Run as RunId
    from openlineage.client.generated import (
        data_quality_assertions_dataset,
        dataset_version_dataset,
        error_message_run,
        input_statistics_input_dataset,
        output_statistics_output_dataset,
        parent_run,
        source_code_location_job,
    )

    def facets(dataset: _Dataset) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if dataset.version is not None:
            found["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version, producer=PRODUCER)
        if dataset.assertions:
            entries = [data_quality_assertions_dataset.Assertion(**entry) for entry in dataset.assertions]
            found["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                entries, producer=PRODUCER
            )
        return found

    about_run: dict[str, Any] = {}
    if told.parent is not None:
        namespace, name, identity = told.parent
        about_run["parent"] = parent_run.ParentRunFacet(
            parent_run.Run(identity), parent_run.Job(namespace, name), producer=PRODUCER
        )
    if error is not None:
        text = f"{type(error).__name__}: {error}"
        about_run["errorMessage"] = error_message_run.ErrorMessageRunFacet(text, "python", producer=PRODUCER)
    kind, version = code_version(Path(settings.project))
    code = source_code_location_job.SourceCodeLocationJobFacet(
        kind, Path(settings.project).absolute().as_uri(), version=version, producer=PRODUCER
    )
    inputs, outputs = [], []
    for each in told._inputs.values():
        counted: dict[str, Any] = {}
        if each.rows is not None:
            counted["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                rowCount=each.rows, producer=PRODUCER
            )
        inputs.append(InputDataset(each.namespace, each.name, counted, facets=facets(each)))
    for each in told._outputs.values():
        counted = {}
        if each.rows is not None:
            counted["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=each.rows, producer=PRODUCER
            )
        outputs.append(OutputDataset(each.namespace, each.name, counted, facets=facets(each)))
    return RunEvent(
        eventTime=dt.datetime.now(dt.UTC).isoformat(),
        eventType=RunState[state],
        run=RunId(told.id, about_run),
        job=Job(told.namespace, told.job, {"sourceCodeLocation": code}),
        inputs=inputs,
        outputs=outputs,
        producer=PRODUCER,
    )


def _parent() -> tuple[str, str, str] | None:
    outer = _current.get()
    if outer is not None:
        return outer.namespace, outer.job, outer.id
    namespace, _, rest = os.environ.get(PARENT_VARIABLE, "").partition("/")
    name, _, identity = rest.rpartition("/")
    return (namespace, name, identity) if namespace and name and identity else None


def _lake(settings: Settings) -> str:
    lake = str(settings.lake)
    return lake if "://" in lake else Path(lake).absolute().as_uri()
