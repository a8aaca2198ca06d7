"""Prometheus alert rules of monitors, as code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mercury.definitions import Monitor
from mercury.time import SECOND, duration


def rules(monitors: Sequence[Monitor]) -> dict[str, Any]:
    """The rule file as a mapping: one group per monitor, and one for what serving keeps of its predictions."""
    return {"groups": [*(_group(monitor) for monitor in monitors), _capture()]}


def _group(monitor: Monitor) -> dict[str, Any]:
    assert monitor.model is not None
    mine = f'{{monitor="{monitor.name}"}}'
    late = duration(monitor.window) // SECOND
    about = {"monitor": monitor.name, "model": monitor.model.name}
    return {
        "name": f"mercury-monitor-{monitor.name}",
        "rules": [
            _rule(
                "MercuryModelChanged",
                f"mercury_monitor_alarm{mine} == 1",
                "critical",
                about,
                "{{ $labels.model }} sees other data than it learned from",
                f"The evidence of a change has reached what happens by chance once in {monitor.average_run_length}. "
                f"The values are named by mercury_monitor_column_named{mine}, and by: mercury monitor status",
            ),
            _rule(
                "MercuryMonitorBehind",
                f"time() - mercury_monitor_window_end_seconds{mine} > {3 * late}",
                "warning",
                about,
                "{{ $labels.monitor }} has not closed a window for three windows",
                "The monitor does not run, or no event arrives.",
                wait="15m",
            ),
            _rule(
                "MercuryNoPredictions",
                f"mercury_monitor_window_rows{mine} == 0",
                "warning",
                about,
                "No prediction of {{ $labels.model }} was captured in the last window",
                "Nobody asks, or what is asked is not captured: features and scores are not watched.",
            ),
            _rule(
                "MercuryFeatureSkew",
                f"max by (monitor, model, column) (mercury_monitor_skew_ratio{mine}) > 0.01",
                "warning",
                about,
                "{{ $labels.column }} is served otherwise than it is joined for training",
                "More than 1 % of its values differ. Look for late writes and for views that were not materialized.",
                wait="15m",
            ),
        ],
    }


def _capture() -> dict[str, Any]:
    return {
        "name": "mercury-capture",
        "rules": [
            _rule(
                "MercuryPredictionsDropped",
                "sum by (model, reason) (increase(mercury_capture_dropped_total[10m])) > 0",
                "warning",
                {},
                "Predictions of {{ $labels.model }} are not kept ({{ $labels.reason }})",
                "The monitor sees less than was served. Reason queue: more requests than the writer takes; "
                "reason write: the lake cannot be written.",
            )
        ],
    }


def _rule(
    name: str, expression: str, severity: str, labels: dict[str, str], summary: str, text: str, *, wait: str = "0m"
) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": wait,
        "labels": {"severity": severity, **labels},
        "annotations": {"summary": summary, "description": text},
    }
