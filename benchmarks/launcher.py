"""Runs one command and accounts for all that it starts: ``launcher.py FIGURES TIMEOUT COMMAND…``.

It makes itself the reaper of its descendants (prctl(2), PR_SET_CHILD_SUBREAPER), so that what outlives its parent comes
to it and not to init. When the command has ended it waits a little for the rest, kills what is left, and reaps it all:
the kernel's count of its children's CPU is then that of every process, however short, daemons and a JVM included. Only
children of a process that ignores SIGCHLD are not in it, which the kernel does not count.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.process_tree import tree

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

GRACE_SECONDS = 5.0
"""How long what the command leaves behind may take to end by itself."""

TIMED_OUT = 124
"""Exit code of a command that was stopped at its timeout, as timeout(1) has it."""


def main() -> None:
    """Run the command and write its exit code, wall seconds and CPU seconds as JSON."""
    figures, timeout, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_CHILD_SUBREAPER, 1), (_PR_SET_PDEATHSIG, signal.SIGTERM)):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TIMED_OUT))
    code, began = TIMED_OUT, time.perf_counter()
    try:
        process = subprocess.Popen(command)
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(float(timeout))
        wall = time.perf_counter() - began
    finally:
        _end_all(GRACE_SECONDS if code != TIMED_OUT else 0.0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    document = {"returncode": code, "wall_seconds": wall, "cpu_seconds": used.ru_utime + used.ru_stime}
    Path(figures).write_text(json.dumps(document))


def _end_all(grace: float) -> None:
    """Reap every descendant; those that do not end in time are killed."""
    until = time.monotonic() + grace
    while True:
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if reaped:
            continue
        if time.monotonic() >= until:
            for process in tree(os.getpid())[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
