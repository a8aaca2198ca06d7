"""The `mercury` command: a thin tree that imports a subcommand's module only when it is called.

Results go to stdout, everything else to stderr. A `MercuryError` is printed as one line and ends the process with the
exit code of its class (`mercury.errors`); a traceback is a bug.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import cast

import click

from mercury.errors import MercuryError

COMMANDS = {
    "apply": ("mercury.cli.project", "Make the project what its file says, atomically."),
    "batch": ("mercury.cli.batch", "Run batch jobs on the cluster."),
    "config": ("mercury.cli.config", "Print every setting and where it came from."),
    "demo": ("mercury.cli.demo", "Run the flights story from broker to served model."),
    "features": ("mercury.cli.features", "Materialize, backfill and audit features."),
    "forecast": ("mercury.cli.forecast", "Forecast the series of a CSV or Parquet file."),
    "kafka": ("mercury.cli.kafka", "Start, stop and inspect the project's Kafka broker."),
    "live": ("mercury.cli.live", "Serve metrics and a live page, without Ray."),
    "monitor": ("mercury.cli.monitor", "Watch models in service: drift, quality, alarms."),
    "plan": ("mercury.cli.project", "Show what `apply` would change."),
    "private": ("mercury.cli.private", "Ask about people with differential privacy, within a budget."),
    "quality": ("mercury.cli.quality", "Check data against a contract."),
    "query": ("mercury.cli.query", "Answer metrics of a semantic model."),
    "rollups": ("mercury.cli.rollups", "Keep partial answers ready for queries."),
    "serve": ("mercury.cli.serve", "Serve models and features over HTTP."),
    "stream": ("mercury.cli.stream", "Run a stream and show how far it is."),
    "train": ("mercury.cli.train", "Train, evaluate and register a model."),
}
"""Command name to the module that holds it (under the same name) and its one line of help."""


class LazyGroup(click.Group):
    """A group whose commands are imported on use, so that `mercury --help` costs next to nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        return cast(click.Command, getattr(module, cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["--help"]})
@click.version_option(package_name="mercury-platform", prog_name="mercury")
def cli() -> None:
    """Mercury: streams, features, models and their monitoring on one Ray cluster."""


def main() -> None:
    """Run the command line and exit: 0, or the documented code of the error."""
    try:
        status = cli.main(standalone_mode=False)
    except MercuryError as error:
        fail(str(error), error.exit_code, error.excerpt)
    except click.exceptions.Abort:
        fail("interrupted", 130)
    except click.ClickException as error:
        fail(error.format_message(), 2)
    except BrokenPipeError:
        # The reader of stdout went away, as in `mercury query … | head`; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    else:
        sys.exit(status if isinstance(status, int) else 0)


def fail(message: str, code: int, excerpt: str | None = None) -> None:
    """Print one line (and the excerpt, if any) to stderr and exit with the code."""
    click.echo(f"mercury: {message}", err=True)
    if excerpt:
        click.echo(excerpt, err=True)
    sys.exit(code)
