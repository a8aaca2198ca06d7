"""The token of a Ray cluster: where it lies, and letting this process use it.

Ray finds the token itself but sends it only where token mode is set, and a driver or a client that is given an address
never sets it. Without this, joining a cluster that asks for a token fails in every process that did not start it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

MODE = "RAY_AUTH_MODE"


def ray_token(environment: Mapping[str, str] | None = None) -> str | None:
    """The token in ``RAY_AUTH_TOKEN``, in the file ``RAY_AUTH_TOKEN_PATH`` or in ``~/.ray/auth_token``, if any."""
    variables = os.environ if environment is None else environment
    token = variables.get("RAY_AUTH_TOKEN")
    if token:
        return token
    file = Path(variables.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    return file.read_text().strip() or None if file.is_file() else None


def use_token() -> None:
    """Send the token, if there is one, in all that this process and its children say to Ray."""
    if os.environ.get(MODE) is not None or ray_token() is None:
        return
    os.environ[MODE] = "token"
    from ray._raylet import Config

    # Ray has read the variable already if it was imported before.
    Config.initialize("")


def ensure_token() -> None:
    """Make ``~/.ray/auth_token`` unless there is a token: `ray start` makes none, `ray.init` one that all may read."""
    if ray_token() is not None:
        return
    file = Path.home() / ".ray" / "auth_token"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent) as made:  # readable by its owner only
        made.write(secrets.token_hex(32))
        made.flush()
        with contextlib.suppress(FileExistsError):  # Somebody else has made it since, and theirs counts.
            os.link(made.name, file)
