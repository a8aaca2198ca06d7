"""A monitor's last findings as Prometheus metrics: gauges of the last closed window, set anew by every run."""

from __future__ import annotations

from collections.abc import Iterator

from mercury.models.capture import CAPTURE_METRICS
from mercury.observability.results import MonitorReport, WindowReport
from mercury.runtime.metrics import Metric, Recorder, Update
from mercury.time import SECOND

_MONITOR = ("monitor", "model")

MONITOR_METRICS = (
    Metric("mercury_monitor_alarm", "gauge", "1 while the monitor is in alarm.", _MONITOR),
    Metric(
        "mercury_monitor_evidence_ratio",
        "gauge",
        "Mean evidence of a change over the average run length that is promised; an alarm from 1 on.",
        _MONITOR,
    ),
    Metric(
        "mercury_monitor_column_evidence",
        "gauge",
        "Evidence that a value has changed, at most what raises an alarm by itself.",
        (*_MONITOR, "column"),
    ),
    Metric(
        "mercury_monitor_column_named",
        "gauge",
        "1 for a value that is named in an alarm.",
        (*_MONITOR, "column"),
    ),
    Metric(
        "mercury_monitor_statistic",
        "gauge",
        "A statistic of the last window against the reference.",
        (*_MONITOR, "column", "statistic"),
    ),
    Metric("mercury_monitor_window_rows", "gauge", "Predictions in the last window.", _MONITOR),
    Metric(
        "mercury_monitor_window_end_seconds", "gauge", "End of the last closed window, in seconds since 1970.", _MONITOR
    ),
    Metric(
        "mercury_monitor_quality",
        "gauge",
        "Quality in a window, by labels (realised, the last window that has some) or without (estimated).",
        (*_MONITOR, "metric", "source"),
    ),
    Metric("mercury_monitor_labels_known_ratio", "gauge", "Share of all predictions that have their label.", _MONITOR),
    Metric(
        "mercury_monitor_skew_ratio",
        "gauge",
        "Share of served values of a feature that differ from the point-in-time join.",
        (*_MONITOR, "column"),
    ),
    *CAPTURE_METRICS,
)
"""All that a monitor and the capture of predictions tell."""

QUALITIES = ("auc", "accuracy", "f1", "brier")


def publish(report: MonitorReport, recorder: Recorder) -> None:
    """Set the gauges of a monitor to what a report found; without a closed window nothing is set but the labels."""
    recorder.apply(list(_updates(report)))


def _updates(report: MonitorReport) -> Iterator[Update]:
    own = {"monitor": report.monitor, "model": report.model}
    predictions = sum(window.rows for window in report.windows)
    known = sum(int(window.labels["known"]) for window in report.windows)
    yield Update("mercury_monitor_labels_known_ratio", known / predictions if predictions else 0.0, own)
    if report.skew is not None:
        for name, feature in report.skew.features.items():
            share = feature.differing / max(report.skew.rows, 1)
            yield Update("mercury_monitor_skew_ratio", share, {**own, "column": name})
    if not report.windows:
        return
    last = report.windows[-1]
    yield Update("mercury_monitor_alarm", float(last.alarm), own)
    yield Update("mercury_monitor_evidence_ratio", last.evidence / report.run_length, own)
    yield Update("mercury_monitor_window_rows", last.rows, own)
    yield Update("mercury_monitor_window_end_seconds", last.end / SECOND, own)
    for name, column in last.per_column.items():
        labels = {**own, "column": name}
        yield Update("mercury_monitor_column_evidence", column.evidence, labels)
        yield Update("mercury_monitor_column_named", float(name in last.columns), labels)
        for statistic, found in column.statistics.items():
            yield Update("mercury_monitor_statistic", found.value, {**labels, "statistic": statistic})
    yield from _qualities(report, own)


def _qualities(report: MonitorReport, own: dict[str, str]) -> Iterator[Update]:
    def latest(source: str) -> WindowReport | None:
        return next((window for window in reversed(report.windows) if getattr(window, source) is not None), None)

    for source in ("realised", "estimated"):
        window = latest(source)
        for metric in QUALITIES:
            value = None if window is None else getattr(window, source)[metric]
            yield Update("mercury_monitor_quality", value, {**own, "metric": metric, "source": source})
