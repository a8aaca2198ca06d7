"""What a contender's process calls around its work. Standard library only: it runs in the peers' environments too."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.process_tree import cpu_seconds


@contextmanager
def work(note: str | Path) -> Iterator[None]:
    """Measure the block: wall clock, and CPU of this process and all its children, into a JSON file."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    yield
    figures = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": cpu_seconds() - cpu}
    Path(note).write_text(json.dumps(figures))


def arguments() -> list[str]:
    """The command's arguments."""
    return sys.argv[1:]
