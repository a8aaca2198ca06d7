"""The metrics server in this process, without Ray: for a laptop, a story that is told, a test."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn

from mercury.analytics.engine import Planner
from mercury.analytics.http import build_app
from mercury.errors import PortInUseError, UnavailableError

START_SECONDS = 30.0

GRACE_SECONDS = 1
"""How long open live pages are waited for at the end; their browsers come back by themselves."""


def bound(host: str, port: int) -> socket.socket:
    """A socket that holds the port, 0 for a free one; `PortInUseError` when something else does."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # From here on connections wait for the application instead of being refused.
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortInUseError(f"port {port} is taken", where=host, fix="Choose another one with --port") from error
    return listener


def address(listener: socket.socket) -> str:
    """The URL that a bound socket answers under."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(planner: Planner, listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    _server(planner).run(sockets=[listener])


@contextlib.contextmanager
def serving_metrics(planner: Planner, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve queries and the live page in a thread for the length of the block, and give their URL."""
    with bound(host, port) as listener:
        server = _server(planner)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="metrics", daemon=True)
        thread.start()
        ends = time.monotonic() + START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > ends:
                raise UnavailableError("the metrics server does not start", where=address(listener))
            time.sleep(0.01)
        try:
            yield address(listener)
        finally:
            server.should_exit = True
            thread.join(START_SECONDS)


def _server(planner: Planner) -> uvicorn.Server:
    config = uvicorn.Config(build_app(planner), log_level="warning", timeout_graceful_shutdown=GRACE_SECONDS)
    return uvicorn.Server(config)
