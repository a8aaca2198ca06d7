"""Files appear whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mercury.errors import NotFoundError, UsageError
from mercury.files.writing import replacing, write_text


def test_the_new_file_replaces_the_old_one_and_keeps_its_permissions(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("old")
    file.chmod(0o640)

    write_text(file, "new")

    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("old")

    with pytest.raises(ZeroDivisionError), replacing(file) as beside:
        beside.write_text("half")
        raise ZeroDivisionError

    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


KILLED = """
import os, signal, sys
from mercury.files.writing import replacing
with replacing(sys.argv[1]) as beside:
    beside.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("old")

    ended = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)

    assert ended.returncode == -signal.SIGKILL
    assert file.read_text() == "old"


@pytest.mark.parametrize("how", ["the same name", "another spelling", "a link", "a hard link"])
def test_the_input_is_never_the_output(tmp_path: Path, how: str) -> None:
    file, link = tmp_path / "in.csv", tmp_path / "link.csv"
    file.write_text("ds,y")
    output = file
    if how == "another spelling":
        output = tmp_path / ".." / tmp_path.name / "in.csv"
    elif how == "a link":
        link.symlink_to(file)
        output = link
    elif how == "a hard link":
        os.link(file, link)
        output = link

    with pytest.raises(UsageError, match="is also the input"), replacing(output, inputs=[file]):
        pass

    assert file.read_text() == "ds,y"


def test_a_link_is_followed(tmp_path: Path) -> None:
    file, link = tmp_path / "in.csv", tmp_path / "link.csv"
    file.write_text("old")
    link.symlink_to(file)

    write_text(link, "new")

    assert link.is_symlink()
    assert file.read_text() == "new"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"), replacing(tmp_path / "nowhere" / "out.csv"):
        pass
    with pytest.raises(UsageError, match="is a folder"), replacing(tmp_path):
        pass


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True)

    write_text(pipe, "text")

    assert reader.communicate(timeout=30)[0] == "text"
