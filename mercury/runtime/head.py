"""A Ray head of our own with a job server, as child processes that end with this process.

`ray.init` cannot place the agent that starts jobs: its port is fixed, so a second Ray on the machine has none. `ray
start` can, and with its ports given it does not abort on a loaded machine, where agreeing on free ones takes too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mercury.errors import UnavailableError
from mercury.runtime.loopback import LOOPBACK, free_ports
from mercury.runtime.tokens import ensure_token

START_DEADLINE = 60.0
"""Seconds until the head must answer."""

_STOP_SECONDS = 30.0

# Told to end, a head waits half a minute for its node to be idle, so that Serve can move requests to other nodes. Ours
# has no other nodes, and what is left of jobs and of Serve keeps it from ever being idle.
_NO_DRAIN = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}

# The head ends when its standard input does, which happens however this process ends.
_WATCHED = '"$@" & child=$!; cat > /dev/null; kill -TERM $child 2> /dev/null; wait $child'


@contextlib.contextmanager
def ray_head(num_cpus: int, object_store_bytes: int, system_config: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Start a head on free ports of the loopback interface; yields its address, ``127.0.0.1:port``, and the URL of its
    dashboard, which is the job server.

    The environment of this process must have been prepared (`mercury.runtime.session`). Raises `UnavailableError` when
    it ends or does not answer within `START_DEADLINE`.
    """
    program = Path(sys.executable).parent / "ray"
    ensure_token()
    gcs, dashboard, *agents = free_ports(6)
    names = (
        "dashboard-agent-listen-port",
        "dashboard-agent-grpc-port",
        "metrics-export-port",
        "runtime-env-agent-port",
    )
    options = [
        f"--port={gcs}",
        f"--dashboard-port={dashboard}",
        f"--dashboard-host={LOOPBACK}",
        "--include-dashboard=true",
        f"--num-cpus={num_cpus}",
        f"--object-store-memory={object_store_bytes}",
        f"--system-config={json.dumps(system_config)}",
        *(f"--{name}={port}" for name, port in zip(names, agents, strict=True)),
    ]
    command = [
        "sh",
        "-c",
        _WATCHED,
        "sh",
        str(program),
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
        *options,
    ]
    address = f"{LOOPBACK}:{gcs}"
    with tempfile.TemporaryFile("w+") as log, _current_cluster_kept(address):
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "RAY_AUTH_MODE": "token", **_NO_DRAIN},
            start_new_session=True,
        )
        try:
            _await(gcs, dashboard, process, log)
            yield address, f"http://{LOOPBACK}:{dashboard}"
        finally:
            _stop(process)


@contextlib.contextmanager
def _current_cluster_kept(address: str) -> Iterator[None]:
    """Leave Ray's note of the machine's current cluster as it was, once the head at ``address`` has ended.

    `ray start` overwrites it and a head that is told to end leaves it: whoever calls `ray.init` next, for another
    project, would wait a minute for a head that is gone.
    """
    from ray._common.utils import get_ray_address_file

    note = Path(get_ray_address_file(None))
    before = note.read_text() if note.exists() else None
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            if note.read_text().strip() == address:
                note.unlink() if before is None else note.write_text(before)


def _await(gcs: int, dashboard: int, process: subprocess.Popen[bytes], log: object) -> None:
    until = time.monotonic() + START_DEADLINE
    waiting = threading.Event()
    for port in (gcs, dashboard):
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise UnavailableError(
                    f"a local Ray head did not start: {_last_line(log)}",
                    fix="Free memory or CPU (the logs are in /tmp/ray/session_latest/logs), or name a cluster in "
                    "RAY_ADDRESS",
                )
            waiting.wait(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_STOP_SECONDS)


def _answers(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), 1).close()
    except OSError:
        return False
    return True


def _last_line(log: object) -> str:
    log.seek(0)  # type: ignore[attr-defined]
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]  # type: ignore[attr-defined]
    return lines[-1] if lines else "it wrote nothing"
