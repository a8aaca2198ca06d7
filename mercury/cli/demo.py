"""`mercury demo`: the flights story, run from the examples that come with Mercury."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from mercury.errors import NotFoundError


@click.command()
@click.option("--fast", is_flag=True, help="One month of flights instead of a year.")
@click.option("--keep", is_flag=True, help="Leave the services up at the end and print their addresses.")
@click.option(
    "--source",
    type=click.Choice(["kafka", "files"]),
    default="kafka",
    show_default=True,
    help="Stream through a real broker, or replay the same events from files.",
)
@click.option("--bootstrap-servers", help="Use this Kafka instead of starting one.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".mercury-demo"),
    show_default=True,
    help="Folder for everything the story writes; it is emptied first.",
)
def demo(fast: bool, keep: bool, source: str, bootstrap_servers: str | None, state: Path) -> None:
    """Stream a year of real flights into tables and features, train and serve a model on them, and say what was done.

    Example: mercury demo --fast
    """
    sys.path.insert(0, str(examples()))
    story = importlib.import_module("flights.story")
    story.run(story.Options(fast=fast, keep=keep, source=source, bootstrap_servers=bootstrap_servers, state=state))


def examples() -> Path:
    """The folder of examples: of the checkout that Mercury runs from, or the one that its wheel installed."""
    places = [Path(__file__).parents[2] / "examples", Path(sys.prefix) / "share" / "mercury" / "examples"]
    for place in places:
        if (place / "flights" / "story.py").exists():
            return place
    raise NotFoundError(
        "the examples are not installed", where=str(places[0]), fix="Run from a checkout, or reinstall mercury-platform"
    )
