"""Badges of tiles: which metrics are computed from a value that a monitor of the same source is in alarm about."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mercury.config import Settings
from mercury.definitions import Aggregate, Derived, Monitor, Project, Ratio, SemanticModel
from mercury.errors import MercuryError, NotFoundError
from mercury.expressions import Expression
from mercury.observability.results import MonitorReport
from mercury.time import to_iso

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Badge:
    """Why a metric's figure may not mean what it meant.

    Parameters
    ----------
    monitor : whose alarm it is.
    value : the watched value that the alarm names.
    since : beginning of the first window in alarm, microseconds UTC.
    detail : what changed, in words.
    """

    monitor: str
    value: str
    since: int
    detail: str

    def to_dict(self) -> dict[str, str]:
        """JSON-ready form."""
        return {"monitor": self.monitor, "value": self.value, "since": to_iso(self.since), "detail": self.detail}


def badges(model: SemanticModel, reports: Mapping[Monitor, MonitorReport]) -> dict[str, list[Badge]]:
    """Badges by metric, for those that have any.

    A metric is touched when its expression or its own condition reads a column that a watched value is computed from.
    Of a report only an alarm that still lasts counts. Monitors of other sources are left out.
    """
    found: dict[str, list[Badge]] = {}
    for monitor, report in reports.items():
        if monitor.model is None or monitor.model.labels != model.source:
            continue
        for badge in _raised(report):
            if badge.value not in monitor.watch:
                continue
            columns = Expression.parse(monitor.watch[badge.value]).columns
            for name in model.metrics:
                if columns & _columns(model, name):
                    found.setdefault(name, []).append(badge)
    return found


class BadgeReader:
    """Badges from the monitors' last reports, read again when their tables have moved on; safe in several threads."""

    def __init__(self, project: Project, settings: Settings) -> None:
        self._monitors: Sequence[Monitor] = project.of(Monitor)
        self._settings = settings
        self._known: dict[str, tuple[int, MonitorReport]] = {}
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def of(self, model: SemanticModel) -> dict[str, list[Badge]]:
        """Badges of a model now; a report that cannot be read gives none, and is logged once."""
        mine = [monitor for monitor in self._monitors if monitor.model and monitor.model.labels == model.source]
        reports = {}
        with self._lock:
            for monitor in mine:
                report = self._report(monitor)
                if report is not None:
                    reports[monitor] = report
        return badges(model, reports)

    def _report(self, monitor: Monitor) -> MonitorReport | None:
        from mercury.lake import Lake
        from mercury.observability import last_report
        from mercury.tables import Table

        try:
            version = Table.open(Lake(self._settings.lake).alarms(monitor.name)).version
            if monitor.name not in self._known or self._known[monitor.name][0] != version:
                self._known[monitor.name] = version, last_report(monitor, self._settings)
            return self._known[monitor.name][1]
        except NotFoundError:
            return None
        except MercuryError as error:
            if monitor.name not in self._told:
                self._told.add(monitor.name)
                _log.warning("the last report of %s cannot be read: %s", monitor.address, error)
            return None


def _raised(report: MonitorReport) -> Iterator[Badge]:
    """A badge for each value that the alarm which still lasts has named."""
    if not report.alarms or report.alarms[-1].ended is not None:
        return
    alarm = report.alarms[-1]
    lasting = [window for window in report.windows if window.start >= alarm.start]
    for value in alarm.columns:
        window = next((each for each in lasting if value in each.columns), lasting[0])
        changed = window.per_column[value].changed
        detail = "changed" if changed is None else f"{changed[0]} from {changed[1]:.1%} to {changed[2]:.1%}"
        yield Badge(report.monitor, value, alarm.start, detail)


def _columns(model: SemanticModel, name: str) -> frozenset[str]:
    """The columns of the source that a metric is computed from; the model's own condition is not among them."""
    metric = model.metrics[name]
    if isinstance(metric, Aggregate):
        texts = [text for text in (metric.of, metric.where) if text is not None]
        return frozenset().union(*(Expression.parse(text).columns for text in texts))
    if isinstance(metric, Ratio):
        parts = {metric.numerator, metric.denominator}
    else:
        assert isinstance(metric, Derived) and metric.expression is not None
        parts = set(Expression.parse(metric.expression).columns)
    return frozenset().union(*(_columns(model, part) for part in parts))


__all__ = ["Badge", "BadgeReader", "badges"]
