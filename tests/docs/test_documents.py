"""Documents do what they say: every block runs, every link leads somewhere, every command and option exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mercury.cli import COMMANDS, LazyGroup, cli
from tests.docs import blocks, reference
from tests.docs.blocks import Command, PageError

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("benchmarks/**/README.md")]
)
RUN = [path for path in PAGES if path.parent.name == "docs"]
MARKERS = {"ray", "spark", "kafka"}


def _marked(path: Path) -> object:
    return pytest.param(
        path, id=path.stem, marks=[getattr(pytest.mark, need) for need in blocks.read(path).needs & MARKERS]
    )


@pytest.mark.parametrize("path", [_marked(path) for path in RUN])
def test_every_block_of_the_page_does_what_it_shows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flights: pa.Table
) -> None:
    page = blocks.read(path)
    if "flights" in page.needs:
        pq.write_table(flights, tmp_path / "flights.parquet")
        pa.csv.write_csv(flights, tmp_path / "flights.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    done = blocks.run(page, tmp_path)

    runnable = [block for block in page.blocks if block.language in ("python", "console") or block.file]
    assert done == sum(block.skip is None and page.skip is None for block in runnable)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    broken = [link for link in _links(path.read_text(encoding="utf-8")) if not _leads(path, link)]

    assert not broken


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_a_block_that_is_not_run_names_the_test_that_covers_it(path: Path) -> None:
    page = blocks.read(path)
    named = [page.skip, *(block.skip for block in page.blocks)]

    assert all((ROOT / test).is_file() for test in named if test is not None)


@pytest.mark.parametrize("path", [*RUN, ROOT / "README.md"], ids=lambda path: path.stem)
def test_every_command_and_option_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    spans = [block.text for block in blocks.read(path).blocks if block.language in ("console", "sh")]
    spans += re.findall(r"`(mercury [^`]+)`", text)
    wrong = [problem for span in spans for line in span.splitlines() for problem in _misused(line)]

    assert not wrong


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {link.partition("#")[0] for link in _links(index)}

    assert {path.name for path in RUN} - {"README.md"} <= linked


def test_the_reference_is_that_of_the_code() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.render(), "run: python -m tests.docs.reference"


def _links(text: str) -> Iterator[str]:
    plain = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    for link in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", plain):
        if not link.startswith(("http://", "https://", "mailto:")):
            yield link


def _leads(path: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = (path.parent / file).resolve() if file else path
    if not target.exists():
        return False
    return not anchor or anchor in {_anchor(title) for title in _titles(target)}


def _titles(path: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _misused(line: str) -> Iterator[str]:
    """Commands and options of `mercury` in a line that the command line does not know."""
    for call in re.findall(
        r"(?:^|[\s(;&|])mercury (.+?)(?=$|[;&|)]| # )", re.split(r"\s#\s", line.removeprefix("$ "))[0]
    ):
        command: click.Command = cli
        for word in call.split():
            if word.startswith("--"):
                option = re.split(r"[=\]…,.]", word)[0]
                known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
                if option not in known | {"--help"} and command is not cli:
                    yield f"{line.strip()}: {command.name} has no {option}"
            elif isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", word):
                found = command.get_command(click.Context(command), word)
                if found is None:
                    yield f"{line.strip()}: there is no command {word!r}"
                    break
                command = found


def test_a_wrong_page_is_told(tmp_path: Path) -> None:
    def told(text: str) -> str:
        path = tmp_path / "page.md"
        path.write_text(text)
        with pytest.raises((PageError, NameError, AssertionError)) as caught:
            blocks.run(blocks.read(path), tmp_path)
        return str(caught.value)

    assert "page.md:1: `echo a` prints\na\n" in told("```console\n$ echo a\nb\n```\n")
    assert "`exit 3` ends with 3, not 0" in told("```console\n$ exit 3\n```\n")
    assert "`true` ends with 0, not 5" in told("```console\n$ true\n[exit 5]\n```\n")
    assert "name 'x' is not defined" in told("```python\nx\n```\n")
    assert "page.md:1: the block is not closed" in told("```python\nx = 1\n")
    assert "'need flights' is no note" in told("<!-- test: need flights -->\n")


def test_a_page_is_run_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "# Page\n\n<!-- file: a/b.txt -->\n```text\nhello\n```\n\n"
        "```python\nx = open('a/b.txt').read()\n```\n\n```python\nassert x == 'hello\\n'\n```\n\n"
        "```console\n$ cat a/b.txt \\\n  && ls\nhello\n…\n$ seq 5; exit 2\n1\n…\n5\n[exit 2]\n```\n\n"
        "<!-- test: skip: it needs a cluster, see tests/docs/test_documents.py -->\n```console\n$ false\n```\n"
    )
    page = blocks.read(path)
    monkeypatch.chdir(tmp_path)

    assert blocks.run(page, tmp_path) == 4
    assert [block.skip for block in page.blocks] == [None] * 4 + ["tests/docs/test_documents.py"]


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a", "a\nb\n", False),
        ("took … s", "took 1.5 s\n", True),
        ("took … s", "took 1.5\ns\n", False),
        ("a\n…\nd", "a\nb\nc\nd\n", True),
        ("a\n…\nd", "a\nd\n", True),
        ("a\n…", "b\n", False),
        ("a.c", "abc\n", False),
    ],
)
def test_output_is_compared_but_for_what_stands_for_any_text(expected: str, found: str, same: bool) -> None:
    assert blocks.matches(expected, found) is same


def test_unknown_commands_and_options_are_found() -> None:
    assert list(_misused("$ mercury quality chek data.csv")) == [
        "$ mercury quality chek data.csv: there is no command 'chek'"
    ]
    assert list(_misused("mercury stream run flights --wrkers 2")) != []
    assert list(_misused("$ mercury stream run flights --workers 2 --until-end")) == []
    assert list(_misused("mercury plan                # what would change; mercury nonsense")) == []
    assert isinstance(cli, LazyGroup) and set(COMMANDS) <= set(cli.list_commands(click.Context(cli)))
    assert next(commands_of("$ echo a\n")).code == 0


def commands_of(text: str) -> Iterator[Command]:
    return blocks.commands(blocks.Block("console", text, 1))
