"""`mercury query`: metrics of a project's semantic models."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("text")
@click.option("--model", help="Semantic model, where several have such metrics.")
@click.option("--timezone", help="IANA zone whose calendar cuts time  [default: the model's].")
@click.option("--explain", is_flag=True, help="Say what was read: rollups, raw rows, live tail, and why not others.")
@click.option("--analyst", help="Who asks; a model with a privacy policy wants to know.")
@click.option("--project", "project_file", type=click.Path(path_type=Path), help="Project file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["human", "json", "csv", "arrow"]),
    default="human",
    help="Form of the result; arrow is an IPC stream.",
)
def query(
    text: str,
    model: str | None,
    timezone: str | None,
    explain: bool,
    analyst: str | None,
    project_file: Path | None,
    form: str,
) -> None:
    """Answer TEXT: METRIC, … [by DIMENSION | GRAIN, …] [where CONDITION] [order by NAME [desc]] [limit N].

    mercury query "flights, late_rate by carrier, day where origin = 'JFK' and time >= '2013-03-01'"
    """
    from mercury.analytics import Planner
    from mercury.analytics.formats import to_arrow, to_csv, to_document, to_lines
    from mercury.config import load_settings
    from mercury.projects import load_project

    settings = load_settings(project_file)
    planner = Planner(load_project(settings.project), settings)
    asked = {"query": text} | ({"timezone": timezone} if timezone else {})
    answer = planner.answer(asked, model=model, principal=analyst)
    if form == "json":
        import orjson

        click.echo(orjson.dumps(to_document(answer, explain=explain)).decode())
        return
    if form == "arrow":
        sys.stdout.buffer.write(to_arrow(answer))
    elif form == "csv":
        click.echo(to_csv(answer), nl=False)
    else:
        for line in to_lines(answer):
            click.echo(line)
    if answer.truncated:
        click.echo(f"more rows than {answer.table.num_rows:,}: the rest is left out", err=True)
    if explain:
        for line in answer.explain.lines():
            click.echo(line, err=True)
