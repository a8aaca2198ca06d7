"""A small table about people, its policy, and a project's settings around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mercury.config import Settings, load_settings
from mercury.definitions import BatchTable, Bounds, Budget, PrivacyPolicy
from mercury.lake import Lake
from mercury.tables import Table

VISITS = BatchTable(
    "visits",
    schema={"person": "string", "ts": "timestamp", "shop": "string", "spent": "float64", "items": "int64"},
    event_time="ts",
)
SHOPS = ["north", "south", "west"]


def policy(**options: Any) -> PrivacyPolicy:
    given: dict[str, Any] = {
        "source": VISITS,
        "unit": "person",
        "budget": Budget(10.0, 1e-6),
        "epsilon": 1.0,
        "max_groups": 2,
        "max_rows": 3,
        "bounds": {"spent": Bounds(0, 50, step=0.01), "items": Bounds(0, 10)},
        "public_keys": {"shop": SHOPS},
    }
    return PrivacyPolicy("visits", **{**given, **options})


def visits(people: int, seed: int, shops: int = 3) -> pa.Table:
    """Several visits of each person; the first people come far more often than others."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), rng.zipf(1.6, people).clip(max=40))
    count = len(person)
    return pa.table(
        {
            "person": pa.array([f"p{number}" for number in person], pa.string()),
            "ts": pa.array(np.arange(count), pa.timestamp("us", tz="UTC")),
            "shop": pa.array([(SHOPS * shops)[number] if shops == 3 else f"shop{number}"
                              for number in rng.integers(0, shops, count)], pa.string()),
            "spent": rng.lognormal(2, 1, count).round(2),
            "items": rng.integers(0, 12, count),
        }
    )  # fmt: skip


def settings(folder: Path, rows: pa.Table, url: str | None = None) -> Settings:
    """A project's settings whose lake holds these visits."""
    variables = {"MERCURY_STATE": str(folder / "state")} | ({"MERCURY_REGISTRY_URL": url} if url else {})
    found = load_settings(folder / "mercury_project.py", variables)
    uri = Lake(found.lake).table("visits")
    Table.create(uri, rows.schema, exist_ok=True).append(rows)
    return found
