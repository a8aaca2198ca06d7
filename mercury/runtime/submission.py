"""Jobs on a Ray cluster: submitted once however often they are asked for, waited for with a deadline.

A job's id is made of its name, its partition and a stable hash of its arguments, and Ray refuses an id that it knows.
So whoever submits the same work twice, after a crash or from two machines, gets the run that is there already; only a
run that failed or was stopped is followed by a new attempt, whose id ends in its number.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mercury.definitions.base import canonical_json
from mercury.errors import DeadlineExceededError, MercuryError, NotFoundError, UnavailableError, UsageError
from mercury.runtime.tokens import ray_token

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

EXCLUDED = (
    ".git/",
    ".venv*/",
    ".env-*/",
    ".mercury*/",
    "__pycache__/",
    ".*_cache/",
    ".hypothesis/",
    "*.egg-info/",
    "docs/",
    "tests/",
)
"""What of a working folder is not sent to the cluster, beside what its .gitignore names."""

FINISHED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
"""States that a run does not leave."""

_POLL_SECONDS = 0.2
_AGENT_SECONDS = 30.0
_LOG_LINES_IN_ERROR = 15


class JobFailedError(MercuryError):
    """A job ended otherwise than well; the excerpt holds the end of its log."""


@dataclass(frozen=True)
class JobRun:
    """One attempt of a job, as the cluster knows it.

    ``status`` is PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED; ``exit_code`` is the driver's once it ended;
    ``error_type`` is Ray's word for where it failed (runtime environment, start, the command itself); times are
    milliseconds since 1970; ``reused`` says that this run was there before it was asked for.
    """

    submission_id: str
    status: str
    entrypoint: str
    attempt: int = 1
    message: str | None = None
    error_type: str | None = None
    exit_code: int | None = None
    started: int | None = None
    ended: int | None = None
    reused: bool = False

    @property
    def finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status in FINISHED


def submission_id(name: str, partition: str = "", args: Iterable[str] = ()) -> str:
    """The id of a job's first attempt: readable, and the same on every machine for the same work.

    >>> submission_id("flight_features", "2013-01", ["--lake", "s3://lake"])
    'flight_features-2013-01-b5c0e2f9b867'
    """
    digest = hashlib.sha256(canonical_json([name, partition, list(args)])).hexdigest()[:12]
    words = [re.sub(r"[^A-Za-z0-9_.]+", "-", word).strip("-") for word in (name, partition)]
    return "-".join([word for word in words if word] + [digest])


class JobClient:
    """Submits jobs to the cluster whose dashboard answers at `address`, ``http://host:port``.

    Ray finds the cluster's token in ``RAY_AUTH_TOKEN``, ``RAY_AUTH_TOKEN_PATH`` or ``~/.ray/auth_token``. Raises
    `UnavailableError` when nothing answers or the token is refused.
    """

    def __init__(self, address: str) -> None:
        from ray.job_submission import JobSubmissionClient

        # Each submission would name the folders that it leaves out, which `EXCLUDED` does.
        for part in ("dashboard.modules.dashboard_sdk", "_private.runtime_env.working_dir"):
            logging.getLogger(f"ray.{part}").setLevel(logging.ERROR)
        self.address = address
        try:
            self._client: JobSubmissionClient = JobSubmissionClient(address, headers=_authorization())
        except Exception as error:
            raise UnavailableError(
                f"no job server of Ray answers at {address}: {_one_line(error)}",
                fix="Start the cluster with its dashboard, and check that RAY_AUTH_TOKEN_PATH holds its token",
            ) from error

    def submit(
        self,
        entrypoint: Sequence[str],
        *,
        name: str,
        partition: str = "",
        identity: Iterable[str] = (),
        working_dir: str | Path | None = None,
        environment: Mapping[str, str] | None = None,
        attempts: int = 20,
    ) -> JobRun:
        """Start a command on the cluster, or find the run of the same name, partition, command and identity.

        Parameters
        ----------
        entrypoint : the command and its arguments, one string each.
        identity : what else makes the work another work, such as the versions of its inputs.
        working_dir : folder that is copied to the cluster and is the command's current one; less `EXCLUDED`.
        environment : variables of the command.
        attempts : how many failed runs of the same work may be followed by another.
        """
        first = submission_id(name, partition, [*entrypoint, *identity])
        runtime: dict[str, Any] = {"env_vars": dict(environment or {})}
        if working_dir is not None:
            runtime |= {"working_dir": str(_folder(working_dir)), "excludes": list(EXCLUDED)}
        for attempt in range(1, attempts + 1):
            job = first if attempt == 1 else f"{first}-{attempt}"
            run = self._look(job, attempt)
            if run is None:
                run = self._start(job, attempt, shlex.join(entrypoint), runtime)
            if run.status not in ("FAILED", "STOPPED") or not run.reused:
                return run
        raise UnavailableError(
            f"{attempts} runs of {first} failed or were stopped", fix="Read their logs before trying again"
        )

    def status(self, job: str) -> JobRun:
        """How a run stands; `NotFoundError` when the cluster does not know it."""
        run = self._look(job, _attempt(job))
        if run is None:
            raise NotFoundError(f"the cluster knows no job {job!r}", where=self.address)
        return replace(run, reused=False)

    def runs(self) -> list[JobRun]:
        """All submitted jobs that the cluster remembers, newest first."""
        found = [_run(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda run: run.started or 0, reverse=True)

    def logs(self, job: str) -> str:
        """What the run has written to stdout and stderr so far."""
        try:
            return str(self._client.get_job_logs(job))
        except RuntimeError as error:
            raise NotFoundError(f"no log of job {job!r}: {_one_line(error)}", where=self.address) from error

    def wait(self, job: str, deadline: float, *, on_status: Callable[[JobRun], None] | None = None) -> JobRun:
        """Wait until a run ends well, and return it.

        `on_status` is called whenever its state changes. Raises `JobFailedError` with the end of the log when it fails
        or is stopped, and `DeadlineExceededError` after `deadline` seconds; then the run is stopped.
        """
        until = time.monotonic() + deadline
        waiting = threading.Event()
        seen = ""
        while True:
            run = self.status(job)
            if run.status != seen and on_status is not None:
                on_status(run)
            seen = run.status
            if run.status == "SUCCEEDED":
                return run
            if run.finished:
                raise self._failure(run)
            if time.monotonic() > until:
                self._client.stop_job(job)
                raise DeadlineExceededError(
                    f"job {job} was {run.status.lower()} after {deadline:g} s and was stopped",
                    fix="A job that is pending waits for CPUs or for its runtime environment",
                    excerpt=self._tail(job),
                )
            waiting.wait(_POLL_SECONDS)

    def stop(self, job: str, deadline: float = 30.0) -> JobRun:
        """Ask a run to end (SIGTERM, then SIGKILL by Ray) and wait until it has."""
        self.status(job)
        self._client.stop_job(job)
        until = time.monotonic() + deadline
        waiting = threading.Event()
        while not (run := self.status(job)).finished:
            if time.monotonic() > until:
                raise DeadlineExceededError(f"job {job} did not stop within {deadline:g} s")
            waiting.wait(_POLL_SECONDS)
        return run

    def _look(self, job: str, attempt: int) -> JobRun | None:
        try:
            details = self._client.get_job_info(job)
        except RuntimeError as error:
            if "404" in str(error) or "does not exist" in str(error):
                return None
            raise UnavailableError(f"the job server did not answer: {_one_line(error)}", where=self.address) from error
        return replace(_run(details), attempt=attempt, reused=True)

    def _start(self, job: str, attempt: int, command: str, runtime: Mapping[str, Any]) -> JobRun:
        until = time.monotonic() + _AGENT_SECONDS
        try:
            while not self._accepted(job, command, runtime, last_try=time.monotonic() > until):
                threading.Event().wait(_POLL_SECONDS)
        except RuntimeError as error:
            # Somebody else may have submitted the same work since we looked.
            other = self._look(job, attempt)
            if other is None:
                raise UnavailableError(f"job {job} was refused: {_one_line(error)}", where=self.address) from error
            return other
        except ValueError as error:
            raise UsageError(f"job {job} cannot be sent: {_one_line(error)}", where="working_dir") from error
        return JobRun(job, "PENDING", command, attempt)

    def _accepted(self, job: str, command: str, runtime: Mapping[str, Any], last_try: bool) -> bool:
        try:
            self._client.submit_job(entrypoint=command, submission_id=job, runtime_env=dict(runtime))
        except RuntimeError as error:
            # A cluster that has just started answers before a node can start jobs.
            if last_try or "No available agent" not in str(error):
                raise
            return False
        return True

    def _failure(self, run: JobRun) -> JobFailedError:
        ending = f"exit code {run.exit_code}" if run.exit_code is not None else (run.error_type or "no exit code")
        return JobFailedError(
            f"job {run.submission_id} {run.status.lower()}, {ending}",
            where=run.error_type,
            fix="The end of its log follows" if run.status == "FAILED" else None,
            excerpt=self._tail(run.submission_id) or run.message,
        )

    def _tail(self, job: str) -> str | None:
        try:
            lines = self.logs(job).rstrip().splitlines()
        except MercuryError:
            return None
        return "\n".join(f"    {line}" for line in lines[-_LOG_LINES_IN_ERROR:]) or None


def _authorization() -> dict[str, str]:
    token = ray_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _run(details: Any) -> JobRun:
    return JobRun(
        submission_id=details.submission_id,
        status=str(getattr(details.status, "value", details.status)),
        entrypoint=details.entrypoint,
        attempt=_attempt(details.submission_id),
        message=details.message,
        error_type=str(details.error_type) if details.error_type else None,
        exit_code=details.driver_exit_code,
        started=details.start_time,
        ended=details.end_time,
    )


def _attempt(job: str) -> int:
    match = re.search(r"-[0-9a-f]{12}-(\d+)$", job)
    return int(match.group(1)) if match else 1


def _folder(path: str | Path) -> Path:
    folder = Path(path).resolve()
    if not folder.is_dir():
        raise UsageError(f"{str(path)!r} is no folder", where="working_dir")
    return folder


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
