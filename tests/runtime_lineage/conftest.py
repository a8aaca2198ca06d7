"""A project in a folder, for tests that read what its runs told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mercury.config import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a project file that no repository holds."""
    for name in ("OPENLINEAGE_PARENT_ID", "OPENLINEAGE_NAMESPACE", "OPENLINEAGE_API_KEY", "LINEAGE_CODE_VERSION"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "mercury_project.py").write_text("project = None\n")
    return load_settings(tmp_path / "mercury_project.py", {})
