"""Accounts with features, and which of them went bad."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.capture.project import FEATURES, project, risk
from mercury.config import Settings, load_settings
from mercury.definitions import FeatureView
from mercury.features import FeatureStore, materialize
from mercury.lake import Lake
from mercury.models import fit
from mercury.tables import Table

SEED = 20
ACCOUNTS = 20_000
KNOWN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ASKED = KNOWN + dt.timedelta(days=30)
"""When predictions are asked for; the outcomes that the model learned from came before."""


def settings_in(folder: Path) -> Settings:
    """The settings of the project in a folder."""
    return load_settings(folder / "mercury_project.py", {})


def write(folder: Path) -> None:
    """Write both tables, materialize the view and train the model."""
    settings = settings_in(folder)
    random = np.random.default_rng(SEED)
    values = random.normal(size=(len(FEATURES), ACCOUNTS))
    moment = pa.timestamp("us", tz="UTC")
    accounts = {"account": np.arange(ACCOUNTS), "known": pa.array([KNOWN] * ACCOUNTS, moment)}
    outcomes = {
        "account": np.arange(ACCOUNTS),
        "asked": pa.array([ASKED - dt.timedelta(minutes=number) for number in range(ACCOUNTS, 0, -1)], moment),
        "bad": values[:5].sum(axis=0) + random.normal(size=ACCOUNTS) > 2.0,
    }
    tables = {"accounts": accounts | dict(zip(FEATURES, values, strict=True)), "outcomes": outcomes}
    for name, columns in tables.items():
        rows = pa.table(columns)
        Table.create(Lake(settings.lake).table(name), rows.schema).append(rows)
    for view in project.of(FeatureView):
        materialize(FeatureStore.of(settings), view)
    fit(risk, settings)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
