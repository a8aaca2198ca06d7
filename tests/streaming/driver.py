"""A stream's job in processes of its own, to be killed: ``python -m tests.streaming.driver FOLDER BOOTSTRAP TOPIC``.

For every line on stdin it runs the job in a new child process, to the end and drained, and prints each committed epoch
and at last ``ended`` with the child's exit code. A line that names a step of the engine (see `CrashPoint`) makes the
child kill itself with SIGKILL right after it. With ``MERCURY_WORKERS`` set, the job runs on so many Ray actors.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from mercury.errors import MercuryError
from mercury.lake import Lake
from mercury.streaming import EpochProgress, KafkaSource, Limits, StreamJob
from tests.streaming import batch_twin as twin


def job(folder: Path, bootstrap: str, topic: str, **options: object) -> StreamJob:
    """The job of the kill tests: small epochs, so that there are many steps to die at."""
    settings: dict[str, object] = {"limits": Limits(records=250, first_records=250), **options}
    return StreamJob(
        twin.STREAM,
        KafkaSource(bootstrap, topic),
        windows=twin.WINDOWS,
        lake=Lake(str(folder / "lake")),
        state=folder / "state",
        **settings,  # type: ignore[arg-type]
    )


def main() -> int:
    """Run the job once per line of stdin."""
    folder, bootstrap, topic = sys.argv[1:]
    print("ready", flush=True)
    for line in sys.stdin:
        # Nothing has run in this process but imports, so a fork is as good as a start, and much quicker.
        child = os.fork()
        if child == 0:
            os._exit(_live(Path(folder), bootstrap, topic, line.strip()))
        print(f"child {child}", flush=True)
        print(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}", flush=True)
    return 0


def _live(folder: Path, bootstrap: str, topic: str, last_step: str) -> int:
    workers = int(os.environ.get("MERCURY_WORKERS", "0"))

    def tell(progress: EpochProgress) -> None:
        print(f"epoch {progress.epoch}", *running.worker_pids(), flush=True)

    def die(step: str) -> None:
        if step == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    running = job(folder, bootstrap, topic, on_epoch=tell, probe=die, workers=workers, compact_every=5)
    try:
        running.run("end", drain=True)
    except MercuryError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
