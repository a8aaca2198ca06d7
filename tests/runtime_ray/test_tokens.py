"""The token of a Ray cluster is a shell on it: nobody else on the machine may read the file that we make."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mercury.runtime.tokens import ensure_token, ray_token


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without a token."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_new_token_is_readable_by_its_owner_only(home: Path) -> None:
    ensure_token()

    folder = home / ".ray"
    assert [path.name for path in folder.iterdir()] == ["auth_token"]
    assert stat.S_IMODE((folder / "auth_token").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    token = ray_token()
    assert token is not None and len(bytes.fromhex(token)) == 32


def test_a_token_that_is_there_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_token()
    first = ray_token()
    ensure_token()
    assert ray_token() == first

    monkeypatch.setenv("HOME", str(home / "other"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    ensure_token()
    assert ray_token() == "given"
    assert not (home / "other").exists()
