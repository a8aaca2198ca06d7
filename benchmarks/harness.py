"""Runs contenders in turn, each repetition as a process of its own, and says what each cost.

A contender is a command that does the same work as the others and writes two files: its answer, and a note of how long
the work itself took (`benchmarks.work`), so that starting an interpreter or a JVM is stated apart. The harness adds the
whole process: CPU seconds of the tree, wall clock, peak memory. Contenders alternate, so that a noisy machine hits all
alike, and every answer is compared: figures of different work are worth nothing.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.launcher import TIMED_OUT
from benchmarks.process_tree import memory, tree

ROOT = Path(__file__).parents[1]

SAMPLE_SECONDS = 0.05

SAMPLING_SHARE = 0.05
"""Of one core, at most, for reading memory: the kernel walks all pages of a process for it."""

MIB = 1 << 20


class BenchmarkError(Exception):
    """A contender failed, or gave another answer than the others."""


@dataclass(frozen=True)
class Contender:
    """One way to do a task.

    Parameters
    ----------
    name : as it stands in the results.
    command : program and arguments, to which the paths of the answer and of the note are added; it is run from the
        project's root.
    environment : variables beside those of this process.
    kind : contenders of one kind must give the same answer; None for one that approximates in a way of its own.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    kind: str | None = "exact"


@dataclass(frozen=True)
class Task:
    """Work that several contenders do.

    Parameters
    ----------
    name : as it stands in the results.
    rows : what speed is per.
    contenders : the first is the baseline of all ratios.
    compare : of two answers of one kind, None when they agree, else how they differ.
    check : of a contender's name and its answer, None when it is within its bounds, else what is not.
    threads : of every contender; only stated here, the commands keep to it.
    """

    name: str
    rows: int
    contenders: Sequence[Contender]
    compare: Callable[[Path, Path], str | None]
    check: Callable[[str, Path], str | None] = lambda *_: None
    threads: int = 1


@dataclass(frozen=True)
class Measured:
    """One run of a command: wall and CPU seconds and peak bytes (PSS) of its process tree, and its exit code."""

    wall: float
    cpu: float
    memory: int
    returncode: int
    output: str


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = 600) -> Measured:
    """Run a command to its end, or to the timeout (then its code is `TIMED_OUT`), and measure its whole process tree.

    CPU is what the kernel accounts to all that the command started, also what outlived it: see `benchmarks.launcher`.
    Memory is sampled. No process is left.
    """
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        launcher = [sys.executable, "-m", "benchmarks.launcher", str(figures), str(timeout)]
        process = subprocess.Popen(
            [*launcher, *command],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        watch = _Watch(process.pid)
        watch.start()
        try:
            output, _ = process.communicate()
        finally:
            watch.ended.set()
            watch.join()
            process.terminate()
        if not figures.exists():
            raise BenchmarkError(f"{command[0]} could not be started\n{output[-3000:]}")
        found = json.loads(figures.read_text())
    return Measured(found["wall_seconds"], found["cpu_seconds"], watch.peak, found["returncode"], output)


class _Watch(threading.Thread):
    """Samples the memory of a launcher's descendants until it is told to end."""

    def __init__(self, launcher: int) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.peak = 0
        self._launcher = launcher

    def run(self) -> None:
        pause = SAMPLE_SECONDS
        while not self.ended.wait(pause):
            began = time.thread_time()
            self.peak = max(self.peak, memory(tree(self._launcher)[1:]))
            pause = max(SAMPLE_SECONDS, (time.thread_time() - began) / SAMPLING_SHARE)


def run(task: Task, folder: Path, *, repeat: int, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Run every contender `repeat` times, in turn; one row of figures per contender, in their order.

    Answers stay in the folder, see `answer_path`. Raises `BenchmarkError` when a command fails, or an answer differs
    from that of another of its kind or is beyond its bounds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[_Run]] = {contender.name: [] for contender in task.contenders}
    for turn in range(repeat):
        for contender in task.contenders:
            done = _once(task, contender, folder)
            runs[contender.name].append(done)
            say(
                f"{task.name} {turn + 1}/{repeat} {contender.name}: {done.whole.cpu:.1f} CPU s, "
                f"{done.whole.wall:.1f} s, {done.whole.memory / MIB:,.0f} MiB"
            )
        _require_agreement(task, folder)
    baseline = runs[task.contenders[0].name]
    return [_figures(task, contender.name, runs[contender.name], baseline) for contender in task.contenders]


def answer_path(folder: Path, task: Task, name: str) -> Path:
    """Where the last answer of a contender lies."""
    return folder / f"{task.name}-{task.threads}-{name}.parquet"


@dataclass(frozen=True)
class _Run:
    whole: Measured
    cpu: float
    wall: float


def _once(task: Task, contender: Contender, folder: Path) -> _Run:
    answer = answer_path(folder, task, contender.name)
    note = answer.with_suffix(".json")
    for path in (answer, note):
        path.unlink(missing_ok=True)
    whole = measure([*contender.command, str(answer), str(note)], contender.environment)
    if whole.returncode == TIMED_OUT:
        raise BenchmarkError(f"{task.name}: {contender.name} took too long\n{whole.output[-3000:]}")
    if whole.returncode:
        raise BenchmarkError(f"{task.name}: {contender.name} failed\n{whole.output[-3000:]}")
    found = json.loads(note.read_text())
    return _Run(whole, found["cpu_seconds"], found["wall_seconds"])


def _require_agreement(task: Task, folder: Path) -> None:
    first: dict[str, str] = {}
    for contender in task.contenders:
        mine = answer_path(folder, task, contender.name)
        beyond = task.check(contender.name, mine)
        if beyond is not None:
            raise BenchmarkError(f"{task.name}: {contender.name}: {beyond}")
        if contender.kind is None:
            continue
        other = first.setdefault(contender.kind, contender.name)
        difference = task.compare(answer_path(folder, task, other), mine)
        if difference is not None:
            raise BenchmarkError(f"{task.name}: {other} and {contender.name} differ: {difference}")


def _figures(task: Task, name: str, runs: Sequence[_Run], baseline: Sequence[_Run]) -> dict[str, Any]:
    cpu, wall = [run.cpu for run in runs], [run.wall for run in runs]
    return {
        "task": task.name,
        "threads": task.threads,
        "contender": name,
        "rows_per_cpu_second": round(task.rows / statistics.median(cpu)),
        "rows_per_wall_second": round(task.rows / statistics.median(wall)),
        # Of the same turn, so that what slowed both does not count.
        "cpu_ratio": _spread(run.cpu / other.cpu for run, other in zip(runs, baseline, strict=True)),
        "wall_ratio": _spread(run.wall / other.wall for run, other in zip(runs, baseline, strict=True)),
        "work_cpu_seconds": _spread(cpu),
        "work_wall_seconds": _spread(wall),
        "startup_cpu_seconds": _spread(run.whole.cpu - run.cpu for run in runs),
        "startup_wall_seconds": _spread(run.whole.wall - run.wall for run in runs),
        "peak_memory_mib": _spread(run.whole.memory / MIB for run in runs),
    }


def _spread(values: Iterable[float]) -> dict[str, float]:
    found = list(values)
    return {
        "min": round(min(found), 3),
        "median": round(statistics.median(found), 3),
        "max": round(max(found), 3),
    }
