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


SETTINGS = """From the first place that has it: the variable `MERCURY_<NAME>`, the key in `mercury.toml` beside the
project file, a variable that the tool itself reads (`RAY_ADDRESS`, `MLFLOW_TRACKING_URI`), the default.
`mercury config` prints each with its origin. A name that is no setting is an error; an empty variable counts as unset.

Relative paths begin at the current folder in a variable, and at the folder of the file in `mercury.toml`, where values
are texts (`lake = "s3://bucket/lake"`). Sizes are bytes, or as in `"2GiB"`.
"""

VARIABLES = {
    "RAY_AUTH_TOKEN": "the token of the Ray cluster ([security](security.md#the-token))",
    "RAY_AUTH_TOKEN_PATH": "the file that holds it; `~/.ray/auth_token` without",
    "OPENLINEAGE_API_KEY": "key of the lineage server ([lineage](lineage.md#sending-events-to-a-server))",
    "OPENLINEAGE_NAMESPACE": "namespace of jobs in lineage; `mercury` without",
    "OPENLINEAGE_PARENT_ID": "the run that the runs of a process belong to, `namespace/job/run id`",
    "MERCURY_IVY_SETTINGS": "Ivy's settings file, for another Maven repository than the public one",
    "JAVA_HOME": "the Java to run Kafka and Spark with, from version 17 on; one comes with the installation",
    "XDG_CACHE_HOME": "where fetched jars are kept, in `mercury`; `~/.cache` without",
}
"""What is read beside the settings."""

EXIT_CODES = """0 is success; 130 is Ctrl-C. Every other code belongs to a class of errors, which Python callers catch
by name from `mercury.errors`; catching a class catches those below it. 1 is a bug, or a job's script that failed, with
the end of its log. Commands that judge end with 5 when the answer is no: `mercury quality check`,
`mercury features audit`, `mercury private audit`.
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
        if command.invoke_without_command:
            yield from _section(path, command)
        for name, inner in sorted(command.commands.items()):
            yield from _command(f"{path} {name}", inner)
    else:
        yield from _section(path, command)


def _section(path: str, command: click.Command) -> Iterator[str]:
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
            yield f"| `{_cell(_spelled(option))}` | {_cell(_meaning(option))} |"
        yield ""


def _metavar(argument: click.Argument) -> str:
    name = re.sub(r"[\[\].]", "", argument.make_metavar(click.Context(click.Command("x"))))
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
    # Where help says the default in words, it does so in brackets at the end.
    text = re.sub(r"\.? *\[default: (.+)\]$", r". Default: \1", text)
    if option.required:
        text += ". Required"
    elif "Default: " not in text and not option.is_flag and isinstance(option.default, str | int | float):
        text += f". Default: {option.default}" if option.default != "" else ""
    if option.multiple and "several" not in text:
        text += ". May be given several times"
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
    yield "Variables that are no settings:"
    yield ""
    yield "| variable | |"
    yield "|---|---|"
    yield from (f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items())
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
