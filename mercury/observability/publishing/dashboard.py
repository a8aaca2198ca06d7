"""A Grafana dashboard of monitors, as JSON of Grafana's own schema, with a data source to choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

UID = "mercury-monitors"
"""Grafana keeps one dashboard of this id, however often it is imported."""

SCHEMA_VERSION = 39

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'monitor=~"$monitor"'


@dataclass(frozen=True)
class Panel:
    """One picture: what it shows, in words that name the figure, and the PromQL of its lines with their legends."""

    title: str
    kind: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    width: int = 12
    steps: Sequence[tuple[str, float | None]] = ()


PANELS = (
    Panel(
        "In alarm (1 = yes)",
        "stat",
        [(f"mercury_monitor_alarm{{{_CHOSEN}}}", "{{monitor}}")],
        width=6,
        steps=[("green", None), ("red", 1)],
    ),
    Panel(
        "Evidence of a change / promised average run length (alarm from 1 on)",
        "timeseries",
        [(f"mercury_monitor_evidence_ratio{{{_CHOSEN}}}", "{{monitor}}")],
        width=18,
        steps=[("green", None), ("red", 1)],
    ),
    Panel(
        "Evidence by value, the ten strongest",
        "timeseries",
        [(f"topk(10, mercury_monitor_column_evidence{{{_CHOSEN}}})", "{{column}}")],
    ),
    Panel(
        "Values named in the alarm (1 = named)",
        "table",
        [(f"sort_desc(mercury_monitor_column_named{{{_CHOSEN}}})", "{{column}}")],
    ),
    Panel(
        "Quality: realised by labels, and estimated without (AUC)",
        "timeseries",
        [(f'mercury_monitor_quality{{{_CHOSEN}, metric="auc"}}', "{{source}}")],
        unit="percentunit",
    ),
    Panel(
        "Quality: realised by labels, and estimated without (accuracy)",
        "timeseries",
        [(f'mercury_monitor_quality{{{_CHOSEN}, metric="accuracy"}}', "{{source}}")],
        unit="percentunit",
    ),
    Panel(
        "Kolmogorov-Smirnov distance from the reference (a distance, not a p-value)",
        "timeseries",
        [(f'mercury_monitor_statistic{{{_CHOSEN}, statistic="ks", column=~"$column"}}', "{{column}}")],
    ),
    Panel(
        "Greatest change of one share (L-infinity)",
        "timeseries",
        [(f'mercury_monitor_statistic{{{_CHOSEN}, statistic="l_infinity", column=~"$column"}}', "{{column}}")],
        unit="percentunit",
    ),
    Panel(
        "Change of the share of missing values",
        "timeseries",
        [(f'mercury_monitor_statistic{{{_CHOSEN}, statistic="missing", column=~"$column"}}', "{{column}}")],
        unit="percentunit",
    ),
    Panel(
        "Population stability index (ten groups)",
        "timeseries",
        [(f'mercury_monitor_statistic{{{_CHOSEN}, statistic="psi", column=~"$column"}}', "{{column}}")],
    ),
    Panel(
        "Served values that differ from the point-in-time join",
        "timeseries",
        [(f"mercury_monitor_skew_ratio{{{_CHOSEN}}}", "{{column}}")],
        unit="percentunit",
    ),
    Panel(
        "Predictions that have their label",
        "timeseries",
        [(f"mercury_monitor_labels_known_ratio{{{_CHOSEN}}}", "{{monitor}}")],
        unit="percentunit",
        width=6,
    ),
    Panel(
        "Predictions in the last window",
        "timeseries",
        [(f"mercury_monitor_window_rows{{{_CHOSEN}}}", "{{monitor}}")],
        width=6,
    ),
    Panel(
        "Age of the last closed window",
        "stat",
        [(f"time() - mercury_monitor_window_end_seconds{{{_CHOSEN}}}", "{{monitor}}")],
        unit="s",
        width=6,
    ),
    Panel(
        "Predictions written to the lake, per second",
        "timeseries",
        [("sum by (model) (rate(mercury_capture_rows_total[5m]))", "{{model}}")],
        unit="rowsps",
        width=9,
    ),
    Panel(
        "Predictions that were not kept, per second",
        "timeseries",
        [("sum by (model, reason) (rate(mercury_capture_dropped_total[5m]))", "{{model}} {{reason}}")],
        unit="rowsps",
        width=9,
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard; variables choose the data source, monitors and columns."""
    panels, x, y = [], 0, 0
    for number, panel in enumerate(PANELS, start=1):
        if x + panel.width > 24:
            x, y = 0, y + 8
        panels.append(_panel(panel, number, x, y))
        x += panel.width
    return {
        "uid": UID,
        "title": "Mercury: models in service",
        "tags": ["mercury"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
                _variable("monitor", "label_values(mercury_monitor_alarm, monitor)"),
                _variable("column", "label_values(mercury_monitor_statistic, column)"),
            ]
        },
        "panels": panels,
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.steps:
        steps = [{"color": colour, "value": value} for colour, value in panel.steps]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": 8},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _DATASOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": panel.kind == "table",
            }
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }
