"""What datasets are called: the namespace of the data source and the name in it, by OpenLineage's naming conventions.

A dataset is named by where it lies (https://openlineage.io/docs/spec/naming), never by what a project calls it, so that
all runs, and other tools, mean the same dataset by the same name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

FILE = "file"
"""Namespace of what lies on a disk of this machine."""

_ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
_ROOTED = ("hdfs",)
"""Schemes whose names keep the slash in front."""


def dataset(address: str) -> tuple[str, str]:
    """Namespace and name of what lies at a path or URI.

    Paths become absolute, without symbolic links. Passwords and query strings, which may hold keys, are left out.

    >>> dataset("s3://lake/tables/flights")
    ('s3://lake', 'tables/flights')
    >>> dataset("kafka://127.0.0.1:9092/flights")
    ('kafka://127.0.0.1:9092', 'flights')
    >>> dataset("file:///lake/tables/flights")
    ('file', '/lake/tables/flights')
    """
    scheme, mark, _ = address.partition("://")
    if not mark or scheme == FILE:
        path = urlsplit(address).path if mark else address
        return FILE, str(Path(path).resolve())
    parts = urlsplit(address)
    name = parts.path if scheme in _ROOTED else parts.path.strip("/")
    return f"{_ALIASES.get(scheme, scheme)}://{_without_password(parts.netloc)}", name


def without_secrets(address: str) -> str:
    """A URI without password, query and fragment; anything else as it is.

    >>> without_secrets("https://me:secret@host:5000/path?token=x")
    'https://host:5000/path'
    """
    if "://" not in address:
        return address
    parts = urlsplit(address)
    if not parts.netloc:
        return address.partition("?")[0]  # as in sqlite:////path, which must keep its slashes
    return urlunsplit((parts.scheme, _without_password(parts.netloc), parts.path, "", ""))


def offset_ranges(offsets: Mapping[Any, Sequence[int]]) -> str:
    """The version of what was read of a topic: per partition the first offset read, and the one after the last.

    >>> offset_ranges({"1": [7, 98], 0: (0, 120)})
    '0:0-120,1:7-98'
    """
    return ",".join(
        f"{partition}:{low}-{high}"
        for partition, (low, high) in sorted((int(partition), ends) for partition, ends in offsets.items())
    )


def _without_password(authority: str) -> str:
    # abfss://container@account has a container before the @, no user.
    user, _, host = authority.rpartition("@")
    return host if ":" in user else authority
