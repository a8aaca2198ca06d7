"""The reference page, made from the code: `python -m tests.docs.reference` writes it, and a test compares it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from mercury import errors
from mercury.cli import COMMANDS, cli
from mercury.config import Settings, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"

HEAD = """# Reference

Every command, setting and exit code. This page is made from the code by `python -m tests.docs.reference`.

Results go to stdout, everything else to stderr. An error is one line, `mercury: what (where). What to do`, sometimes
with an excerpt that shows the place; a traceback is a bug.
"""


SETTINGS = """From the first place that has it: the variable `MERCURY_<NAME>`, the key in `mercury.toml` beside the project
file, a variable that the tool itself reads (`RAY_ADDRESS`, `MLFLOW_TRACKING_URI`), the default. `mercury config` prints
each with its origin.
"""

EXIT_CODES = """0 is success; 130 is Ctrl-C. Every other code belongs to a class of errors, which Python callers catch by
name from `mercury.errors`; catching a class catches those below it.
"""


def render() -> str:
    """The page's text."""
    return "\n".join([HEAD, "## Commands", "", *_commands(), "## Settings", "", *_settings(), *_exit_codes()])


def _commands() -> Iterator[str]:
    for name in sorted(COMMANDS):
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        yield from _command(f"mercury {name}", command)


def _command(path: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _command(f"{path} {name}", inner)
        if not command.invoke_without_command:
            return
    arguments = [part for part in command.params if isinstance(part, click.Argument)]
    yield f"### {path}"
    yield ""
    usage = " ".join([path, *(_metavar(part) for part in arguments)])
    yield f"`{usage}`: {_first_sentence(command.help or '')}"
    yield ""
    options = [part for part in command.params if isinstance(part, click.Option) and not part.hidden]
    if options:
        yield "| option | |"
        yield "|---|---|"
        for option in options:
            yield f"| `{_spelled(option)}` | {_cell(_meaning(option))} |"
        yield ""


def _metavar(argument: click.Argument) -> str:
    name = argument.make_metavar(click.Context(click.Command("x"))).strip("[]").removesuffix("...")
    name += "…" if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _spelled(option: click.Option) -> str:
    names = ", ".join(option.opts)
    if option.secondary_opts:
        names += f"/{', '.join(option.secondary_opts)}"
    if option.is_flag or option.count:
        return names
    if isinstance(option.type, click.Choice):
        return f"{names} {'/'.join(map(str, option.type.choices))}"
    return f"{names} {option.metavar or (option.type.name or '').upper().split()[0]}"


def _meaning(option: click.Option) -> str:
    text = re.sub(r"\s+", " ", option.help or "").strip().rstrip(".")
    default = option.default if not callable(option.default) else None
    if option.required:
        text += ". Required"
    elif option.show_default and default not in (None, False, ()) and not option.secondary_opts:
        text += f". Default: {default}"
    return text.lstrip(". ") + "."


def _settings() -> Iterator[str]:
    yield SETTINGS
    yield "| setting | variable | default | |"
    yield "|---|---|---|---|"
    meanings = _parameters(inspect.getdoc(Settings) or "")
    root = "/project"
    found = load_settings(Path(root) / "mercury_project.py", {}).public()
    for name in Settings.names():
        default = str(found[name]).replace(f"{root}/", "") if found[name] is not None else "–"
        yield f"| `{name}` | `MERCURY_{name.upper()}` | {_cell(default)} | {_cell(meanings[name])} |"
    yield ""


def _parameters(text: str) -> dict[str, str]:
    """Name to meaning of a numpydoc section of one-line entries."""
    body = text.partition("----------\n")[2]
    found: dict[str, str] = {}
    name = ""
    for line in body.splitlines():
        if (start := re.match(r"(\w+) : (.+)", line)) is not None:
            name = start[1]
            found[name] = start[2]
        elif name and line.startswith("    "):
            found[name] += f" {line.strip()}"
    return found


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes and errors"
    yield ""
    yield EXIT_CODES
    yield "| code | error | below | when |"
    yield "|---|---|---|---|"
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MercuryError)]
    for kind in sorted(kinds, key=lambda kind: (kind.exit_code, len(kind.__mro__), kind.__name__)):
        base = kind.__mro__[1].__name__ if kind is not errors.MercuryError else "Exception"
        when = _cell(_first_sentence(inspect.getdoc(kind) or ""))
        yield f"| {kind.exit_code} | `{kind.__name__}` | `{base}` | {when} |"
    yield ""


def _first_sentence(text: str) -> str:
    paragraph = re.sub(r"\s+", " ", text.strip().split("\n\n")[0])
    return paragraph if paragraph.endswith(".") else f"{paragraph}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
