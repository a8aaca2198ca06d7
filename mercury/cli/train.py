"""`mercury train`: a model from its definition to a registered version."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.option("--project", type=click.Path(path_type=Path), help="The project file.  [default: mercury_project.py]")
@click.option("--until", metavar="TIME", help="Only examples before this time, ISO 8601 in UTC.")
@click.option("--cutoff", metavar="TIME", help="Examples from this time on judge the model.  [default: the last fifth]")
@click.option("--alias", default="champion", show_default=True, help="What to call the version in the registry.")
@click.option("--ray/--no-ray", default=True, show_default=True, help="Train in a Ray task, or in this process.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Threads of LightGBM, and CPUs of the Ray task.  [default: num_threads of the definition, else 1]",
)
@click.option("--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)
def train(
    name: str,
    project: Path | None,
    until: str | None,
    cutoff: str | None,
    alias: str,
    ray: bool,
    threads: int | None,
    form: str,
) -> None:
    """Train the model NAME on features as they were known, judge it on later examples, and register it.

    Example: mercury train delay_risk --cutoff 2013-09-01
    """
    from contextlib import nullcontext
    from dataclasses import asdict

    from mercury.config import load_settings
    from mercury.definitions import Model
    from mercury.models import fit
    from mercury.projects import load_project
    from mercury.runtime import ray_session
    from mercury.time import parse_instant, to_iso

    settings = load_settings(project)
    model = load_project(settings.project).get(Model, name)
    with ray_session(settings) if ray else nullcontext():
        fitted = fit(
            model,
            settings,
            until=None if until is None else parse_instant(until),
            cutoff=None if cutoff is None else parse_instant(cutoff),
            alias=alias,
            threads=threads,
        )
    if form == "json":
        click.echo(json.dumps(asdict(fitted) | {"cutoff": to_iso(fitted.cutoff)}))
        return
    click.echo(f"{name} version {fitted.version} is {alias}")
    seen, held = fitted.rows["train"], fitted.rows["test"]
    click.echo(f"  trained on {seen:,} examples, judged on {held:,} from {to_iso(fitted.cutoff)}")
    if fitted.rows["unusable"]:
        click.echo(f"  left out {fitted.rows['unusable']:,} examples without a label or a time")
    for metric, value in fitted.metrics.items():
        click.echo(f"  {metric:18} {value:.4f}")
