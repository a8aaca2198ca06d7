"""One model served three times by Ray Serve: ``serve_run.py REQUESTS FOLDER ANSWER``.

The deployments differ in what becomes of a prediction: nothing, Mercury's capture, or a call of an actor that writes it
with the same code. Requests of one row go to each in turn, in an order that is drawn anew for each round.
"""

from __future__ import annotations

import http.client
import json
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from fastapi import FastAPI
from ray import serve

from benchmarks.capture.data import ACCOUNTS, ASKED, settings_in
from benchmarks.capture.project import project, risk
from benchmarks.process_tree import memory
from benchmarks.work import arguments
from mercury.config import Settings
from mercury.lake import Lake
from mercury.models import predictors
from mercury.models.capture import Capture, capture_of
from mercury.models.inference import build_app
from mercury.models.prediction import Prediction
from mercury.models.registry import ModelRegistry
from mercury.runtime.loopback import free_ports
from mercury.runtime.session import LOCAL, ray_session
from mercury.serving.applications import deployed, replica_on_loopback
from mercury.tables import Table

WAYS = ("none", "capture", "actor")

WARM = 300
"""Requests to each way before those that count."""

SEED = 21

CALLS = 10_000
"""Of `record` by a thread that does nothing else; as many as wait without being dropped."""

Keys = Sequence[Mapping[str, Any]]


class Writer:
    """The actor: keeps what it is called with."""

    def __init__(self, folder: str) -> None:
        self._capture = capture_in(beside(settings_in(Path(folder)), "actor"))

    def record(self, keys: Keys, now: int | None, predictions: Sequence[Prediction]) -> None:
        """Keep one request's answers."""
        self._capture.record(keys, now, predictions)

    def close(self) -> None:
        """Write what is left."""
        self._capture.close()


class ByActor:
    """The keeper of a server that sends each request's answers to the actor."""

    def __init__(self) -> None:
        self._actor = ray.get_actor("writer")

    def record(self, keys: Keys, now: int | None, predictions: Sequence[Prediction]) -> None:
        """Call the actor, and do not wait for it."""
        self._actor.record.remote(keys, now, predictions)

    def close(self) -> None:
        """The actor is closed by who made it."""


def main() -> None:
    """Milliseconds of every request; of each way CPU and memory of its processes, rows kept, cost of one `record`."""
    requests, folder, answer = arguments()
    home, count = Path(folder), int(requests)
    settings = settings_in(home)
    lakes = {"capture": settings.lake, "actor": beside(settings, "actor").lake}
    kept = {way: Lake(lake).predictions(risk.name) for way, lake in lakes.items()}
    for uri in kept.values():
        shutil.rmtree(uri, ignore_errors=True)
    with ray_session(address=LOCAL, num_cpus=8):
        writer = ray.remote(Writer).options(name="writer").remote(folder)  # type: ignore[attr-defined]
        (port,) = free_ports(1)
        serve.start(http_options={"host": settings.host, "port": port}, proxy_location="HeadOnly")
        for way in WAYS:
            serve.run(deployed("Model", builder(way, folder)), name=way, route_prefix=f"/{way}")
        connection = http.client.HTTPConnection(settings.host, port, timeout=60)
        ask(connection, WARM, random.Random(SEED))
        processes = {way: processes_of(way) for way in WAYS}
        before = {way: cpu_of(processes[way]) for way in WAYS}
        taken = ask(connection, count, random.Random(SEED + 1))
        cpu = {way: cpu_of(processes[way]) - before[way] for way in WAYS}
        bytes_held = {way: memory([process.pid for process in processes[way]]) for way in WAYS}
        serve.shutdown()
        ray.get(writer.close.remote())
        rows = {way: Table.open(uri).read().num_rows for way, uri in kept.items()}
        calls = cost_of_record(settings)
    told = {
        way: {
            "cpu_seconds": cpu[way],
            "memory": bytes_held[way],
            "rows": rows.get(way, 0),
            "warm": WARM,
            "record_us": calls.get(way, 0.0),
        }
        for way in WAYS
    }
    pq.write_table(pa.table(taken).replace_schema_metadata({"ways": json.dumps(told)}), answer)


def builder(way: str, folder: str) -> Callable[[], FastAPI]:
    """What makes the application of a way, in its replica: Mercury's own, but for where answers are kept."""

    def build() -> FastAPI:
        replica_on_loopback()
        loaded = predictors(project, settings_in(Path(folder)))
        for predictor in loaded.values():
            if way != "capture" and predictor.capture is not None:
                predictor.capture.close()
                predictor.capture = ByActor() if way == "actor" else None
        return build_app(loaded)

    return build


def beside(settings: Settings, name: str) -> Settings:
    """Settings whose lake is another one, for predictions alone."""
    return replace(settings, lake=str(settings.state / name))


def capture_in(settings: Settings) -> Capture:
    """A capture as `mercury serve` makes it."""
    return capture_of(risk, ModelRegistry(settings).load(risk.name), settings)


def ask(connection: http.client.HTTPConnection, count: int, chance: random.Random) -> dict[str, list[float]]:
    """Milliseconds of requests of one account, as many to each way."""
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    now = int(ASKED.timestamp() * 1e6)
    for _ in range(count):
        account = chance.randrange(ACCOUNTS)
        inputs = [
            {"name": "account", "datatype": "INT64", "shape": [1], "data": [account]},
            {"name": "event_time", "datatype": "INT64", "shape": [1], "data": [now]},
        ]
        body = json.dumps({"inputs": inputs})
        for way in chance.sample(WAYS, len(WAYS)):
            began = time.perf_counter()
            connection.request("POST", f"/{way}/v2/models/risk/infer", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            taken[way].append((time.perf_counter() - began) * 1e3)
            if answer.status != 200:
                raise SystemExit(f"{way} answered {answer.status}: {text[:300]!r}")
    return taken


def processes_of(way: str) -> list[psutil.Process]:
    """The replica of a way, and the actor where it writes."""
    names = [f"ServeReplica:{way}:", *(["ray::Writer"] if way == "actor" else [])]
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(name in " ".join(process.info["cmdline"] or ()) for name in names)
    ]
    if len(found) != len(names):
        raise SystemExit(f"of {names} there are {found}")
    return found


def cpu_of(processes: Sequence[psutil.Process]) -> float:
    """CPU seconds until now."""
    used = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in used)


def cost_of_record(settings: Settings) -> dict[str, float]:
    """Microseconds of one call of `record`, where the answer is there already: all that the request thread spends."""
    (predictor,) = predictors(project, settings).values()
    assert predictor.capture is not None
    predictor.capture.close()
    predictor.capture = None
    keys, now = [{"account": 7}], int(ASKED.timestamp() * 1e6)
    answers = predictor.predict(keys, now=now)
    capture = capture_in(beside(settings, "calls"))
    found = {}
    for way, record in (("capture", capture.record), ("actor", ByActor().record)):
        began = time.perf_counter()
        for _ in range(CALLS):
            record(keys, now, answers)
        found[way] = (time.perf_counter() - began) / CALLS * 1e6
    capture.close()
    return found


if __name__ == "__main__":
    main()
