"""Models in service watched: drift, quality with late labels or none, alarms with a promised rate of false ones.

    reference, then = learn(training)
    now = profile(served, reference)
    compare(then, now).drifted                # columns that changed by more than the tolerance, for certain

    run_monitor(project, "delay_watch", settings).alarms

Everything but `Capture` and `run_monitor` is pure and needs neither Ray nor a project.
"""

from mercury.models.capture import Capture
from mercury.observability.drift import ColumnDrift, DriftReport, compare
from mercury.observability.monitor import last_report, run_monitor
from mercury.observability.parquet import ParquetColumns
from mercury.observability.profiles import ColumnProfile, Profile, learn, merge, profile
from mercury.observability.reference import Reference, reference_profile
from mercury.observability.results import Alarm, ColumnWindow, MonitorReport, WindowReport
from mercury.observability.statistics import STATISTICS, Statistic

__all__ = [
    "STATISTICS",
    "Alarm",
    "Capture",
    "ColumnDrift",
    "ColumnProfile",
    "ColumnWindow",
    "DriftReport",
    "MonitorReport",
    "ParquetColumns",
    "Profile",
    "Reference",
    "Statistic",
    "WindowReport",
    "compare",
    "last_report",
    "learn",
    "merge",
    "profile",
    "reference_profile",
    "run_monitor",
]
