"""Models in service watched: drift, quality with late labels or none, alarms with a promised rate of false ones.

    reference = reference_profile(training)
    then, now = profile(training, reference), profile(served, reference)
    compare(then, now).drifted              # columns that changed by more than the tolerance, for certain

Everything up to `Capture` and `run_monitor` is pure and needs neither Ray nor a project.
"""

from mercury.observability.drift import ColumnDrift, DriftReport, compare
from mercury.observability.profiles import ColumnProfile, Profile, merge, profile
from mercury.observability.reference import Reference, reference_profile
from mercury.observability.statistics import STATISTICS, Statistic

__all__ = [
    "STATISTICS",
    "ColumnDrift",
    "ColumnProfile",
    "DriftReport",
    "Profile",
    "Reference",
    "Statistic",
    "compare",
    "merge",
    "profile",
    "reference_profile",
]
