"""Figures about running work in Prometheus' form: declared, kept as plain numbers, told over HTTP or by one Ray actor.

metrics = Metrics([Metric("mercury_demo_rows_total", "counter", "Rows written.", ("table",))])
metrics.record("mercury_demo_rows_total", 3, table="flights")
with MetricsEndpoint(metrics) as endpoint:
    print(endpoint.url)
"""

from mercury.runtime.metrics.endpoint import MetricsEndpoint
from mercury.runtime.metrics.metrics import SECONDS, Metric, Metrics, Recorder, Update
from mercury.runtime.metrics.monitor import MetricsMonitor, SharedMetrics, shared_metrics

__all__ = [
    "SECONDS",
    "Metric",
    "Metrics",
    "MetricsEndpoint",
    "MetricsMonitor",
    "Recorder",
    "SharedMetrics",
    "Update",
    "shared_metrics",
]
