"""Where each table of a project lies in its lake: one place, so that every system finds what another wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from mercury.errors import UsageError


@dataclass(frozen=True)
class Lake:
    """Addresses of tables under a root, a folder or an object-store URL.

    >>> Lake("lake").stream_rows("flights")
    'lake/streams/flights/rows'
    """

    root: str

    def stream_rows(self, stream: str) -> str:
        """Events that met the contract, one row each."""
        return self._at("streams", stream, "rows")

    def stream_late(self, stream: str) -> str:
        """Events that came after their window was closed, with how late they were."""
        return self._at("streams", stream, "late")

    def stream_dead_letters(self, stream: str) -> str:
        """Events that could not be decoded or broke the contract: raw bytes, offset and reason."""
        return self._at("streams", stream, "dead_letters")

    def stream_log(self, stream: str) -> str:
        """One row per committed epoch: offset ranges, watermark, counts, snapshot."""
        return self._at("streams", stream, "log")

    def window(self, window: str) -> str:
        """Closed windows with their finished aggregates."""
        return self._at("windows", window)

    def panes(self, view: str) -> str:
        """Closed panes of a feature view over a stream, as summary state."""
        return self._at("features", view, "panes")

    def feature_runs(self, view: str) -> str:
        """Folder of a view's hash-bucketed sorted runs, which the point-in-time join reads."""
        return self._at("features", view, "runs")

    def table(self, name: str) -> str:
        """A batch table."""
        return self._at("tables", name)

    def predictions(self, model: str) -> str:
        """Served predictions with the features they were made from, as captured off the request path."""
        return self._at("models", model, "predictions")

    def profiles(self, monitor: str) -> str:
        """Profiles of a monitor's windows, as summary state."""
        return self._at("monitors", monitor, "profiles")

    def alarms(self, monitor: str) -> str:
        """What a monitor found in each window, alarms included."""
        return self._at("monitors", monitor, "alarms")

    def rollup(self, model: str, rollup: str) -> str:
        """A semantic model's rollup, as summary state."""
        return self._at("rollups", model, rollup)

    def _at(self, *parts: str) -> str:
        return "/".join((self.root.rstrip("/"), *parts))


def local_folder(address: str, what: str) -> Path:
    """The folder of an address that must be on a disk of this machine: a path, or a ``file://`` URL.

    Parameters
    ----------
    what : what is kept there, for the error.

    Raises `UsageError` for the address of an object store: as a path it would be a folder named after its scheme.

    >>> local_folder("file:///data/my%20lake", "runs").as_posix()
    '/data/my lake'
    """
    if "://" not in address:
        return Path(address)
    parts = urlparse(address)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    raise UsageError(
        f"{what} must be on a disk, and {address!r} is not",
        where="lake",
        fix="Set the lake to a folder, or to a file:// address",
    )
