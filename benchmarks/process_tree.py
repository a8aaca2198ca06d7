"""CPU seconds and memory of a process and all that it started, read from /proc.

Standard library only: peers use it too.
"""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")

_UTIME, _STIME, _CUTIME, _CSTIME, _START = 11, 12, 13, 14, 19
"""Places in /proc/PID/stat after the name of the command (proc(5), fields 14 to 17 and 22)."""


def tree(root: int) -> list[int]:
    """Ids of a process and of its living descendants."""
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


def cpu_seconds(process: int) -> tuple[tuple[int, int], float, float] | None:
    """Identity (id and start time), own CPU seconds, and those of children that it has waited for; None when gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    own = (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS
    reaped = (int(fields[_CUTIME]) + int(fields[_CSTIME])) / _TICKS
    return (process, int(fields[_START])), own, reaped


def tree_cpu_seconds(root: int) -> float:
    """CPU seconds of a process, its living descendants, and all that any of them has waited for."""
    readings = [reading for process in tree(root) if (reading := cpu_seconds(process)) is not None]
    return sum(own + reaped for _, own, reaped in readings)


def tree_memory(root: int) -> int:
    """Bytes of proportional set size (PSS): pages that several processes share are counted once between them."""
    return sum(_pss(process) for process in tree(root))


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
