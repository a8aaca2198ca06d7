"""Where events go: a file that many processes append to, or an HTTP endpoint, with the file for what it refuses."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from mercury.runtime.lineage.datasets import without_secrets

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from mercury.config import Settings

FILE_NAME = "lineage.jsonl"

API_KEY_VARIABLE = "OPENLINEAGE_API_KEY"
"""Key for endpoints that ask for one, as OpenLineage's client names it."""

TIMEOUT_SECONDS = 5.0

PAUSE_SECONDS = 60.0
"""How long an endpoint that failed is left alone, so that it holds back a run once and not at every event."""

_log = logging.getLogger(__name__)


class Delivery(Protocol):
    """Takes events; never raises."""

    def send(self, event: RunEvent) -> None:
        """Hand over one event."""
        ...


@dataclass
class FileDelivery:
    """One line of JSON per event. Appends of several processes do not mix: each is one write of its own."""

    path: Path
    lost: int = 0

    def send(self, event: RunEvent) -> None:
        """Append the event; one that cannot be written is counted in ``lost`` and told in the log."""
        from openlineage.client.serde import Serde

        line = Serde.to_json(event).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                written = os.write(descriptor, line)
                if written < len(line):
                    # A full disk took a part: end the line, so that the next event is not lost with it.
                    os.write(descriptor, b"\n")
                    raise OSError(f"{written} of {len(line)} bytes were written")
            finally:
                os.close(descriptor)
        except OSError as error:
            self.lost += 1
            _log.warning("a lineage event was lost, since %s cannot be written: %s", self.path, error)


@dataclass
class HttpDelivery:
    """Posts events with OpenLineage's own client; what the endpoint does not take goes to the file instead.

    Parameters
    ----------
    url : of the server, or of its endpoint when the path is another than ``/api/v1/lineage``.
    otherwise : gets the events that were not taken, ``failed`` in number.
    pause : seconds for which nothing is posted after a failure.
    """

    url: str
    otherwise: FileDelivery
    pause: float = PAUSE_SECONDS
    failed: int = 0
    _paused_until: float = 0.0
    _transport: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, event: RunEvent) -> None:
        """Post the event, or append it to the file. Only the first failure is told in the log."""
        with self._lock:
            if time.monotonic() >= self._paused_until:
                try:
                    self._post(event)
                    return
                except Exception as error:
                    self._paused_until = time.monotonic() + self.pause
                    if not self.failed:
                        told = without_secrets(self.url)
                        why = str(error).partition("\n")[0].replace(self.url, told) or type(error).__name__
                        _log.warning(
                            "the lineage endpoint %s does not take events (%s); they go to %s",
                            told,
                            why,
                            self.otherwise.path,
                        )
            self.failed += 1
        self.otherwise.send(event)

    def _post(self, event: RunEvent) -> None:
        if self._transport is None:
            from openlineage.client.transport.http import (
                ApiKeyTokenProvider,
                HttpConfig,
                HttpTransport,
                TokenProvider,
            )

            key = os.environ.get(API_KEY_VARIABLE)
            path = urlsplit(self.url).path
            self._transport = HttpTransport(
                HttpConfig(
                    url=self.url,
                    timeout=TIMEOUT_SECONDS,
                    # Retrying would hold the run back: an event is not worth a minute.
                    retry={"total": 0},
                    auth=ApiKeyTokenProvider({"apiKey": key}) if key else TokenProvider({}),
                    **({"endpoint": path} if path.strip("/") else {}),
                )
            )
        self._transport.emit(event)


_made: dict[tuple[str, str | None], Delivery] = {}


def delivery(settings: Settings) -> Delivery:
    """Where events of a project go; the same object for the same settings."""
    key = (str(settings.state), settings.lineage_url)
    if key not in _made:
        file = FileDelivery(Path(settings.state) / FILE_NAME)
        _made[key] = HttpDelivery(settings.lineage_url, file) if settings.lineage_url else file
    return _made[key]
