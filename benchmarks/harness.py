"""Runs contenders in turn, each repetition as a process of its own, and says what each cost.

A contender is a command that does the same work as the others and writes two files: its answer, and a note of how long
the work itself took (`benchmarks.work`), so that starting an interpreter or a JVM is stated apart. The harness adds the
whole process: CPU seconds of the tree, wall clock, peak memory. Contenders alternate, so that a noisy machine hits all
alike, and their answers are compared: figures of different work are worth nothing.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.process_tree import cpu_seconds, tree, tree_memory

ROOT = Path(__file__).parents[1]

SAMPLE_SECONDS = 0.05


class BenchmarkError(Exception):
    """A contender failed, or gave another answer than the others."""


@dataclass(frozen=True)
class Contender:
    """One way to do a task.

    Parameters
    ----------
    name : as it stands in the results.
    command : program and arguments; it is run from the project's root.
    environment : variables beside those of this process.
    compared : whether its answer must equal the baseline's; peers that approximate in another way have none to compare.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    compared: bool = True


@dataclass(frozen=True)
class Task:
    """Work that several contenders do. ``rows`` is what speed is per; the first contender is the baseline."""

    name: str
    rows: int
    contenders: Sequence[Contender]
    compare: Callable[[Path, Path], str | None]
    """Of two answers, the baseline's first: None when they agree, else how they differ."""


@dataclass(frozen=True)
class Measured:
    """One run of a command: wall and CPU seconds and peak bytes (PSS) of its process tree, and its exit code."""

    wall: float
    cpu: float
    memory: int
    returncode: int
    output: str


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = 1800) -> Measured:
    """Run a command to its end and measure its whole process tree.

    CPU of a child counts when its parent waited for it, and else as it was last seen, at most one sampling interval
    before its end; so a JVM that outlives its launcher is not missed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watch = _Watch(process.pid)
    watch.start()
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        watch.ended.set()
        watch.join()
        process.kill()
    return Measured(time.perf_counter() - began, watch.cpu, watch.peak, process.returncode, output)


class _Watch(threading.Thread):
    """Samples a process tree until it is told to end."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.peak = 0
        self._root = root
        self._seen: dict[tuple[int, int], tuple[float, float]] = {}
        self._parent: dict[tuple[int, int], int] = {}

    def run(self) -> None:
        while not self.ended.is_set():
            for process in tree(self._root):
                reading = cpu_seconds(process)
                if reading is not None:
                    identity, own, reaped = reading
                    self._seen[identity] = (own, reaped)
            self.peak = max(self.peak, tree_memory(self._root))
            self.ended.wait(SAMPLE_SECONDS)

    @property
    def cpu(self) -> float:
        """Own time of every process that was seen, and of what was too short to be seen what its parent reaped."""
        own = sum(seconds for seconds, _ in self._seen.values())
        reaped = max((seconds for _, seconds in self._seen.values()), default=0.0)
        others = own - sum(seconds for (process, _), (seconds, _) in self._seen.items() if process == self._root)
        return own + max(0.0, reaped - others)


def run(task: Task, folder: Path, *, repeat: int, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Run every contender `repeat` times, in turn; one row of figures per contender, in their order.

    Raises `BenchmarkError` when a command fails or an answer differs from the baseline's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[tuple[Measured, dict[str, float]]]] = {contender.name: [] for contender in task.contenders}
    for turn in range(repeat):
        for contender in task.contenders:
            answer, note = (folder / f"{task.name}-{contender.name}.{end}" for end in ("parquet", "json"))
            for path in (answer, note):
                path.unlink(missing_ok=True)
            measured = measure([*contender.command, str(answer), str(note)], contender.environment)
            if measured.returncode:
                raise BenchmarkError(f"{task.name}: {contender.name} failed\n{measured.output[-3000:]}")
            runs[contender.name].append((measured, json.loads(note.read_text())))
            say(
                f"{task.name} {turn + 1}/{repeat} {contender.name}: {measured.cpu:.1f} CPU s, {measured.wall:.1f} s, "
                f"{measured.memory / 2**20:,.0f} MiB"
            )
    first = task.contenders[0].name
    for contender in task.contenders[1:]:
        if contender.compared:
            paths = [folder / f"{task.name}-{name}.parquet" for name in (first, contender.name)]
            difference = task.compare(*paths)
            if difference is not None:
                raise BenchmarkError(f"{task.name}: {contender.name} and {first} differ: {difference}")
    rows = [_figures(task, contender, runs[contender.name]) for contender in task.contenders]
    for row in rows:
        row["cpu_ratio"] = round(row["work_cpu_seconds"]["median"] / rows[0]["work_cpu_seconds"]["median"], 2)
    return rows


def _figures(task: Task, contender: Contender, runs: list[tuple[Measured, dict[str, float]]]) -> dict[str, Any]:
    work_cpu = [note["cpu_seconds"] for _, note in runs]
    return {
        "task": task.name,
        "contender": contender.name,
        "rows_per_cpu_second": round(task.rows / statistics.median(work_cpu)),
        "work_cpu_seconds": _spread(work_cpu),
        "work_wall_seconds": _spread([note["wall_seconds"] for _, note in runs]),
        "process_cpu_seconds": _spread([measured.cpu for measured, _ in runs]),
        "process_wall_seconds": _spread([measured.wall for measured, _ in runs]),
        "peak_memory_mib": _spread([measured.memory / 2**20 for measured, _ in runs]),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "min": round(min(values), 3),
        "median": round(statistics.median(values), 3),
        "max": round(max(values), 3),
    }
