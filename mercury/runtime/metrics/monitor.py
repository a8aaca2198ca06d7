"""The metrics of a whole cluster, owned by one Ray actor: the endpoint in one place, and Ray's own metrics kept alive.

Ray tells a gauge that is set once for some 20 to 30 seconds, and the counters of a dead actor for ever. So no worker
has gauges of its own: it sends updates to the monitor, which keeps them and sets them again every few seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from mercury.runtime.metrics.endpoint import MetricsEndpoint
from mercury.runtime.metrics.metrics import Metric, Metrics, Update

NAME = "mercury-metrics"
"""Name of the monitor in Mercury's namespace; there is one per cluster."""

RESET_SECONDS = 5.0
"""How often the gauges are set again in Ray."""


class MetricsMonitor:
    """Metrics of many processes; a plain class, and an actor by `shared_metrics`.

    Parameters
    ----------
    port : where the text endpoint listens, on the loopback address of the monitor's node; 0 takes a free one.
    in_ray : also tell counters and gauges (not histograms) by Ray's metrics, where they are named ``ray_mercury_…``.
    """

    def __init__(self, port: int = 0, *, in_ray: bool = False) -> None:
        self._metrics = Metrics()
        self._endpoint = MetricsEndpoint(self._metrics, port)
        self._stopped = threading.Event()
        self._mirror = _RayMirror() if in_ray else None
        if self._mirror is not None:
            threading.Thread(target=self._keep_alive, args=(self._mirror,), name="metrics", daemon=True).start()

    def apply(self, metrics: Sequence[Metric], updates: Sequence[Update]) -> None:
        """Record updates of these metrics, which need not have been declared: a monitor that died knows none."""
        self._metrics.declare(metrics)
        self._metrics.apply(updates)

    def url(self) -> str:
        """Where to scrape."""
        return self._endpoint.url

    def text(self) -> str:
        """What a scrape gives, without the monitor's own process."""
        return self._metrics.text()

    def close(self) -> None:
        """Stop listening."""
        self._stopped.set()
        self._endpoint.close()

    def _keep_alive(self, mirror: _RayMirror) -> None:
        while not self._stopped.wait(RESET_SECONDS):
            mirror.show(self._metrics)


class SharedMetrics:
    """The recorder of processes that share a monitor: updates are sent and not waited for."""

    def __init__(self, monitor: Any, metrics: Sequence[Metric]) -> None:
        Metrics(metrics)  # Mistakes in declarations show here, not in the actor's log.
        self._monitor, self._metrics = monitor, tuple(metrics)

    def apply(self, updates: Sequence[Update]) -> None:
        """Send the updates; what the monitor misses while it is restarted is lost."""
        self._monitor.apply.remote(self._metrics, list(updates))

    @property
    def url(self) -> str:
        """Where to scrape; waits for the monitor."""
        import ray

        return str(ray.get(self._monitor.url.remote(), timeout=60))


def shared_metrics(metrics: Sequence[Metric], *, port: int = 0, in_ray: bool = True) -> SharedMetrics:
    """A recorder for the cluster that this process is connected to; the monitor is made when there is none.

    The monitor lives as long as the cluster, needs no CPU of its own, and starts again when it dies. ``port`` and
    ``in_ray`` count for whoever makes it.
    """
    import ray

    options: Mapping[str, Any] = {
        "name": NAME,
        "get_if_exists": True,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": -1,
        "max_concurrency": 1,
    }
    return SharedMetrics(ray.remote(MetricsMonitor).options(**options).remote(port, in_ray=in_ray), metrics)


class _RayMirror:
    """Repeats counters and gauges in Ray's own metrics."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._told: dict[tuple[str, tuple[str, ...]], float] = {}

    def show(self, metrics: Metrics) -> None:
        """Set all gauges, and add to the counters what they have grown by."""
        from ray.util.metrics import Counter, Gauge

        for metric, labels, value in metrics.samples("gauge"):
            self._find(metric, Gauge).set(value, tags=labels)
        for metric, labels, value in metrics.samples("counter"):
            key = metric.name, tuple(labels.values())
            grown = value - self._told.get(key, 0.0)
            if grown > 0:
                self._find(metric, Counter).inc(grown, tags=labels)
                self._told[key] = value

    def _find(self, metric: Metric, kind: Any) -> Any:
        if metric.name not in self._known:
            self._known[metric.name] = kind(metric.name, metric.help, tag_keys=metric.labels)
        return self._known[metric.name]
