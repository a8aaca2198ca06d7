"""Send a job where it belongs: nowhere when it is done, to a process here when it is small, else to the cluster."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mercury.batch.engine import Choice, choose
from mercury.batch.inputs import pin, snapshots
from mercury.batch.run import RunResult, last_run, run_identity
from mercury.definitions import Job, canonical_json
from mercury.errors import DeadlineExceededError, NotFoundError, UsageError
from mercury.lake import Lake
from mercury.runtime import lineage
from mercury.runtime.session import ray_session
from mercury.runtime.submission import JobClient, JobFailedError, JobRun

if TYPE_CHECKING:
    from mercury.config import Settings

DEADLINE = 3600.0
"""Seconds that a job may take, waiting for the cluster included."""

_WORKING_COPY = "working_dir_files"
"""Part of every path below which Ray keeps its copy of a working folder."""


@dataclass(frozen=True)
class Script:
    """A job's script: the folder that is the job's current one, and the path of the script in it."""

    root: Path
    path: str

    @property
    def file(self) -> Path:
        """Where it lies."""
        return self.root / self.path


def dispatch(
    job: Job,
    project: Path,
    settings: Settings,
    *,
    date: str | None = None,
    engine: str | None = None,
    deadline: float = DEADLINE,
    force: bool = False,
    on_status: Callable[[str], None] = lambda text: None,
) -> RunResult:
    """Run a job's script for a date (YYYY-MM-DD), or for everything, and return what it did.

    Neither Ray nor Spark starts when the inputs have not changed, or when DuckDB is the engine and no cluster is named.
    `on_status` is told in words what happens. Raises `JobFailedError` with the end of the script's log,
    `DeadlineExceededError`, and what `mercury.batch.run` raises for missing tables and wrong engines.
    """
    script = find_script(job, project)
    lake = Lake(_absolute(str(settings.lake)))
    partition = date or "all"
    identity = run_identity(job, partition, snapshots(job.inputs, lake), script.file)
    done = None if force else last_run(lake.table(job.output), identity)
    if done is not None:
        return RunResult(job.name, partition, True, 0, done.version, identity["inputs"])
    choice = choose(sum(each.bytes for each in pin(job.inputs, lake)), engine or job.engine)
    on_status(choice.explain())
    arguments = ["--project", _within(project, script.root), "--lake", lake.root, "--engine", choice.engine]
    arguments += ["--date", date] if date else []
    arguments += ["--force"] if force else []
    environment = {"MERCURY_LAKE": lake.root, "MERCURY_STATE": str(Path(settings.state).resolve())}
    if settings.lineage_url is not None:
        environment["MERCURY_LINEAGE_URL"] = settings.lineage_url
    with lineage.run(f"dispatch.{job.name}", settings=settings):
        environment |= lineage.environment()
        if choice.engine == "duckdb" and settings.ray_address is None:
            return _here(script, arguments, environment, deadline)
        token = [canonical_json(identity).decode(), *([uuid.uuid4().hex] if force else [])]
        return _on_cluster(job, settings, script, arguments, environment, partition, token, choice, deadline, on_status)


def find_script(job: Job, project: Path) -> Script:
    """The script of a job, looked for beside the project file, in the folders above it, and in the current one."""
    folder = project.resolve().parent
    for root in (folder, *folder.parents, Path.cwd()):
        if (root / job.script).is_file():
            return Script(root, job.script)
    raise NotFoundError(
        f"the script {job.script!r} does not exist", where=job.address, fix=f"It is looked for from {folder} upwards"
    )


def job_settings(project: Path, lake: str | None = None) -> Settings:
    """The settings that a job's script works with; `lake` replaces the setting.

    Raises `UsageError` when the lake would lie in the copy of the working folder that Ray deletes after the job.
    """
    from mercury.config import load_settings

    settings = load_settings(project)
    if lake is not None:
        settings = dataclasses.replace(settings, lake=lake)
    if _WORKING_COPY in str(Path(str(settings.lake)).resolve()):
        raise UsageError(
            "the lake would lie in the job's copy of the working folder, which is deleted",
            where="lake",
            fix="Pass --lake or set MERCURY_LAKE to a path or address that all nodes share",
        )
    return settings


def _here(script: Script, arguments: list[str], environment: dict[str, str], deadline: float) -> RunResult:
    command = [sys.executable, str(script.file), *arguments]
    path = os.pathsep.join(filter(None, (str(script.root), os.environ.get("PYTHONPATH"))))
    try:
        ended = subprocess.run(
            command,
            cwd=script.root,
            env={**os.environ, **environment, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=deadline,
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceededError(f"{script.path} took longer than {deadline:g} s and was stopped") from error
    if ended.returncode != 0:
        lines = ended.stdout.rstrip().splitlines()[-15:]
        raise JobFailedError(
            f"{script.path} ended with exit code {ended.returncode}", excerpt="\n".join(f"    {line}" for line in lines)
        )
    return _result(ended.stdout, script.path)


def _on_cluster(
    job: Job,
    settings: Settings,
    script: Script,
    arguments: list[str],
    environment: dict[str, str],
    partition: str,
    token: list[str],
    choice: Choice,
    deadline: float,
    on_status: Callable[[str], None],
) -> RunResult:
    def tell(run: JobRun) -> None:
        on_status(f"job {run.submission_id} is {run.status.lower()}")

    with ray_session(settings, dashboard=True) as session:
        if session.dashboard_url is None:
            raise UsageError("the Ray session has no job server", fix="Start the cluster with its dashboard")
        client = JobClient(session.dashboard_url)
        started = client.submit(
            ["python", script.path, *arguments],
            name=job.name,
            partition=partition,
            identity=token,
            working_dir=script.root,
            environment=environment,
        )
        client.wait(started.submission_id, deadline, on_status=tell)
        return _result(client.logs(started.submission_id), script.path)


def _result(output: str, script: str) -> RunResult:
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            fields: dict[str, Any] = json.loads(line)
            return RunResult(**fields)
    raise JobFailedError(
        f"{script} printed no result", fix="A job's script prints RunResult.to_dict() as JSON at its end"
    )


def _absolute(address: str) -> str:
    return address if "://" in address else str(Path(address).resolve())


def _within(path: Path, root: Path) -> str:
    whole = path.resolve()
    return str(whole.relative_to(root.resolve())) if whole.is_relative_to(root.resolve()) else str(whole)
