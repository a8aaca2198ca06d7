"""Small projects to apply, and the process of a caller that applies in a race."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from mercury import Count, Entity, FeatureService, FeatureView, Kafka, Mean, Project, Stream, Window
from mercury.errors import ApplyConflictError
from mercury.registry import Registry


def project(
    lateness: str = "2h",
    over: str = "1d",
    windows: bool = True,
    contracts: Mapping[str, str] | None = None,
    name: str = "flights",
) -> Project:
    """A stream with a window, and a view of it that a service serves."""
    flights = Stream(
        "flights",
        source=Kafka("flights"),
        schema={"id": "string", "ts": "timestamp", "carrier": "string", "delay": "float64"},
        event_time="ts",
        key="id",
        lateness=lateness,
        contract="flights.odcs.yaml" if contracts else None,
    )
    carrier = Entity("carrier", keys="carrier")
    view = FeatureView(
        "carrier_delay",
        entity=carrier,
        source=flights,
        features={"flights_1d": Count(over=over), "late_1d": Mean("delay > 15", over=over)},
    )
    hourly = Window("hourly", source=flights, keys="carrier", size="1h", aggregates={"flights": Count()})
    parts = [flights, carrier, view, FeatureService("risk", views=[view]), *([hourly] if windows else [])]
    return Project(name, parts).with_contracts(contracts or {})


def race(url: str, caller: str, rounds: int) -> None:
    """Apply `rounds` revisions, each time planning anew; print won and lost rounds."""
    registry = Registry(url)
    won = lost = 0
    while won < rounds:
        try:
            registry.apply(registry.plan(project(lateness=f"{won + 1}s", over=f"{1 + won % 2}d", name=caller)))
            registry.apply(registry.plan(project(lateness=f"{int(caller[-1]) * 1000 + won}m", name="shared")))
            won += 1
        except ApplyConflictError:
            lost += 1
    print(won, lost)


if __name__ == "__main__":
    race(sys.argv[1], sys.argv[2], int(sys.argv[3]))
