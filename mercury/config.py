"""Where a project's things are and which servers it uses: one frozen value, and where each part of it came from.

A setting is taken from the first place that has it: the variable ``MERCURY_<NAME>``, the key ``<name>`` of
``mercury.toml`` beside the project file, a variable that the tool itself reads (``RAY_ADDRESS``,
``MLFLOW_TRACKING_URI``), the default. Relative paths begin at the working folder in a variable, and at the folder of
the file in ``mercury.toml``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mercury.errors import ConfigError, did_you_mean

PROJECT_FILE = "mercury_project.py"
"""Name of a project's file when none is given."""

CONFIG_FILE = "mercury.toml"

LAKE_SCHEMES = ("file", "s3", "s3a", "gs", "az", "abfs", "abfss", "adl", "azure")
"""Stores that delta-rs keeps tables in."""

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Settings:
    """Everything that a run needs to know about its surroundings.

    Parameters
    ----------
    project : the project file; it need not exist.
    state : folder of what Mercury keeps for itself: registry, cursors, broker, lineage. Default ``.mercury`` beside
        the project file.
    lake : folder or object-store URL of the tables. Default ``lake`` in the state folder.
    registry_url : SQLAlchemy URL of applied definitions; SQLite in the state folder by default, or PostgreSQL.
    bootstrap_servers : Kafka to use; None means the broker that ``mercury kafka start`` started for the project.
    ray_address : Ray cluster to join; None starts a local one when needed.
    mlflow_tracking_uri : registry of models; SQLite in the state folder by default.
    lineage_url : HTTP endpoint of OpenLineage events; None writes them to ``lineage.jsonl`` in the state folder.
    memory_limit : bytes that one process may hold in batches and caches.
    host : address that servers bind to; loopback unless told otherwise.
    log_level : least severity that is logged: debug, info, warning or error.
    """

    project: Path
    state: Path
    lake: str
    registry_url: str
    bootstrap_servers: str | None
    ray_address: str | None
    mlflow_tracking_uri: str
    lineage_url: str | None
    memory_limit: int
    host: str
    log_level: str
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def origin(self, name: str) -> str:
        """Where a setting came from: ``default``, ``argument``, ``environment NAME`` or ``mercury.toml line N``."""
        if name not in self.names():
            raise ConfigError(f"{name!r} is not a setting", fix=did_you_mean(name, self.names()))
        return self.origins.get(name, "default")

    @classmethod
    def names(cls) -> list[str]:
        """Names of all settings, in order."""
        return [part.name for part in fields(cls) if part.name != "origins"]

    def public(self) -> dict[str, str | int | None]:
        """Values for people to see: paths as text, passwords in URLs hidden."""
        values = {name: getattr(self, name) for name in self.names()}
        return {
            name: value if value is None or isinstance(value, int) else without_passwords(str(value))
            for name, value in values.items()
        }


def load_settings(project: Path | str | None = None, env: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a project file: `project`, else ``MERCURY_PROJECT``, else ``mercury_project.py`` here.

    Raises `ConfigError` for an unknown variable or key (with the nearest spelling and the line) and for a value that
    cannot be used.
    """
    given = _environment(env)
    origins: dict[str, str] = {}
    if project is not None:
        path, origins["project"] = Path(project), "argument"
        given.pop("project", None)
    elif "project" in given:
        path, origins["project"] = Path(given.pop("project")), f"environment {PREFIX}PROJECT"
    else:
        path = Path(PROJECT_FILE)
    path = path.expanduser().absolute()
    values: dict[str, Any] = {"project": path}

    for name, (value, line) in _read_toml(path.parent / CONFIG_FILE).items():
        origins[name] = f"{CONFIG_FILE} line {line}"
        values[name] = _CHECKS[name](value, path.parent, f"{path.parent / CONFIG_FILE}:{line}")
    for name, text in given.items():
        origins[name] = f"environment {PREFIX}{name.upper()}"
        values[name] = _CHECKS[name](text, Path.cwd(), origins[name])
    for name, variable in _FOREIGN.items():
        if name not in values and env.get(variable):
            values[name], origins[name] = env[variable], f"environment {variable}"

    state: Path = values.setdefault("state", path.parent / ".mercury")
    values.setdefault("lake", str(state / "lake"))
    values.setdefault("registry_url", f"sqlite:///{state / 'mercury.db'}")
    values.setdefault("mlflow_tracking_uri", f"sqlite:///{state / 'mlflow.db'}")
    values.setdefault("memory_limit", 2 << 30)
    values.setdefault("host", "127.0.0.1")
    values.setdefault("log_level", "info")
    for name in ("bootstrap_servers", "ray_address", "lineage_url"):
        values.setdefault(name, None)
    return Settings(**values, origins=origins)


def without_passwords(text: str) -> str:
    """A text for people to see, with the passwords of all URLs in it hidden.

    >>> without_passwords("postgresql://me:secret@db/mercury?sslmode=require&password=secret cannot be reached")
    'postgresql://me:***@db/mercury?sslmode=require&password=*** cannot be reached'
    """
    return _PASSWORD.sub(lambda found: f"{found[1]}***@" if found[1] else f"{found[2]}***", text)


PREFIX = "MERCURY_"

_FOREIGN = {"ray_address": "RAY_ADDRESS", "mlflow_tracking_uri": "MLFLOW_TRACKING_URI"}
_OTHER_VARIABLES = ("MERCURY_IVY_SETTINGS",)
"""Read where they are needed (`mercury.runtime.jars`): they say where programs come from, not what a project has."""

_PASSWORD = re.compile(r"(://[^/:@\s]*:)\S*@|([?&][^=&\s]*(?:password|token|secret|key)=)[^&\s]+", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/|$)")
_KEY = re.compile(r"""^\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_-]+))\s*[=.]""")
_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}

_Check = Callable[[Any, Path, str], Any]


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    names = Settings.names()
    given: dict[str, str] = {}
    for variable, value in env.items():
        if not variable.startswith(PREFIX) or variable in _OTHER_VARIABLES or not value:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in names:
            known = [PREFIX + known.upper() for known in names]
            raise ConfigError(f"{variable} is not a setting", where="environment", fix=did_you_mean(variable, known))
        given[name] = value
    return given


def _read_toml(path: Path) -> dict[str, tuple[Any, int]]:
    """Value and line of each key; nothing when there is no file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{CONFIG_FILE} cannot be read: {error}", where=str(path)) from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{CONFIG_FILE} is not TOML: {error}", where=str(path), fix="Write name = 'value'") from error
    lines = _lines(text)
    known = [name for name in Settings.names() if name != "project"]
    for name, value in data.items():
        place = f"{path}:{lines.get(name, 1)}"
        if name not in known:
            raise ConfigError(f"{name!r} is not a setting", where=place, fix=did_you_mean(name, known))
        if isinstance(value, dict):
            raise ConfigError(f"{name!r} is a table", where=place, fix=f"Write {name} = 'value' at the top level")
    return {name: (value, lines.get(name, 1)) for name, value in data.items()}


def _lines(text: str) -> dict[str, int]:
    """The line on which each key or table of the top level is written first."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([A-Za-z0-9_-]+)", line)
        match = _KEY.match(line)
        name = header.group(1) if header else next((part for part in match.groups() if part), None) if match else None
        if name:
            found.setdefault(name, number)
    return found


def _text(value: Any, folder: Path, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{value!r} is not a text", where=where, fix="Write it in quotes, or leave the key out")
    return value.strip()


def _folder(value: Any, folder: Path, where: str) -> Path:
    text = _text(value, folder, where)
    if _SCHEME.match(text):
        raise ConfigError(
            f"{without_passwords(text)!r} is not a folder",
            where=where,
            fix="The state holds files that are locked and mapped: name a folder on a disk. Tables may lie elsewhere: "
            "set the lake",
        )
    return folder / Path(text).expanduser()


def _place(value: Any, folder: Path, where: str) -> str:
    text = _text(value, folder, where)
    if "://" not in text:
        if scheme := _SCHEME.match(text):
            raise ConfigError(
                f"{text!r} is neither a folder nor a URL",
                where=where,
                fix=f"Write {scheme[1]}://BUCKET/PATH, or ./{text}",
            )
        return str(folder / Path(text).expanduser())
    if text.split("://", 1)[0].lower() not in LAKE_SCHEMES:
        raise ConfigError(
            f"tables cannot be kept at {without_passwords(text)!r}",
            where=where,
            fix=f"Write a folder, or a URL that begins with one of {', '.join(LAKE_SCHEMES)}",
        )
    return text


def _database(value: Any, folder: Path, where: str) -> str:
    text = _text(value, folder, where)
    if not text.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        shown = without_passwords(text)
        raise ConfigError(
            f"{shown!r} is not a registry", where=where, fix="Write sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        )
    if text.startswith("sqlite:///"):
        file = Path(text.removeprefix("sqlite:///")).expanduser()
        return f"sqlite:///{folder / file}"
    return text.replace("postgresql://", "postgresql+psycopg://", 1)


def _servers(value: Any, folder: Path, where: str) -> str:
    text = _text(value, folder, where)
    for server in text.split(","):
        if not re.fullmatch(r"\s*(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}\s*", server):
            raise ConfigError(f"{server!r} is not a Kafka server", where=where, fix="Write host:port,host:port")
    return text


def _endpoint(value: Any, folder: Path, where: str) -> str:
    text = _text(value, folder, where)
    if not text.startswith(("http://", "https://")):
        shown = without_passwords(text)
        raise ConfigError(f"{shown!r} is not an HTTP address", where=where, fix="Write http://HOST:PORT/…")
    return text


def _size(value: Any, folder: Path, where: str) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?i?B)?\s*", str(value), flags=re.IGNORECASE)
    size = int(float(match.group(1)) * _SIZES[(match.group(2) or "B").upper()]) if match else 0
    if isinstance(value, bool) or size < 1 << 20:
        raise ConfigError(f"{value!r} is not a size of 1 MiB or more", where=where, fix="Write it as in '2GiB'")
    return size


def _level(value: Any, folder: Path, where: str) -> str:
    word = _text(value, folder, where).lower()
    if word not in LOG_LEVELS:
        raise ConfigError(f"{value!r} is not a log level", where=where, fix=did_you_mean(word, LOG_LEVELS))
    return word


_CHECKS: dict[str, _Check] = {
    "state": _folder,
    "lake": _place,
    "registry_url": _database,
    "bootstrap_servers": _servers,
    "ray_address": _text,
    "mlflow_tracking_uri": _text,
    "lineage_url": _endpoint,
    "memory_limit": _size,
    "host": _text,
    "log_level": _level,
}
