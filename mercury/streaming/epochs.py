"""The plan of an epoch, written down before work starts and never changed.

An epoch is a pure function of its plan and of the state that the epoch before left; whoever finds a plan carries out
that one. So a plan is created exclusively: of two coordinators that plan the same epoch, one reads the other's.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mercury.definitions import canonical_json
from mercury.errors import CorruptDataError, DiskFullError
from mercury.streaming.watermarks import BEGINNING

FORMAT = 1
"""Version of the plan's JSON; a reader refuses another."""

_ENOSPC = 28


@dataclass(frozen=True)
class EpochPlan:
    """What an epoch reads and by which clock it judges.

    ``ranges`` maps a partition to its offsets ``[low, high)``; ``watermark`` is the job's before the epoch; ``clock``
    the wall clock (µs) against which future events are judged; ``idle`` the partitions that do not hold back the
    watermark after it; ``drain`` closes all windows at its end.
    """

    job: str
    epoch: int
    ranges: Mapping[int, tuple[int, int]]
    watermark: int
    clock: int
    idle: tuple[int, ...] = ()
    drain: bool = False

    @property
    def records(self) -> int:
        """Offsets that the plan covers."""
        return sum(high - low for low, high in self.ranges.values())

    def to_json(self) -> bytes:
        """Canonical JSON: equal plans give equal bytes."""
        return canonical_json(
            {
                "format": FORMAT,
                "job": self.job,
                "epoch": self.epoch,
                "ranges": {str(partition): list(ends) for partition, ends in self.ranges.items()},
                "watermark": self.watermark,
                "clock": self.clock,
                "idle": list(self.idle),
                "drain": self.drain,
            }
        )

    @classmethod
    def from_json(cls, data: bytes | str, where: str = "plan") -> EpochPlan:
        """The plan that `to_json` wrote; `CorruptDataError` for anything else."""
        try:
            raw = json.loads(data)
            if raw["format"] != FORMAT:
                raise CorruptDataError(
                    f"plan format {raw['format']} is not {FORMAT}", where=where, fix="Upgrade Mercury"
                )
            return cls(
                raw["job"],
                raw["epoch"],
                {int(partition): (low, high) for partition, (low, high) in raw["ranges"].items()},
                raw["watermark"],
                raw["clock"],
                tuple(raw["idle"]),
                raw["drain"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptDataError(
                f"not an epoch plan: {error!r}", where=where, fix="Delete the file; the epoch is planned again"
            ) from error


@dataclass(frozen=True)
class Limits:
    """How much one epoch takes.

    Bytes bound it through the mean size of the records so far. ``drift`` (µs) stops reading a partition whose greatest
    event time is further ahead of the slowest one that has more to read; None reads all alike. ``seconds`` is the least
    time between the beginnings of two epochs while less than a full one is there to read, in a run that does not stop
    at an end: every epoch costs a commit per table.
    """

    records: int = 100_000
    bytes: int = 64 << 20
    first_records: int = 20_000
    drift: int | None = None
    seconds: float = 0.2


def plan_ranges(
    positions: Mapping[int, int],
    ends: Mapping[int, int],
    limits: Limits,
    bytes_per_record: float | None = None,
    latest: Mapping[int, int] | None = None,
) -> dict[int, tuple[int, int]]:
    """Offset ranges of the next epoch: a fair share for every partition that has more, none for one too far ahead."""
    lag = {partition: max(ends.get(partition, low) - low, 0) for partition, low in positions.items()}
    lag = {partition: 0 if partition in _ahead(lag, latest or {}, limits.drift) else n for partition, n in lag.items()}
    budget = limits.records
    if bytes_per_record is None:
        budget = min(budget, limits.first_records)
    else:
        budget = max(1, min(budget, int(limits.bytes / max(bytes_per_record, 1.0))))
    share = _fair(lag, budget)
    return {partition: (positions[partition], positions[partition] + share[partition]) for partition in sorted(lag)}


@dataclass(frozen=True)
class PlanLog:
    """Plans as files ``<epoch>.json`` in a folder; a shared folder when coordinators run on several machines."""

    folder: Path
    fsync: bool = field(default=True)

    def write(self, plan: EpochPlan) -> EpochPlan:
        """Write the plan unless the epoch has one, and return the one that it now has."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_exclusively(self._path(plan.epoch), plan.to_json(), fsync=self.fsync)
        found = self.read(plan.epoch)
        assert found is not None
        return found

    def read(self, epoch: int) -> EpochPlan | None:
        """The plan of an epoch, or None."""
        path = self._path(epoch)
        try:
            return EpochPlan.from_json(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    def forget(self, before: int) -> None:
        """Remove the plans of epochs below `before`; the job's log keeps what they said."""
        for path in self.folder.glob("*.json"):
            if int(path.stem) < before:
                path.unlink(missing_ok=True)

    def _path(self, epoch: int) -> Path:
        return self.folder / f"{epoch:012d}.json"


def take_over(folder: Path) -> int:
    """Number of a new incarnation of a job, greater than all before it, claimed by an exclusively created file."""
    folder.mkdir(parents=True, exist_ok=True)
    number = newest_incarnation(folder) + 1
    while not write_exclusively(folder / str(number), b""):
        number += 1
    for path in folder.iterdir():
        if path.name.isdigit() and int(path.name) < number:
            path.unlink(missing_ok=True)
    return number


def newest_incarnation(folder: Path) -> int:
    """The greatest incarnation that was claimed, 0 for none."""
    return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)


def write_exclusively(path: Path, data: bytes, *, fsync: bool = True) -> bool:
    """Create a file with all of its bytes or not at all, and never replace one; False when it existed.

    A rename would replace silently, and writing to the final name could leave half a file behind; a hard link does
    neither. Raises `DiskFullError` when there is no room.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            if fsync:
                os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        if fsync:
            _fsync_folder(path.parent)
        return True
    except OSError as error:
        if error.errno == _ENOSPC:
            raise DiskFullError(
                "no room to write a file of the stream's state", where=str(path), fix="Free space and run again"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ahead(lag: Mapping[int, int], latest: Mapping[int, int], drift: int | None) -> Collection[int]:
    reading = [partition for partition, count in lag.items() if count]
    if drift is None or not reading:
        return ()
    slowest = min(latest.get(partition, BEGINNING) for partition in reading)
    if slowest == BEGINNING:
        return ()
    return {partition for partition in reading if latest[partition] - slowest > drift}


def _fair(lag: Mapping[int, int], budget: int) -> dict[int, int]:
    share = dict.fromkeys(lag, 0)
    hungry = sorted(
        (partition for partition in lag if lag[partition]), key=lambda partition: (lag[partition], partition)
    )
    for index, partition in enumerate(hungry):
        share[partition] = min(lag[partition], budget // (len(hungry) - index))
        budget -= share[partition]
    return share
