"""A stream's job in a process of its own, to be killed: ``python -m tests.streaming.driver FOLDER BOOTSTRAP TOPIC``.

It waits for a line on stdin, then runs to the end and drains, printing each committed epoch.
"""

from __future__ import annotations

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
    """Run; the exit code is that of the error, if any."""
    folder, bootstrap, topic = sys.argv[1:]
    print("ready", flush=True)
    sys.stdin.readline()

    def tell(progress: EpochProgress) -> None:
        print(progress.epoch, flush=True)

    try:
        job(Path(folder), bootstrap, topic, on_epoch=tell).run("end", drain=True)
    except MercuryError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
