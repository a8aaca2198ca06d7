"""A project in a folder, for tests that read what its runs told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mercury.config import Settings, load_settings
from tests.runtime_lineage.shops import set_up


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a project file that no repository holds."""
    for name in ("OPENLINEAGE_PARENT_ID", "OPENLINEAGE_NAMESPACE", "OPENLINEAGE_API_KEY", "LINEAGE_CODE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "mercury_project.py").write_text("project = None\n")
    return load_settings(tmp_path / "mercury_project.py", {})


@pytest.fixture
def shops(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The project of `tests.runtime_lineage.shops`, in whose folder the test runs."""
    monkeypatch.chdir(settings.project.parent)
    set_up(settings)
    return settings
