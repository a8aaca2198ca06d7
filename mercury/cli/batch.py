"""`mercury batch`: run a project's jobs, and see which of their partitions are up to date."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import click

from mercury.errors import UsageError

_project = click.option(
    "--project",
    type=click.Path(path_type=Path),
    default=Path("mercury_project.py"),
    show_default=True,
    help="The project file.",
)
_format = click.option(
    "--format", "form", type=click.Choice(["human", "json"]), default="human", help="Form of the result."
)


@click.group()
def batch() -> None:
    """Run batch jobs on the cluster."""


@batch.command()
@click.argument("job")
@_project
@click.option("--date", help="The day to compute, YYYY-MM-DD; everything when left out.")
@click.option("--engine", type=click.Choice(["auto", "duckdb", "spark"]), help="Force an engine.")
@click.option("--deadline", default="1h", show_default=True, help="Longest time, as in 90s or 2h.")
@click.option("--force", is_flag=True, help="Run although no input has changed.")
@_format
def run(job: str, project: Path, date: str | None, engine: str | None, deadline: str, force: bool, form: str) -> None:
    """Bring the output of JOB up to its inputs; does nothing when it is."""
    from mercury.batch.dispatch import dispatch
    from mercury.config import load_settings
    from mercury.definitions import Job
    from mercury.projects import load_project
    from mercury.time import SECOND, duration

    if date is not None:
        _check_date(date)
    definition = load_project(project).get(Job, job)
    result = dispatch(
        definition,
        project,
        load_settings(project),
        date=date,
        engine=engine,
        deadline=duration(deadline) / SECOND,
        force=force,
        on_status=lambda text: click.echo(text, err=True),
    )
    if form == "json":
        click.echo(json.dumps(result.to_dict()))
    elif result.skipped:
        click.echo(f"{job}: {result.partition} is up to date at version {result.version} of its table")
    else:
        click.echo(
            f"{job}: {result.rows:,} rows of {result.partition} are version {result.version} of its table "
            f"({result.engine}, {result.seconds:.1f} s)"
        )


@batch.command()
@_project
@_format
def status(project: Path, form: str) -> None:
    """List the partitions that jobs have written, and whether their inputs have changed since."""
    from mercury.batch.ledger import entries
    from mercury.config import load_settings
    from mercury.definitions import Job
    from mercury.lake import Lake
    from mercury.projects import load_project

    lake = Lake(str(load_settings(project).lake))
    rows: list[dict[str, Any]] = [
        entry.to_dict() for job in load_project(project).of(Job) for entry in entries(job, lake)
    ]
    if form == "json":
        click.echo(json.dumps(rows))
        return
    for row in rows:
        state = "up to date" if row["current"] else "out of date" if row["version"] is not None else "never run"
        click.echo(f"{row['job']}  {row['partition']}  {state}  {_detail(row)}".rstrip())


def _detail(row: dict[str, Any]) -> str:
    if row["version"] is None:
        return ""
    inputs = ", ".join(f"{name}@{version}" for name, version in sorted(row["inputs"].items()))
    return f"version {row['version']} by {row['engine']} from {inputs}"


def _check_date(date: str) -> None:
    try:
        dt.date.fromisoformat(date)
    except ValueError:
        raise UsageError(f"{date!r} is not a date", where="--date", fix="Write YYYY-MM-DD") from None
