"""Reports of monitors as a run would have left them."""

from __future__ import annotations

from mercury import Mean
from mercury.definitions import Entity, FeatureService, FeatureView, Model, Monitor
from mercury.observability import MonitorReport
from mercury.observability.results import ColumnWindow, WindowReport
from mercury.time import DAY, parse_instant
from tests.analytics.world import events

SINCE = parse_instant("2013-07-03")

plane = FeatureView("plane", Entity("plane", "tail"), events, {"seats": Mean("seats", over="1d")}, ttl="9d")
late = Model("late", service=FeatureService("plane_v1", [plane]), labels=events, label="delay > 15", event_time="ts")
watch = Monitor("watch", model=late, watch={"minutes": "delay / 60", "size": "seats"})


def report(*alarmed: bool, named: str = "minutes", monitor: str = "watch") -> MonitorReport:
    """A window for each day up to `SINCE`'s, the last of them so many days on, in alarm or not as told."""
    windows = [
        WindowReport(
            start=SINCE + place * DAY,
            end=SINCE + (place + 1) * DAY,
            rows=10,
            per_column={
                name: ColumnWindow(10, {}, ("= 0", 0.051, 0.149), 2.0, 3.0, False)
                for name in ("minutes", "size", "score")
            },
            evidence=8000.0 if alarm else 1.0,
            alarm=alarm,
            columns=[named] if alarm else [],
            realised=None,
            estimated=None,
            labels={"known": 0, "expected": 0.0},
        )
        for place, alarm in enumerate(alarmed)
    ]
    end = SINCE + len(alarmed) * DAY
    return MonitorReport(monitor, "late", "1", SINCE, end, 7305.0, windows, [], None, None, [])
