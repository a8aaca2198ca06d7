"""The project's own broker: a real Apache Kafka in KRaft mode, one node, on the loopback address only.

It runs apart from the process that started it and keeps its data in the project's state folder:

    <state>/kafka/data            the log, formatted once
    <state>/kafka/broker.json     process, addresses; there while it runs
    <state>/kafka/broker.log      what it said
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from mercury.errors import ConflictError, DiskFullError, PortInUseError, UnavailableError
from mercury.runtime import jars
from mercury.runtime.java import java_command
from mercury.runtime.kafka.topics import answers
from mercury.runtime.loopback import LOOPBACK, free_ports

KAFKA = "org.apache.kafka:kafka_2.13:4.1.1"
LOGGING = "org.slf4j:slf4j-simple:1.7.36"
HOST = LOOPBACK

START_SECONDS = 90.0
STOP_SECONDS = 30.0

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.ms=-1
"""


@dataclass(frozen=True)
class RunningBroker:
    """A broker that runs. ``began`` is its process's start time, which tells it from a later process of its number."""

    bootstrap: str
    pid: int
    began: float
    port: int
    controller: int

    @property
    def alive(self) -> bool:
        """Whether the very process that was started still runs."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.began) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class KafkaBroker:
    """The broker of one state folder; any process may start, find and stop it.

    Parameters
    ----------
    state : the project's state folder.
    heap : its Java heap, as Java writes sizes.
    """

    def __init__(self, state: Path, *, heap: str = "256m") -> None:
        self.folder = Path(state).absolute() / "kafka"
        self.heap = heap
        self._record = self.folder / "broker.json"
        self._log = self.folder / "broker.log"

    def running(self) -> RunningBroker | None:
        """The broker that runs, or None; what a crash left behind is no broker."""
        try:
            found = RunningBroker(**json.loads(self._record.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return found if found.alive else None

    def start(self, port: int | None = None) -> RunningBroker:
        """Start the broker, or find the one that runs; it answers when this returns.

        Raises `PortInUseError` when the port that was asked for is taken, `ConflictError` when the broker runs on
        another port, `UnavailableError` with the end of its log when it does not come up.
        """
        with self._locked():
            found = self.running()
            if found is not None:
                if port not in (None, found.port):
                    raise ConflictError(
                        f"the broker runs on port {found.port}", where=str(self.folder), fix="Run: mercury kafka stop"
                    )
                return found
            libraries = [jars.fetch(KAFKA)[0].parent, jars.fetch(LOGGING)[0].parent]
            listen = free_ports(1)[0] if port is None else _asked(port)
            controller = next(each for each in free_ports(2) if each != listen)
            data = self.folder / "data"
            (self.folder / "server.properties").write_text(
                _PROPERTIES.format(host=HOST, port=listen, controller=controller, data=data)
            )
            if not (data / "meta.properties").exists():
                self._format(libraries)
            return self._launch(libraries, listen, controller)

    def stop(self) -> bool:
        """Stop the broker and wait until it has ended; False when none was running."""
        with self._locked():
            found = self.running()
            if found is not None:
                process = psutil.Process(found.pid)
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(STOP_SECONDS)
                except psutil.TimeoutExpired:
                    process.kill()
                    process.wait(STOP_SECONDS)
            self._record.unlink(missing_ok=True)
            return found is not None

    def log_tail(self, lines: int = 12) -> str:
        """The end of what the broker said."""
        try:
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def _format(self, libraries: list[Path]) -> None:
        identity = self._tool(libraries, "random-uuid").strip().splitlines()[-1]
        self._tool(libraries, "format", "-t", identity, "-c", str(self.folder / "server.properties"))

    def _tool(self, libraries: list[Path], *arguments: str) -> str:
        command = [*java_command(), "-cp", _class_path(libraries), "kafka.tools.StorageTool", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
        if done.returncode:
            raise self._failed("the broker's storage cannot be made ready", done.stdout + done.stderr)
        return done.stdout

    def _launch(self, libraries: list[Path], port: int, controller: int) -> RunningBroker:
        command = [
            *java_command(),
            f"-Xmx{self.heap}",
            "-XX:+UseG1GC",
            "-XX:+ExitOnOutOfMemoryError",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            *("-cp", _class_path(libraries)),
            "kafka.Kafka",
            str(self.folder / "server.properties"),
        ]
        with self._log.open("wb") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )
        broker = RunningBroker(f"{HOST}:{port}", child.pid, psutil.Process(child.pid).create_time(), port, controller)
        partial = self._record.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(broker)))
        partial.replace(self._record)
        deadline = time.monotonic() + START_SECONDS
        while not answers(broker.bootstrap):
            if child.poll() is not None:
                self._record.unlink(missing_ok=True)
                raise self._failed(f"the broker ended with code {child.returncode}", self.log_tail())
            if time.monotonic() > deadline:
                child.kill()
                self._record.unlink(missing_ok=True)
                raise self._failed(f"the broker did not answer within {START_SECONDS:.0f} s", self.log_tail())
        return broker

    def _failed(self, what: str, said: str) -> UnavailableError:
        where = str(self.folder)
        if "No space left on device" in said:
            return DiskFullError(what, where=where, fix="Make room on the disk and start it again", excerpt=said)
        clash = re.search(r"Address already in use.*", said)
        if clash:
            return PortInUseError(what, where=where, fix="Start it again, or on another port with --port", excerpt=said)
        return UnavailableError(what, where=where, fix=f"See {self._log}", excerpt=said or None)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _class_path(libraries: list[Path]) -> str:
    return os.pathsep.join(f"{folder}/*" for folder in libraries)


def _asked(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortInUseError(
                f"port {port} is taken", where=HOST, fix="Choose another one, or none to get a free one"
            ) from error
    return port
