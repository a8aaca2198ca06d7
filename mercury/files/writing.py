"""Files that appear whole or not at all: written beside their place, synced, and renamed.

A reader, or a run that is killed, meets the old file or the new one, never a part of either.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mercury.errors import DiskFullError, NotFoundError, UsageError


@contextlib.contextmanager
def replacing(path: str | Path, *, inputs: Iterable[str | Path] = ()) -> Iterator[Path]:
    """The path to write to for the length of the block; what lies there at its end becomes ``path``.

    A symbolic link is followed, so that the file it names is replaced; the permissions of a file that was there stay.
    A pipe or a device (``/dev/stdout``) is given as it is. An error in the block leaves what was there.

    Parameters
    ----------
    path : the file to make or to replace.
    inputs : files that are being read; to write onto one of them is refused.

    Raises `UsageError` when ``path`` is one of the inputs or a folder, `NotFoundError` when its folder does not exist,
    `DiskFullError` when there is no room.
    """
    wanted = Path(path)
    if any(is_same_file(wanted, each) for each in inputs):
        raise UsageError(f"the output {str(path)!r} is also the input", fix="Write to another file")
    if wanted.is_dir():
        raise UsageError(f"{str(path)!r} is a folder", fix="Name a file in it")
    place = wanted.resolve()
    if not place.parent.is_dir():
        raise NotFoundError(f"the folder {str(wanted.parent)!r} does not exist", fix="Make it, or write elsewhere")
    if place.exists() and not place.is_file():
        yield wanted
        return
    mode = stat.S_IMODE(place.stat().st_mode) if place.exists() else 0o666 & ~_umask()
    with _no_room(wanted):
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.", suffix=f".partial{place.suffix}")
    os.close(handle)
    beside = Path(name)
    try:
        with _no_room(wanted):
            yield beside
            beside.chmod(mode)
            _sync(beside)
            beside.replace(place)
        _sync(place.parent)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str, *, inputs: Iterable[str | Path] = ()) -> None:
    """Make ``path`` hold this text in UTF-8, whole or not at all; arguments and errors are those of `replacing`."""
    with replacing(path, inputs=inputs) as beside:
        beside.write_text(text, encoding="utf-8")


def is_same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two paths name one file, by whatever links; also when it does not exist yet."""
    try:
        return Path(one).samefile(other)
    except OSError:
        return Path(one).resolve() == Path(other).resolve()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _no_room(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                "there is no room for the file; what was there is as it was",
                where=str(path),
                fix="Free space and run again",
            ) from error
        raise
