"""What others see of a monitor: Prometheus metrics, alert rules and a Grafana dashboard, all from one list of names."""

from mercury.observability.publishing.dashboard import dashboard
from mercury.observability.publishing.figures import MONITOR_METRICS, publish
from mercury.observability.publishing.files import write_rules
from mercury.observability.publishing.rules import rules

__all__ = ["MONITOR_METRICS", "dashboard", "publish", "rules", "write_rules"]
