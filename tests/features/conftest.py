"""A small store and definitions that the feature tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from mercury.features import FeatureStore
from mercury.lake import Lake


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """An empty store."""
    return FeatureStore(Lake(str(tmp_path / "lake")), tmp_path / "online")
