"""A Ray session: joins the cluster that is named, or starts a local one that listens on loopback only.

Ray's token authentication stays on: a local start finds the token in ``~/.ray/auth_token`` or makes it, and a driver
that joins a cluster finds it there or in ``RAY_AUTH_TOKEN_PATH``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mercury.errors import MissingDependencyError, UnavailableError
from mercury.runtime.head import ray_head
from mercury.runtime.java import java_command
from mercury.runtime.loopback import LOOPBACK
from mercury.runtime.tokens import ensure_token, use_token

if TYPE_CHECKING:
    from mercury.config import Settings

LOCAL = "local"
"""The address that means: start one here. Never leave the address out: Ray would join any cluster on the machine."""

NAMESPACE = "mercury"
"""Ray namespace of named actors."""

MIN_CPUS = 4
"""Logical CPUs of a local Ray on a smaller machine: operators that hold one each would wait for ever on two."""

OBJECT_STORE_BYTES = 1 << 30
"""Object store of a local Ray; what does not fit is spilled to disk."""

LOOPBACK_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""The variable that, at 0, makes Ray's processes listen on 127.0.0.1 only (`stay_on_loopback`)."""

_START_ATTEMPTS = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RaySession:
    """A running Ray.

    ``address`` is the GCS address (host:port); ``dashboard_url`` is None where no dashboard runs, and then no job can
    be submitted; ``owned`` says whether this session started the cluster and ends it.
    """

    address: str
    dashboard_url: str | None
    owned: bool


@contextlib.contextmanager
def ray_session(
    settings: Settings | None = None,
    *,
    address: str | None = None,
    num_cpus: int | None = None,
    dashboard: bool = False,
    object_store_bytes: int = OBJECT_STORE_BYTES,
    runtime_env: Mapping[str, Any] | None = None,
) -> Iterator[RaySession]:
    """Connect this process to Ray for the length of the block.

    The first of these that is given counts: a Ray that this process is connected to already (which is left as it is),
    `address`, ``settings.ray_address``, the environment's ``RAY_ADDRESS``. Without any, a local Ray starts with
    `num_cpus` logical CPUs (the machine's, at least `MIN_CPUS`) and ends with the block; `dashboard` adds the server
    that job submission needs. A raylet that aborts while it starts, as happens on a loaded machine, is started again.

    Raises `UnavailableError` when the cluster cannot be joined or a local one does not start.
    """
    import ray

    if ray.is_initialized():
        yield _describe(owned=False)
        return
    target = address or (settings.ray_address if settings is not None else None) or os.environ.get("RAY_ADDRESS")
    prepare_environment()
    local = not target or target == LOCAL
    cpus = num_cpus or max(MIN_CPUS, os.cpu_count() or 1)
    url: str | None = None
    with contextlib.ExitStack() as stack:
        if not local:
            assert target is not None
            _join(target, runtime_env)
        elif dashboard:
            stay_on_loopback()
            head, url = stack.enter_context(ray_head(cpus, object_store_bytes, _system_config(cpus)))
            _join(head, runtime_env)
        else:
            _start(cpus, object_store_bytes, runtime_env)
        stack.callback(ray.shutdown)
        yield _describe(owned=local, dashboard_url=url)


def prepare_environment(environment: dict[str, str] | None = None) -> dict[str, str]:
    """Set what Ray's processes must inherit, in the environment of this process or the one given, and return it.

    A Java runtime on the path (RayDP starts ``java`` by name), this Python on the path of jobs and for Spark's
    executors, no usage reports.
    """
    if environment is None:
        environment = os.environ  # type: ignore[assignment]
    assert environment is not None
    environment.setdefault("PYSPARK_PYTHON", sys.executable)
    environment.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _prepend_path(environment, Path(sys.executable).parent)
    environment.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    java = java_home(environment)
    if java is not None:
        environment["JAVA_HOME"] = str(java)
        _prepend_path(environment, java / "bin")
    return environment


def java_home(environment: Mapping[str, str]) -> Path | None:
    """The home of the Java to put on the path; None when the one that is there will do, and when there is none."""
    try:
        program = Path(java_command(environment)[0])
    except MissingDependencyError:
        return None  # Only Spark needs it, and says so.
    found = shutil.which("java", path=environment.get("PATH"))
    return None if found and Path(found) == program else program.parent.parent


def stay_on_loopback() -> None:
    """Let the Ray processes that this one starts, and this one, listen on 127.0.0.1 only.

    Ray takes 127.0.0.1 for "the address that other machines reach", and then listens everywhere, except where it
    believes that clusters are not supported; that switch is named for the systems it was made for.
    """
    os.environ[LOOPBACK_SWITCH] = "0"
    import ray._private.ray_constants as constants

    # Ray reads the variable when it is imported, which may have been before this.
    constants.ENABLE_RAY_CLUSTER = False


def check_reachable(address: str, timeout: float = 5.0) -> None:
    """Raise `UnavailableError` unless something listens at ``host:port``; Ray itself would wait for a minute or more.

    Other addresses ("auto", "ray://…") are left to Ray.
    """
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout).close()
    except OSError as error:
        raise UnavailableError(
            f"no Ray cluster answers at {address}: {error.strerror or error}",
            where="ray_address / RAY_ADDRESS",
            fix="Start it (`ray start --head`, `ray up cluster.yaml`), or leave the address out for a local one",
        ) from error


def ray_data_preset(cpus: int) -> None:
    """Set Ray Data's context of this process for a cluster of so many CPUs.

    Its defaults are made for large clusters: 32 footer actors per read and 200 shuffle partitions cost more than the
    work does on a few CPUs. Drivers call this; kernels that run in tasks must not import `ray.data` (2.7 CPU seconds).
    """
    os.environ.setdefault("RAY_DATA_PARQUET_FOOTER_NUM_ACTORS", str(max(1, cpus // 2)))
    import ray.data

    context = ray.data.DataContext.get_current()
    context.default_hash_shuffle_parallelism = 2 * cpus
    context.min_parallelism = 2 * cpus
    context.read_op_min_num_blocks = 2 * cpus
    context.enable_progress_bars = False


def _prepend_path(environment: dict[str, str], folder: Path) -> None:
    entries = environment.get("PATH", os.defpath).split(os.pathsep)
    if entries[0] != str(folder):
        environment["PATH"] = os.pathsep.join((str(folder), *entries))


def original_error(error: BaseException) -> BaseException:
    """What a task or an actor's method raised, freed from Ray's wrappers."""
    cause = getattr(error, "cause", None)
    while cause is not None and getattr(cause, "cause", None) is not None:
        cause = cause.cause
    return cause if isinstance(cause, BaseException) else error


def _join(address: str, runtime_env: Mapping[str, Any] | None) -> None:
    import ray

    check_reachable(address)
    if address.partition(":")[0] in (LOOPBACK, "localhost"):
        stay_on_loopback()
    use_token()
    try:
        _tell_in_the_log()
        ray.init(
            address=address,
            namespace=NAMESPACE,
            runtime_env=dict(runtime_env) if runtime_env else None,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except Exception as error:
        ray.shutdown()
        raise UnavailableError(
            f"no Ray cluster can be joined at {address}: {_first_line(error)}",
            where="ray_address / RAY_ADDRESS",
            fix="Check that it runs (`ray status`) and that ~/.ray/auth_token or RAY_AUTH_TOKEN_PATH holds its token",
        ) from error


def _tell_in_the_log() -> None:
    """Let what the cluster reports (dead workers, lack of memory) go to the log; Ray prints it on standard output."""
    import ray._private.worker as worker

    def tell(data: Mapping[str, Any], ignore_prefix: bool) -> None:
        for line in data["lines"]:
            # Serve ends its controller this way itself.
            if "ServeController.graceful_shutdown" not in line:
                _log.warning("Ray reports: %s", line.strip())

    worker.print_to_stdstream = tell


def _system_config(cpus: int) -> dict[str, int]:
    # Idle workers stay: starting one costs about a CPU second, more than most tasks take.
    return {"num_workers_soft_limit": cpus, "idle_worker_killing_time_threshold_ms": 600_000}


def _start(cpus: int, object_store_bytes: int, runtime_env: Mapping[str, Any] | None) -> None:
    import ray

    stay_on_loopback()
    ensure_token()
    failure: Exception | None = None
    for attempt in range(_START_ATTEMPTS):
        try:
            _tell_in_the_log()
            ray.init(
                address=LOCAL,
                namespace=NAMESPACE,
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=object_store_bytes,
                runtime_env=dict(runtime_env) if runtime_env else None,
                log_to_driver=False,
                logging_level=logging.WARNING,
                _system_config=_system_config(cpus),
            )
            return
        except ValueError:
            raise
        except Exception as error:
            failure = error
            ray.shutdown()
            _log.warning("Ray did not start (attempt %d of %d): %s", attempt + 1, _START_ATTEMPTS, _first_line(error))
    assert failure is not None
    raise UnavailableError(
        f"a local Ray did not start in {_START_ATTEMPTS} attempts: {_first_line(failure)}",
        fix="Free memory or CPU (the logs are in /tmp/ray/session_latest/logs), or name a cluster in RAY_ADDRESS",
    ) from failure


def _describe(*, owned: bool, dashboard_url: str | None = None) -> RaySession:
    import ray
    import ray._private.services as services

    if dashboard_url is None:
        found = services.get_webui_url_from_internal_kv()
        dashboard_url = f"http://{found}" if found else None
    return RaySession(ray.get_runtime_context().gcs_address, dashboard_url, owned)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
