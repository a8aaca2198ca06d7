"""`mercury config`: every setting, its value, and where it came from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mercury.config import load_settings


@click.command()
@click.option("--project", "project_file", type=click.Path(path_type=Path), help="Project file.")
@click.option("--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)
def config(project_file: Path | None, form: str) -> None:
    """Print every setting and where it came from."""
    settings = load_settings(project_file)
    values = settings.public()
    if form == "json":
        document = {name: {"value": value, "origin": settings.origin(name)} for name, value in values.items()}
        click.echo(json.dumps(document, indent=2))
        return
    name_width = max(len(name) for name in values)
    value_width = max(len(_shown(value)) for value in values.values())
    for name, value in values.items():
        click.echo(f"{name:<{name_width}}  {_shown(value):<{value_width}}  {settings.origin(name)}")


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
