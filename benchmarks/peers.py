"""Peers in environments of their own: made once from pinned requirements, so that they never meet Mercury's pins."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import ROOT, BenchmarkError


def python_of(name: str, requirements: Path, say: Callable[[str], None] = print) -> str:
    """The interpreter of the environment ``.env-<name>``, which is made when its requirements have changed."""
    home = ROOT / f".env-{name}"
    stamp, wanted = home / "requirements.sha256", hashlib.sha256(requirements.read_bytes()).hexdigest()
    python = home / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        say(f"making {home.name} of {requirements.relative_to(ROOT)}")
        _call([sys.executable, "-m", "venv", str(home)])
        _call([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)])
        stamp.write_text(wanted)
    return str(python)


def versions(python: str, packages: list[str]) -> dict[str, str]:
    """Versions of installed packages, as that interpreter sees them."""
    code = "import importlib.metadata as m, sys; print(*(m.version(p) for p in sys.argv[1:]))"
    told = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return dict(zip(packages, told.stdout.split(), strict=True))


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command[:4])} … failed\n{done.stderr[-2000:]}")
