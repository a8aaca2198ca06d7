"""Documents do what they say: every block runs, every link leads somewhere, every command and option exists."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mercury import errors
from mercury.cli import COMMANDS, LazyGroup, cli
from mercury.config import Settings
from mercury.errors import MercuryError
from tests.docs import blocks, reference
from tests.docs.blocks import Command, PageError

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("benchmarks/**/README.md")]
)
RUN = [path for path in PAGES if path.parent.name == "docs" or path == ROOT / "README.md"]
MARKERS = {"ray", "spark", "kafka"}
NEEDS = MARKERS | {"flights", "checkout"}
OTHERS_OPTIONS = {"--num-cpus", "--working-dir"}
"""Options that pages name which are Ray's."""


def _named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _marked(path: Path) -> object:
    marks = [getattr(pytest.mark, need) for need in blocks.read(path).needs & MARKERS]
    return pytest.param(path, id=_named(path), marks=marks)


@pytest.mark.parametrize("path", [_marked(path) for path in RUN])
def test_every_block_of_the_page_does_what_it_shows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flights: pa.Table
) -> None:
    page = blocks.read(path)
    if "flights" in page.needs:
        pq.write_table(flights, tmp_path / "flights.parquet")
        pa.csv.write_csv(flights, tmp_path / "flights.csv")
    if "checkout" in page.needs:
        for name in ("examples", "jobs"):
            (tmp_path / name).symlink_to(ROOT / name)
        (tmp_path / ".venv").symlink_to(sys.prefix)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    done = blocks.run(page, tmp_path)

    assert page.needs <= NEEDS
    runnable = [block for block in page.blocks if block.language in ("python", "console") or block.file]
    assert done == sum(block.skip is None and page.skip is None for block in runnable)


@pytest.mark.parametrize("path", PAGES, ids=_named)
def test_every_link_leads_somewhere(path: Path) -> None:
    broken = [link for link in _links(path.read_text(encoding="utf-8")) if not _leads(path, link)]

    assert not broken


@pytest.mark.parametrize("path", RUN, ids=_named)
def test_a_block_that_is_not_run_names_the_test_that_covers_it(path: Path) -> None:
    page = blocks.read(path)
    named = [page.skip, *(block.skip for block in page.blocks)]

    assert all((ROOT / test).is_file() for test in named if test is not None)
    # A page that is skipped as a whole has a test of its own, which reads it.
    assert page.skip is None or path.name in (ROOT / page.skip).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", RUN, ids=_named)
def test_what_a_reader_types_stands_in_a_block_that_is_run(path: Path) -> None:
    shown = [block for block in blocks.read(path).blocks if block.language not in ("console", "python")]
    typed = [
        line for block in shown for line in block.text.splitlines() if re.match(r"(\$ )?(mercury|make|pip) ", line)
    ]

    assert not typed


@pytest.mark.parametrize("path", [*RUN, ROOT / "CHANGELOG.md"], ids=_named)
def test_every_command_and_option_exists(path: Path) -> None:
    spans = _spans(path.read_text(encoding="utf-8"))
    lines = [block.text for block in blocks.read(path).blocks if block.language in ("console", "sh")]
    lines += [span for span in spans if span.startswith("mercury ")]
    wrong = [problem for text in lines for line in text.splitlines() for problem in _misused(line)]
    known = {*_options(cli), *OTHERS_OPTIONS}
    wrong += [span for span in spans if (option := re.match(r"--[a-z-]+", span)) and option[0] not in known]

    assert not wrong


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {link.partition("#")[0] for link in _links(index)}

    assert {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"} <= linked


def test_the_reference_is_that_of_the_code() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.render(), "run: python -m tests.docs.reference"


def test_the_reference_holds_every_option_setting_and_error() -> None:
    """By another way than the one it is made by."""
    page = reference.PAGE.read_text(encoding="utf-8")
    commands, settings, codes = (part for part in re.split(r"^## .+$", page, flags=re.MULTILINE)[1:])
    kinds = [MercuryError]
    for kind in kinds:
        kinds += [below for below in kind.__subclasses__() if below.__module__ == errors.__name__]

    for path, command in _leaves("mercury", cli):
        section = commands.partition(f"### {path}\n")[2].partition("\n### ")[0]
        shown = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", " ".join(re.findall(r"^\| `([^`]+)`", section, re.M))))
        assert shown == {name for each in command.params if isinstance(each, click.Option) for name in _names(each)}
    assert re.findall(r"^\| `(\w+)` \| `MERCURY_", settings, re.MULTILINE) == Settings.names()
    assert sorted(re.findall(r"^\| (\d) \| `(\w+)` ", codes, re.MULTILINE)) == sorted(
        (str(kind.exit_code), kind.__name__) for kind in kinds
    )


def _leaves(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Every command that can be run, by what is typed."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _leaves(f"{path} {name}", inner)


def _names(parameter: click.Parameter) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]


def _options(command: click.Command) -> set[str]:
    return {"--help", "--version"} | {
        name for _, leaf in _leaves("mercury", command) for each in leaf.params for name in _names(each)
    }


def _spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE))


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
            if re.match(r"-[a-z-]", word):
                option = re.split(r"[=\]…,.]", word)[0]
                known = {name for parameter in command.params for name in _names(parameter)}
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


def test_a_missing_file_and_a_missing_title_are_broken_links(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# Other\n\n## Time, and windows\n\n```sh\n# no title\n```\n")
    page.write_text(
        "# Page\n[a](other.md) [b](other.md#time-and-windows) [c](#page) [d](https://example.org) `[code](no.md)`\n"
        "[e](no.md) [f](other.md#time) [g](#no-title) [h](other.md#no-title)\n```sh\n[i](no.md)\n```\n"
    )

    broken = [link for link in _links(page.read_text()) if not _leads(page, link)]

    assert broken == ["no.md", "other.md#time", "#no-title", "other.md#no-title"]


def test_a_shell_keeps_its_folder_and_variables(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "```console\n$ mkdir in && cd in && export WORD=$'two\\nlines'\n$ cd nowhere 2> /dev/null || exit 4\n[exit 4]\n"
        '```\n\n```console\n$ basename "$PWD"; echo "$WORD"\nin\ntwo\nlines\n```\n'
    )

    assert blocks.run(blocks.read(path), tmp_path) == 2


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
    assert list(_misused("mercury quality check data.csv -x c.yaml")) != []
    assert list(_misused("mercury quality check data.csv -c c.yaml -o html=x.html")) == []
    assert list(_misused("$ mercury stream run flights --workers 2 --until-end")) == []
    assert list(_misused("mercury plan                # what would change; mercury nonsense")) == []
    assert isinstance(cli, LazyGroup) and set(COMMANDS) <= set(cli.list_commands(click.Context(cli)))
    assert next(commands_of("$ echo a\n")).code == 0


def commands_of(text: str) -> Iterator[Command]:
    return blocks.commands(blocks.Block("console", text, 1))
