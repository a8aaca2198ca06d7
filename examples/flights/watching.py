"""The story's monitor: every day since the model learned, and the day on which the feed began to lose delays."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flights.board import Step
from mercury.definitions import Monitor
from mercury.errors import DataError, DeadlineExceededError
from mercury.observability import MonitorReport, run_monitor
from mercury.observability.publishing import write_rules
from mercury.observability.report import page
from mercury.tables import Table
from mercury.time import DAY, to_iso

if TYPE_CHECKING:
    from flights.story import Story

CAPTURE_SECONDS = 30.0


def watch(story: Story, shown: Step) -> None:
    """Look at every day since the model learned: an alarm for the fault, none on the clean days before it."""
    monitor = story.project.get(Monitor, "delay_watch")
    assert monitor.model is not None
    captured = _captured(story, monitor.model.name)
    shown.say("looking at every day since the model learned")
    report = run_monitor(story.project, monitor, story.settings)
    (story.settings.state / "monitor.html").write_text(page(report), encoding="utf-8")
    write_rules([monitor], story.settings.state / "monitoring")
    fault = story.options.zeroed_from
    clean = [window for window in report.windows if window.end <= fault]
    early = [window for window in clean if window.alarm]
    late = [alarm for alarm in report.alarms if alarm.raised > fault]
    if early or not late:
        found = f"alarms at {[to_iso(alarm.raised) for alarm in report.alarms]}, the fault at {to_iso(fault)}"
        raise DataError(f"the monitor did not tell the fault from the clean days: {found}", where="monitor.html")
    if "dep_delay" not in late[0].columns:
        raise DataError(f"the alarm names {', '.join(late[0].columns)}, and not dep_delay", where="monitor.html")
    # Few flights of a day are predicted: their quality is looked at over several days at a time.
    quality = run_monitor(
        story.project, replace(monitor, window=story.options.quality_window), story.settings, write=False
    )
    story.outcome["monitor"] = _outcome(report, quality, captured, fault, late[0].raised)
    found = story.outcome["monitor"]
    what, then, now = found["changed"]
    shown.note(
        f"{len(clean)} clean days and no alarm; one {found['days_to_alarm']:.1f} days after the fault: "
        f"dep_delay {what} from {then:.1%} to {now:.1%}"
    )
    shown.note(
        f"{captured:,} predictions captured off the request path; {found['skew']['differing']} of their features "
        f"differ from the point-in-time join"
    )


def _captured(story: Story, model: str) -> int:
    """Predictions in the lake once all of them are there: they are written every few seconds."""
    asked, deadline = story.outcome["requests"]["count"], time.monotonic() + CAPTURE_SECONDS
    address = story.lake.predictions(model)
    while True:
        kept = Table.open(address).read(columns=["prediction_id"]).num_rows if Table.exists(address) else 0
        if kept == asked:
            return int(kept)
        if time.monotonic() > deadline:
            raise DeadlineExceededError(f"{kept:,} of {asked:,} predictions captured in {CAPTURE_SECONDS:.0f} s")
        time.sleep(0.2)


def _outcome(report: MonitorReport, quality: MonitorReport, captured: int, fault: int, raised: int) -> dict[str, Any]:
    """What the page and the tests need, JSON-ready."""
    first = next(window for window in report.windows if window.alarm)
    return {
        "name": report.monitor,
        "captured": captured,
        "run_length_days": report.run_length,
        "fault": to_iso(fault),
        "raised": to_iso(raised),
        "days_to_alarm": round((raised - fault) / DAY, 2),
        "named": list(first.columns),
        "changed": list(first.per_column["dep_delay"].changed or ()),
        "alarms": [alarm.to_dict() for alarm in report.alarms],
        "days": [
            {
                "start": to_iso(window.start),
                "evidence": window.evidence,
                "alarm": window.alarm,
                "columns": list(window.columns),
                "moved": window.per_column["dep_delay"].statistics["l_infinity"].value,
            }
            for window in report.windows
            # The model learned in the middle of a day, of which little is left to look at.
            if window.start >= report.learned
        ],
        "quality": [
            {
                "start": to_iso(window.start),
                "rows": window.rows,
                "known": window.labels["known"],
                "realised": window.realised,
                "estimated": window.estimated,
            }
            for window in quality.windows
        ],
        "skew": None if report.skew is None else {"rows": report.skew.rows, "differing": report.skew.differing},
        "notes": list(report.notes),
    }
