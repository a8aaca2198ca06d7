"""Which code a run is of: the commit of the project's checkout, else the hash of the project file."""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import mercury

CODE_VARIABLE = "LINEAGE_CODE"
"""``kind version url`` for processes that run a copy of the project, where no checkout can be seen."""

_GIT_SECONDS = 5.0


class Code(NamedTuple):
    """A version of a project's code.

    ``kind`` is "git" (``version`` is the commit, with ``-dirty`` behind it when tracked files of the project's folder
    have changed since), "file" (SHA-256 of the project file, which is in no commit) or "package" (Mercury's own
    version, where there is no project file). ``url`` is the project file's.
    """

    kind: str
    version: str
    url: str


@lru_cache(maxsize=64)
def code_version(project: Path) -> Code:
    """The version of a project's code, found once per process."""
    given = os.environ.get(CODE_VARIABLE, "").split(" ")
    if len(given) == len(Code._fields):
        return Code(*given)
    url = project.absolute().as_uri()
    commit = _commit(project)
    if commit is not None:
        return Code("git", commit, url)
    try:
        return Code("file", hashlib.sha256(project.read_bytes()).hexdigest(), url)
    except OSError:
        return Code("package", mercury.__version__, url)


def _commit(project: Path) -> str | None:
    try:
        status = _git(project, "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--", ".")
        _git(project, "ls-files", "--error-unmatch", "--", project.name)
    except (OSError, subprocess.SubprocessError):
        return None  # No checkout, no git, a file that is in no commit, or a network drive that hangs.
    lines = status.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    if commit == "(initial)":
        return None
    return commit if all(line.startswith("#") for line in lines) else f"{commit}-dirty"


def _git(project: Path, *arguments: str) -> str:
    # Hooks set GIT_DIR to another repository; and looking must not lock the index of a user who is at work in it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(project.parent), *arguments],
        capture_output=True,
        text=True,
        timeout=_GIT_SECONDS,
        check=True,
        env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
    )
    return done.stdout
