"""Blocks of a Markdown page, and how they are run: what a reader sees is what a test does.

A page is run from top to bottom in a folder of its own:

- a ``python`` block is executed; all of a page share one namespace;
- in a ``console`` block, lines that begin with ``$ `` are run by bash, and the lines below them are what they print;
  ``…`` stands for any text, over several lines when alone on one; ``[exit 5]`` is the code of one that fails. As in a
  terminal, the current folder and exported variables last to the end of the page;
- ``<!-- file: NAME -->`` before a block writes it to that file instead;
- ``<!-- test: skip: REASON, see tests/… -->`` before a block leaves it out, at the top of a page all of it;
- ``<!-- test: needs flights -->`` puts flights.parquet and flights.csv into the folder, ``needs checkout`` what a
  reader has who has cloned the repository, ``needs ray`` (spark, kafka) gives the page's test that marker.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
_NOTE = re.compile(r"^ *<!-- (?P<kind>file|test): (?P<text>.+?) -->\s*$")
_SKIP = re.compile(r"skip: (?P<reason>.+), see (?P<test>tests/\S+\.py)$")
_LEAVE = """trap '{ printf "%s\\0" "$PWD"; env -0; } > "$0"' EXIT"""
COMMAND_SECONDS = 120


class PageError(AssertionError):
    """A block does not do what the page says; the message names file and line."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, line of its fence, and the notes that stand right above it."""

    language: str
    text: str
    line: int
    file: str | None = None
    skip: str | None = None


@dataclass(frozen=True)
class Page:
    """A page's blocks, what it needs, and why it is skipped as a whole, if it is."""

    path: Path
    blocks: tuple[Block, ...]
    needs: frozenset[str]
    skip: str | None


def read(path: Path) -> Page:
    """The blocks of a page; `PageError` for a note that means nothing and a fence that is not closed."""
    blocks: list[Block] = []
    needs: set[str] = set()
    whole: str | None = None
    notes: dict[str, str] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    place = 0
    while place < len(lines):
        line = lines[place]
        if (note := _NOTE.match(line)) is not None:
            _take(path, place, note, notes, needs)
        elif (fence := _FENCE.match(line)) is not None:
            end = next((at for at in range(place + 1, len(lines)) if lines[at].strip() == "```"), None)
            if end is None:
                raise PageError(f"{path}:{place + 1}: the block is not closed")
            indent = len(fence["indent"])
            text = "".join(f"{inner[indent:]}\n" for inner in lines[place + 1 : end])
            blocks.append(Block(fence["language"], text, place + 1, notes.get("file"), notes.get("skip")))
            notes, place = {}, end
        elif line.strip():
            if "skip" in notes and not blocks and whole is None:
                whole = notes["skip"]
            notes = {}
        place += 1
    return Page(path, tuple(blocks), frozenset(needs), whole)


def _take(path: Path, place: int, note: re.Match[str], notes: dict[str, str], needs: set[str]) -> None:
    text = note["text"]
    if note["kind"] == "file":
        notes["file"] = text
    elif (skip := _SKIP.match(text)) is not None:
        notes["skip"] = skip["test"]
    elif text.startswith("needs "):
        needs.update(text.removeprefix("needs ").split())
    else:
        raise PageError(f"{path}:{place + 1}: {text!r} is no note. Write 'needs …' or 'skip: REASON, see tests/….py'")


def run(page: Page, folder: Path) -> int:
    """Run a page in a folder; how many blocks ran. `PageError` at the first that does not do what it shows."""
    names: dict[str, Any] = {"__name__": f"page_{page.path.stem}"}
    shell = Shell(folder)
    done = 0
    for block in page.blocks:
        if block.skip is not None or page.skip is not None:
            continue
        where = f"{page.path}:{block.line}"
        if block.file is not None:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            # Line numbers of a traceback are those of the page.
            code = compile("\n" * block.line + block.text, str(page.path), "exec")
            exec(code, names)  # noqa: S102 - running what the page says is the point
        elif block.language == "console":
            for command in commands(block):
                shell.check(command, where)
        else:
            continue
        done += 1
    return done


@dataclass(frozen=True)
class Command:
    """A line that a reader types, what it prints, and the code that it ends with."""

    text: str
    expected: str
    code: int


class Shell:
    """Runs commands one after the other, each in the folder and with the variables that the one before left."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("MERCURY_", "RAY_"))
        }
        self._variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._variables["COLUMNS"] = "120"

    def check(self, command: Command, where: str) -> None:
        """Run a command; `PageError` when it prints something else or ends with another code."""
        with tempfile.NamedTemporaryFile() as left:
            done = subprocess.run(
                ["bash", "-c", f"{_LEAVE}\n{command.text}", left.name],
                cwd=self._folder,
                env=self._variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=COMMAND_SECONDS,
            )
            folder, *variables = left.read().decode().removesuffix("\0").split("\0")
        if folder:  # A shell that was killed leaves nothing.
            self._folder, self._variables = folder, dict(variable.split("=", 1) for variable in variables)
        told = f"{where}: `{command.text}`"
        if done.returncode != command.code:
            raise PageError(f"{told} ends with {done.returncode}, not {command.code}:\n{done.stdout}")
        if command.expected and not matches(command.expected, done.stdout):
            raise PageError(f"{told} prints\n{done.stdout}\nand the page says\n{command.expected}")


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block; a line that ends with a backslash goes on in the next."""
    text, expected, code = "", [], 0
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if text:
                yield Command(text, "\n".join(expected), code)
            text, expected, code = line[2:], [], 0
        elif text.endswith("\\") and not expected:
            text += f"\n{line}"
        elif (ended := re.fullmatch(r"\[exit (\d+)\]", line.strip())) is not None:
            code = int(ended[1])
        else:
            expected.append(line)
    if text:
        yield Command(text, "\n".join(expected), code)


def matches(expected: str, found: str) -> bool:
    """Whether output is as shown: ``…`` stands for any text of a line, alone on a line for any lines."""
    pattern = ""
    for line in expected.strip("\n").splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ ]*\n"
    return re.fullmatch(pattern, "\n".join(line.rstrip() for line in found.strip("\n").splitlines()) + "\n") is not None
