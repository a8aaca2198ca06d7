"""Jars from Maven repositories, kept in a user cache, fetched by the Ivy that PySpark brings.

Nothing but pip and a Java is needed. Ivy's own settings file (``~/.ivy2/ivysettings.xml`` by `MERCURY_IVY_SETTINGS`)
names other repositories where the public ones cannot be reached.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mercury.errors import MissingDependencyError, UnavailableError
from mercury.runtime.java import java_command

DEADLINE_SECONDS = 300

COMPLETE = ".complete"
"""A file that says that a folder of jars holds all of them."""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/mercury``, or ``~/.cache/mercury``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mercury"


def fetch(dependency: str, *, cache: Path | None = None) -> list[Path]:
    """All jars of a dependency such as ``"org.apache.kafka:kafka_2.13:4.1.1"``, in order of their names.

    The first call downloads them; later ones find them in the cache. Two callers at once download once, and a folder is
    complete or not there.

    Raises `UnavailableError` when the repositories cannot be reached, `MissingDependencyError` without Java or PySpark.
    """
    folder = (cache or cache_folder() / "jars") / re.sub(r"[^\w.-]", "_", dependency)
    if not (folder / COMPLETE).exists():
        with _locked(folder.with_name(folder.name + ".lock")):
            if not (folder / COMPLETE).exists():
                _download(dependency, folder)
    return sorted(folder.glob("*.jar"))


def _download(dependency: str, folder: Path) -> None:
    parts = dependency.split(":")
    if len(parts) != 3:
        raise MissingDependencyError(f"{dependency!r} is not a Maven dependency", fix="Write group:artifact:version")
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
        ready = Path(scratch) / "jars"
        _run_ivy(parts, Path(scratch) / "ivy", ready)
        (ready / COMPLETE).write_text(dependency + "\n")
        ready.rename(folder)


def _run_ivy(parts: Sequence[str], cache: Path, target: Path) -> None:
    settings = os.environ.get("MERCURY_IVY_SETTINGS")
    command = [
        *java_command(),
        "-cp",
        str(_ivy()),
        "org.apache.ivy.Main",
        *(["-settings", settings] if settings else []),
        *("-cache", str(cache)),
        *("-confs", "default"),
        *("-dependency", *parts),
        *("-retrieve", f"{target}/[artifact]-[revision](-[classifier]).[ext]"),
        *("-types", "jar", "bundle"),
    ]
    name = ":".join(parts)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _unreachable(name, f"no answer within {DEADLINE_SECONDS} s") from error
    if done.returncode or not any(target.glob("*.jar")):
        said = (done.stdout + done.stderr).strip().splitlines()
        faults = [
            line.strip() for line in said if "SERVER ERROR" in line or "UNRESOLVED" in line or "not found" in line
        ]
        raise _unreachable(name, (faults or said or ["nothing was said"])[0])


def _unreachable(name: str, reason: str) -> UnavailableError:
    return UnavailableError(
        f"the jars of {name} could not be fetched: {reason}",
        fix="Check the network or the Maven repositories; without a broker, `mercury demo --source files` replays "
        "the same events from files",
    )


def _ivy() -> Path:
    spec = importlib.util.find_spec("pyspark")
    jars = [] if spec is None or spec.origin is None else sorted((Path(spec.origin).parent / "jars").glob("ivy-*.jar"))
    if not jars:
        raise MissingDependencyError(
            "PySpark, whose Ivy fetches jars, is not installed", fix="Run: pip install pyspark"
        )
    return jars[-1]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
