"""Telling of a run: when it begins, how far it is, and how it ended."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from mercury.runtime.lineage.code import CODE_VARIABLE, code_version
from mercury.runtime.lineage.delivery import delivery
from mercury.runtime.lineage.record import Run, RunName

if TYPE_CHECKING:
    from mercury.config import Settings

PARENT_VARIABLE = "OPENLINEAGE_PARENT_ID"
"""``namespace/job/run id`` of the run that started this process, as other OpenLineage integrations set it."""

NAMESPACE_VARIABLE = "OPENLINEAGE_NAMESPACE"
"""Namespace of jobs, for an endpoint that several projects share."""

NAMESPACE = "mercury"

_log = logging.getLogger(__name__)


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
    name = RunName(namespace, job, str(generate_new_uuid()))
    told = Run(name, settings, streaming, _parent(), teller=_tell)
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


def _tell(told: Run, state: str, error: BaseException | None = None) -> None:
    """Build and deliver an event. What goes wrong here is told in the log and never reaches the run."""
    if told.settings is None:
        return
    try:
        # OpenLineage's classes take a while to load, and most commands tell nobody.
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
