"""CPU seconds and memory of a process and all that it started, read from /proc.

Standard library only: peers use it too.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")

_UTIME, _CSTIME = 11, 14
"""Places in /proc/PID/stat after the name of the command: own user and system time, and those of children that were
waited for (proc(5), fields 14 to 17)."""


def tree(root: int) -> list[int]:
    """Ids of a process, which comes first, and of its living descendants."""
    found, todo = [], [root]
    while todo:
        process = todo.pop()
        found.append(process)
        for task in _listed(Path(f"/proc/{process}/task")):
            try:
                todo += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                continue
    return found


def cpu_seconds() -> float:
    """CPU seconds until now of this process, of its living descendants (to 10 ms), and of all that was waited for."""
    reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + reaped.ru_utime + reaped.ru_stime + sum(map(_cpu, tree(os.getpid())[1:]))


def memory(processes: Sequence[int]) -> int:
    """Bytes of proportional set size (PSS): pages that several processes share are counted once between them."""
    return sum(map(_pss, processes))


def _cpu(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # It has ended, and is counted as waited for.
    return sum(map(int, fields[_UTIME : _CSTIME + 1])) / _TICKS


def _pss(process: int) -> int:
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # The process has ended, or is not ours.
    return 0


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
