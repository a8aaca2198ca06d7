"""`mercury rollups`: partial answers kept ready for queries."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

_project = click.option("--project", "project_file", type=click.Path(path_type=Path), help="Project file.")
_format = click.option(
    "--format", "form", type=click.Choice(["human", "json"]), default="human", help="Form of the result."
)


@click.group()
def rollups() -> None:
    """Build the rollups of semantic models and show how far they reach."""


@rollups.command()
@click.argument("model", required=False)
@click.option("--rollup", help="One of the model's rollups  [default: all].")
@click.option("--until", metavar="TIME", help="Leave out rows from this time on (ISO 8601; UTC without an offset).")
@_project
@_format
def build(model: str | None, rollup: str | None, until: str | None, project_file: Path | None, form: str) -> None:
    """Bring rollups up to their source; rows that a stream brought since the last build are added.

    mercury rollups build flights
    """
    from mercury.analytics import build_rollups
    from mercury.analytics.calendars import read_instant
    from mercury.config import load_settings
    from mercury.definitions import SemanticModel
    from mercury.projects import load_project

    settings = load_settings(project_file)
    project = load_project(settings.project)
    end = None if until is None else read_instant(until, "UTC")
    names = [model] if model is not None else [part.name for part in project.of(SemanticModel) if part.rollups]
    done = [build for name in names for build in build_rollups(project, settings, name, rollup, until=end)]
    if form == "json":
        click.echo(json.dumps([asdict(build) for build in done]))
        return
    words = {"whole": "built", "added": "added to", "current": "is up to date:"}
    for one in done:
        click.echo(f"{one.model}.{one.rollup}: {words[one.how]} {one.cells:,} cells in {one.seconds:.2f} s")


@rollups.command()
@_project
@_format
def status(project_file: Path | None, form: str) -> None:
    """Show of which version, epoch and time each rollup is."""
    from mercury.analytics import resolve
    from mercury.analytics.rollup import rollups_of
    from mercury.config import load_settings
    from mercury.definitions import SemanticModel
    from mercury.lake import Lake
    from mercury.projects import load_project
    from mercury.time import to_iso

    settings = load_settings(project_file)
    lake, rows = Lake(settings.lake), []
    for model in load_project(settings.project).of(SemanticModel):
        for table in rollups_of(resolve(model), lake):
            found = table.coverage()
            row = {"model": model.name, "rollup": table.name, "grain": table.grain, "built": found is not None}
            if found is not None:
                until = None if found.until is None else to_iso(found.until)
                current = found.digest == table.digest
                row |= {"cells": found.cells, "version": found.version, "epoch": found.epoch, "until": until,
                        "definition_current": current}  # fmt: skip
            rows.append(row)
    if form == "json":
        click.echo(json.dumps(rows))
        return
    for row in rows:
        if not row["built"]:
            click.echo(f"{row['model']}.{row['rollup']}: not built")
            continue
        at = f"version {row['version']}" + ("" if row["epoch"] is None else f", epoch {row['epoch']}")
        note = "" if row["definition_current"] else "; of another definition, build it again"
        until = f", until {row['until']}" if row["until"] else ""
        click.echo(f"{row['model']}.{row['rollup']}: {row['cells']:,} cells of {at}{until}{note}")
