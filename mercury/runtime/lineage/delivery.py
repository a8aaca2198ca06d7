"""Where events go: a file that many processes append to, or an HTTP endpoint, with the file for what it refuses."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from mercury.config import Settings

FILE_NAME = "lineage.jsonl"

TIMEOUT_SECONDS = 5.0

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
    """Posts events with OpenLineage's own client; what the endpoint does not take goes to the file instead."""

    url: str
    otherwise: FileDelivery
    failed: int = 0
    _client: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, event: RunEvent) -> None:
        """Post the event. The first failure is told in the log, the others are counted in ``failed``."""
        try:
            self._post(event)
        except Exception as error:
            self.failed += 1
            if self.failed == 1:
                _log.warning(
                    "the lineage endpoint %s does not take events (%s); they go to %s",
                    self.url,
                    str(error).partition("\n")[0] or type(error).__name__,
                    self.otherwise.path,
                )
            self.otherwise.send(event)

    def _post(self, event: RunEvent) -> None:
        with self._lock:
            if self._client is None:
                from openlineage.client.transport.http import HttpConfig, HttpTransport

                # Retrying would hold the run back: an event is not worth a minute.
                self._client = HttpTransport(HttpConfig(url=self.url, timeout=TIMEOUT_SECONDS, retry={"total": 0}))
            self._client.emit(event)


_made: dict[tuple[str, str | None], Delivery] = {}


def delivery(settings: Settings) -> Delivery:
    """Where events of a project go; the same object for the same settings."""
    key = (str(settings.state), settings.lineage_url)
    if key not in _made:
        file = FileDelivery(Path(settings.state) / FILE_NAME)
        _made[key] = HttpDelivery(settings.lineage_url, file) if settings.lineage_url else file
    return _made[key]
