"""The project that is asked: flights of a year, their metrics, and four rollups."""

from __future__ import annotations

from mercury import (
    BatchTable,
    Count,
    CountDistinct,
    Mean,
    Project,
    Quantile,
    Ratio,
    Rollup,
    SemanticModel,
    Sum,
)

base = BatchTable(
    "base",
    schema={
        "carrier": "string",
        "origin": "string",
        "ts": "timestamp",
        "tail": "string",
        "distance": "int64",
        "dep_delay": "float64",
    },
    event_time="ts",
)
flights = SemanticModel(
    "flights",
    base,
    timezone="America/New_York",
    dimensions={"carrier": "carrier", "origin": "origin", "tail": "tail"},
    metrics={
        "flights": Count(),
        "late": Count(where="dep_delay > 15"),
        "late_rate": Ratio("late", "flights"),
        "miles": Sum("distance"),
        "mean_delay": Mean("dep_delay"),
        "p90": Quantile("dep_delay", 0.9, accuracy=0.01),
        "planes": CountDistinct("tail", exact=True),
    },
    rollups={
        "daily": Rollup("day", by=["carrier", "origin"], metrics=["late_rate", "miles", "mean_delay"]),
        "hourly": Rollup("hour", by=["carrier"], metrics=["late_rate", "miles", "mean_delay"]),
        "delays": Rollup("day", by=["carrier"], metrics=["p90"]),
        "planes": Rollup("day", metrics=["planes"]),
    },
)
project = Project("questions", [base, flights])
