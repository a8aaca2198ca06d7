"""What a monitor found: one entry per window, the alarms, and what must be known to trust them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mercury.observability.skew import Skew
from mercury.observability.statistics import Statistic
from mercury.time import to_iso

ASSUMPTION = (
    "While nothing changes, the rows of a window are drawn from a law within the tolerances of the reference's at the "
    "same hours of the day, and are as much alike as those of the reference's windows."
)


@dataclass(frozen=True)
class ColumnWindow:
    """One value in one window.

    Parameters
    ----------
    rows : of the window that hold the column.
    statistics : the ten, against all of the reference.
    changed : the frequent value, category or group whose share changed most, its share in the reference and now.
    e_value : of the window; ``evidence`` is that of a change at some window so far.
    shared : whether the column comes from what the rows of a window share, so that only what is missing, infinite or
        unseen in it is evidence.
    """

    rows: int
    statistics: Mapping[str, Statistic]
    changed: tuple[str, float, float] | None
    e_value: float
    evidence: float
    shared: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "rows": self.rows,
            "e_value": self.e_value,
            "evidence": self.evidence,
            "shared": self.shared,
            "changed": None if self.changed is None else list(self.changed),
            "statistics": {name: statistic.to_dict() for name, statistic in self.statistics.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ColumnWindow:
        """What `to_dict` wrote."""
        statistics = {name: Statistic(**({"value": None} | entry)) for name, entry in data["statistics"].items()}
        changed = None if data["changed"] is None else (data["changed"][0], data["changed"][1], data["changed"][2])
        return cls(data["rows"], statistics, changed, data["e_value"], data["evidence"], data["shared"])


@dataclass(frozen=True)
class WindowReport:
    """One window; ``start`` and ``end`` in microseconds UTC.

    Parameters
    ----------
    rows : predictions.
    per_column : by name: watched values, features, and ``score``.
    evidence : mean over all watched values; an alarm when it reaches the average run length in windows.
    columns : the values named in an alarm, strongest first.
    realised : quality by the labels that are known, None without any; ``estimated`` is CBPE's, None without predictions
        or a calibrated model.
    labels : how many predictions have a label (``known``) and the share that should have one by now (``expected``).
    """

    start: int
    end: int
    rows: int
    per_column: Mapping[str, ColumnWindow]
    evidence: float
    alarm: bool
    columns: Sequence[str]
    realised: Mapping[str, float | None] | None
    estimated: Mapping[str, float | None] | None
    labels: Mapping[str, float]

    @property
    def e_value(self) -> float:
        """The mean evidence."""
        return self.evidence

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "start": to_iso(self.start),
            "end": to_iso(self.end),
            "start_us": self.start,
            "end_us": self.end,
            "rows": self.rows,
            "evidence": self.evidence,
            "alarm": self.alarm,
            "columns": list(self.columns),
            "realised": None if self.realised is None else dict(self.realised),
            "estimated": None if self.estimated is None else dict(self.estimated),
            "labels": dict(self.labels),
            "per_column": {name: column.to_dict() for name, column in self.per_column.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WindowReport:
        """What `to_dict` wrote."""
        per_column = {name: ColumnWindow.from_dict(entry) for name, entry in data["per_column"].items()}
        rest = {
            name: data[name] for name in ("rows", "evidence", "alarm", "columns", "realised", "estimated", "labels")
        }
        return cls(start=data["start_us"], end=data["end_us"], per_column=per_column, **rest)


@dataclass(frozen=True)
class Alarm:
    """Consecutive windows in alarm: when it was raised (the end of its first window), when it ended, what was named."""

    start: int
    raised: int
    ended: int | None
    columns: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "start": to_iso(self.start),
            "raised": to_iso(self.raised),
            "ended": None if self.ended is None else to_iso(self.ended),
            "columns": list(self.columns),
        }


@dataclass(frozen=True)
class MonitorReport:
    """What a monitor found in all windows since its model learned.

    Parameters
    ----------
    version : of the model whose training set is the reference; None without a champion.
    learned : the last instant of the reference, and ``until`` that of the windows, microseconds UTC.
    run_length : average number of windows to a false alarm, at least: what ``evidence`` is held against.
    maturity : lag in microseconds and share of the labels that are known within it.
    skew : served features against the point-in-time join; None when there is nothing to compare.
    reference : metrics of the model on the held-out part of its training set.
    notes : what was left out, and why.
    """

    monitor: str
    model: str
    version: str | None
    learned: int
    until: int
    run_length: float
    windows: Sequence[WindowReport]
    maturity: Sequence[tuple[int, float]]
    skew: Skew | None
    reference: Mapping[str, float | None] | None
    notes: Sequence[str]
    assumption: str = field(default=ASSUMPTION)

    @property
    def alarms(self) -> list[Alarm]:
        """Runs of windows in alarm."""
        found: list[Alarm] = []
        open_ = False
        for window in self.windows:
            if window.alarm and not open_:
                found.append(Alarm(window.start, window.end, None, list(window.columns)))
            elif window.alarm:
                named = list(dict.fromkeys([*found[-1].columns, *window.columns]))
                found[-1] = replace(found[-1], columns=named)
            elif open_:
                found[-1] = replace(found[-1], ended=window.start)
            open_ = window.alarm
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            **self.header(),
            "alarms": [alarm.to_dict() for alarm in self.alarms],
            "windows": [window.to_dict() for window in self.windows],
        }

    def header(self) -> dict[str, Any]:
        """What is not of a window, JSON-ready."""
        return {
            "monitor": self.monitor,
            "model": self.model,
            "version": self.version,
            "learned": to_iso(self.learned),
            "until": to_iso(self.until),
            "learned_us": self.learned,
            "until_us": self.until,
            "run_length_windows": self.run_length,
            "assumption": self.assumption,
            "maturity": [[lag, share] for lag, share in self.maturity],
            "skew": None if self.skew is None else self.skew.to_dict(),
            "reference": None if self.reference is None else dict(self.reference),
            "notes": list(self.notes),
        }

    @classmethod
    def from_parts(cls, header: Mapping[str, Any], windows: Sequence[Mapping[str, Any]]) -> MonitorReport:
        """The report of what `header` and the windows' `to_dict` gave."""
        return cls(
            monitor=header["monitor"],
            model=header["model"],
            version=header["version"],
            learned=header["learned_us"],
            until=header["until_us"],
            run_length=header["run_length_windows"],
            windows=[WindowReport.from_dict(window) for window in windows],
            maturity=[(int(lag), share) for lag, share in header["maturity"]],
            skew=None if header["skew"] is None else Skew.from_dict(header["skew"]),
            reference=header["reference"],
            notes=header["notes"],
            assumption=header["assumption"],
        )


def shown(logarithm: float) -> float:
    """An e-value or evidence as a number that JSON and Prometheus can hold."""
    return math.exp(min(logarithm, 700.0)) if logarithm > -700 else 0.0
