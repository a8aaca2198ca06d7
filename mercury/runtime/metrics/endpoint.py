"""A plain HTTP endpoint for Prometheus to scrape, on the loopback address unless told otherwise."""

from __future__ import annotations

import errno
from types import TracebackType

from mercury.errors import PortInUseError, UnavailableError
from mercury.runtime.metrics.metrics import Metrics

HOST = "127.0.0.1"


class MetricsEndpoint:
    """Answers every GET with the metrics as they are then, and with this process's CPU, memory and open files.

    Parameters
    ----------
    metrics : what is told.
    port : where to listen; 0 takes a free one.
    host : the address to listen at. There is no authentication: anyone who reaches it reads the figures.

    Raises `PortInUseError` when the port is taken, `UnavailableError` when it cannot be used for another reason.
    """

    def __init__(self, metrics: Metrics, port: int = 0, host: str = HOST) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

        registry = CollectorRegistry()
        registry.register(metrics)
        ProcessCollector(registry=registry)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(
                    f"port {port} is taken", where=host, fix="Choose another one for the metrics, or 0 for a free one"
                ) from error
            raise UnavailableError(
                f"the metrics cannot be told at {host}:{port}: {error.strerror or error}",
                fix="Choose another port, or 0 for a free one",
            ) from error
        self.host, self.port = host, int(self._server.server_port)

    @property
    def url(self) -> str:
        """Where to scrape."""
        return f"http://{self.host}:{self.port}/metrics"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsEndpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
