"""Drives a real headless Chromium by its DevTools protocol, over the websocket package that uvicorn brings."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """One tab. What it logs, refuses or requests is kept, so that a test can look at it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """The result of a command of the protocol."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=30))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def text(self, selector: str) -> str:
        """The text of the first element that a selector finds; empty without one."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"))

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 20.0) -> None:
        """Wait until an expression holds."""
        began = time.monotonic()
        while not self.evaluate(expression):
            shown = self.evaluate("document.body?.innerText ?? ''")
            assert time.monotonic() - began < seconds, f"{expression} does not hold: {shown}"
            time.sleep(0.02)

    def requested(self) -> list[str]:
        """Addresses that the page asked for."""
        sent = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def faults(self) -> list[str]:
        """Errors that the page logged, and what its policy refused."""
        found = [event["params"] for event in self.events if event.get("method") == "Log.entryAdded"]
        thrown = [event["params"] for event in self.events if event.get("method") == "Runtime.exceptionThrown"]
        return [part["entry"]["text"] for part in found if part["entry"]["level"] == "error"] + [str(p) for p in thrown]


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A browser with a profile of its own, and its first tab; it ends with the block."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program, "no Chromium was found. Install it: apt-get install --no-install-recommends chromium"
    command = [
        program,
        "--headless=new",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        "about:blank",
    ]
    with (folder / "chromium.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        port = _port(folder, process)
        tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list"))
        address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with connect(address, max_size=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(20)


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int:
    ends = time.monotonic() + 30
    told = folder / "DevToolsActivePort"
    while not told.exists() or not told.read_text().strip():
        assert process.poll() is None and time.monotonic() < ends, (folder / "chromium.log").read_text()
        time.sleep(0.05)
    return int(told.read_text().split()[0])
