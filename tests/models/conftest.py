"""The first week of flights as tables and features of `risk_project.py`, and its model, trained once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mercury.config import Settings, load_settings
from mercury.definitions import FeatureView, Model, Project
from mercury.features import FeatureStore, materialize
from mercury.lake import Lake
from mercury.models import Fitted, fit
from mercury.projects import load_project
from mercury.tables import Table
from mercury.time import parse_instant

PROJECT = Path(__file__).with_name("risk_project.py")

WEEK = parse_instant("2013-01-08")


@dataclass(frozen=True)
class Risk:
    """A materialized project and the first version of its model; ``flights`` is what its labels' table holds."""

    settings: Settings
    project: Project
    model: Model
    flights: pa.Table
    fitted: Fitted


@pytest.fixture(scope="session")
def risk(tmp_path_factory: pytest.TempPathFactory, flights: pa.Table) -> Risk:
    """The project of `risk_project.py`, ready to be served."""
    state = tmp_path_factory.mktemp("risk")
    settings = load_settings(PROJECT, {"MERCURY_STATE": str(state)})
    week = first_week(flights)
    counts = week["airline"].value_counts()
    airlines = pa.table(
        {
            "airline": counts.field("values"),
            "flights": counts.field("counts").cast(pa.float64()),
            "since": pa.array([dt.datetime(2012, 1, 1, tzinfo=dt.UTC)] * len(counts), week["known"].type),
        }
    )
    lake = Lake(settings.lake)
    for name, rows in {"schedule": week, "airlines": airlines}.items():
        Table.create(lake.table(name), rows.schema).append(rows)
    project = load_project(settings.project)
    for view in project.of(FeatureView):
        materialize(FeatureStore.of(settings), view)
    model = project.get(Model, "risk")
    return Risk(settings, project, model, week, fit(model, settings))


def first_week(flights: pa.Table) -> pa.Table:
    """6,099 flights; ``airline`` is the place of the carrier's code among all, and a schedule is known a day ahead."""
    week = flights.filter(pc.less(flights["time_hour"].cast(pa.int64()), WEEK))
    carriers = pa.array(sorted(set(flights["carrier"].to_pylist())))
    return pa.table(
        {
            "flight_id": [f"F{number:05}" for number in np.arange(week.num_rows)],
            "airline": pc.index_in(week["carrier"], carriers).cast(pa.int64()),
            "carrier": week["carrier"],
            "origin": week["origin"],
            "distance": week["distance"].cast(pa.float64()),
            "hour": week["hour"].cast(pa.int64()),
            "sched_dep": week["time_hour"],
            "known": pc.subtract(week["time_hour"], pa.scalar(dt.timedelta(days=1))),
            "arr_delay": week["arr_delay"].cast(pa.float64()),
        }
    )
