"""`mercury plan` and `mercury apply`: what would change, and making it so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mercury.registry import Plan, Registry

_PROJECT = click.option("--project", "project_file", type=click.Path(path_type=Path), help="Project file.")
_FORMAT = click.option("--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)


@click.command()
@_PROJECT
@_FORMAT
def plan(project_file: Path | None, form: str) -> None:
    """Show what `apply` would change; write nothing."""
    _, prepared = _prepare(project_file)
    click.echo(json.dumps(prepared.to_dict(), indent=2) if form == "json" else prepared.text())


@click.command()
@click.option("--revision", type=click.IntRange(min=0), help="Apply only if this is the revision that is current.")
@_PROJECT
@_FORMAT
def apply(revision: int | None, project_file: Path | None, form: str) -> None:
    """Make the project what its file says, atomically.

    Of two callers at once one succeeds; the other changes nothing and exits with code 8.
    """
    from mercury.errors import ApplyConflictError

    registry, prepared = _prepare(project_file)
    if revision is not None and prepared.base != revision:
        raise ApplyConflictError(
            f"project {prepared.project.name!r} is at revision {prepared.base}, not {revision}",
            fix="Run `mercury plan` again and look at what has changed",
        )
    applied = registry.apply(prepared)
    if form == "json":
        document = {**prepared.to_dict(), "revision": applied.number, "applied": not prepared.empty}
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(prepared.text())
    if not prepared.empty:
        click.echo(f"Applied as revision {applied.number}")


def _prepare(project_file: Path | None) -> tuple[Registry, Plan]:
    from mercury.config import load_settings
    from mercury.projects import load_project
    from mercury.registry import Registry

    settings = load_settings(project_file)
    registry = Registry(settings.registry_url)
    return registry, registry.plan(load_project(settings.project))
