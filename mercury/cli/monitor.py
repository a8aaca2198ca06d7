"""`mercury monitor`: look at a model in service, say what was found, write rules and dashboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mercury.errors import MercuryError, UsageError, did_you_mean
from mercury.files.writing import write_text

if TYPE_CHECKING:
    from mercury.config import Settings
    from mercury.definitions import Monitor, Project

_PROJECT = click.option("--project", "project_file", type=click.Path(path_type=Path), help="Project file.")
_FORMAT = click.option("--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)


@click.group()
def monitor() -> None:
    """Watch models in service: drift, quality, alarms.

    NAME is a monitor of the project; it may be left out when the project has one.
    """


@monitor.command()
@click.argument("name", required=False)
@click.option("--until", metavar="TIME", help="Look at what was there before this time, ISO 8601 [default: at all].")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Keep running, and tell Prometheus metrics here.")
@click.option("--every", default="5m", show_default=True, metavar="DURATION", help="With --metrics-port: how often.")
@_PROJECT
@_FORMAT
def run(
    name: str | None, until: str | None, metrics_port: int | None, every: str, project_file: Path | None, form: str
) -> None:
    """Look at every closed window since the model learned, and keep what was found.

    Example: mercury monitor run delay_watch --until 2013-12-08
    """
    from mercury.observability import run_monitor
    from mercury.time import parse_instant

    project, watched, settings = _open(project_file, name)
    instant = None if until is None else parse_instant(until)
    if metrics_port is not None:
        _serve(project, watched, settings, metrics_port, every, instant)
        return
    _tell(run_monitor(project, watched, settings, until=instant), form)


@monitor.command()
@click.argument("name", required=False)
@_PROJECT
@_FORMAT
def status(name: str | None, project_file: Path | None, form: str) -> None:
    """Say what the last run found."""
    from mercury.observability import last_report

    _, watched, settings = _open(project_file, name)
    _tell(last_report(watched, settings), form)


@monitor.command()
@click.argument("name", required=False)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="HTML file to write.")
@_PROJECT
def report(name: str | None, output: Path, project_file: Path | None) -> None:
    """Write what the last run found as one page of HTML."""
    from mercury.observability import last_report
    from mercury.observability.report import page

    _, watched, settings = _open(project_file, name)
    text = page(last_report(watched, settings))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, text)
    except OSError as error:
        raise UsageError(f"the page cannot be written: {error.strerror}", where=str(output)) from error
    click.echo(str(output))


@monitor.command()
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write them to.")
@_PROJECT
def rules(output: Path, project_file: Path | None) -> None:
    """Write alert rules (rules.yml, for Prometheus) and a dashboard (dashboard.json, for Grafana)."""
    from mercury.config import load_settings
    from mercury.definitions import Monitor
    from mercury.observability.publishing import write_rules
    from mercury.projects import load_project

    monitors = load_project(load_settings(project_file).project).of(Monitor)
    if not monitors:
        raise UsageError("the project has no monitor", fix="Add one: Monitor('delay_watch', model=delay_risk)")
    for path in write_rules(monitors, output):
        click.echo(str(path))


def _open(project_file: Path | None, name: str | None) -> tuple[Project, Monitor, Settings]:
    from mercury.config import load_settings
    from mercury.definitions import Monitor
    from mercury.projects import load_project

    settings = load_settings(project_file)
    project = load_project(settings.project)
    if name is not None:
        return project, project.get(Monitor, name), settings
    found = project.of(Monitor)
    if len(found) != 1:
        names = [each.name for each in found]
        fix = did_you_mean("", names) or "Add one: Monitor('delay_watch', model=delay_risk)"
        raise UsageError(f"the project has {len(found)} monitors, so a name is needed", fix=fix)
    return project, found[0], settings


def _tell(found: object, form: str) -> None:
    from mercury.observability import MonitorReport
    from mercury.observability.report import lines

    assert isinstance(found, MonitorReport)
    click.echo(json.dumps(found.to_dict()) if form == "json" else "\n".join(lines(found)))


def _serve(project: Project, watched: Monitor, settings: Settings, port: int, every: str, until: int | None) -> None:
    """Run again and again until Ctrl-C or SIGTERM; what fails after the first run is said, and tried again."""
    import signal
    import threading

    from mercury.observability import run_monitor
    from mercury.observability.publishing import MONITOR_METRICS, publish
    from mercury.observability.report import lines
    from mercury.runtime.metrics import Metrics, MetricsEndpoint
    from mercury.time import SECOND, duration

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    pause = duration(every) / SECOND
    metrics = Metrics(MONITOR_METRICS)
    with MetricsEndpoint(metrics, port, settings.host) as endpoint:
        click.echo(f"Metrics: {endpoint.url}", err=True)
        ran = False
        while True:
            try:
                found = run_monitor(project, watched, settings, until=until)
            except MercuryError as error:
                if not ran:
                    raise
                # The gauges stay as they were, so that the rule of a monitor that is behind fires in time.
                click.echo(f"{watched.name}: this run failed: {error}", err=True)
            else:
                publish(found, metrics)
                click.echo(lines(found)[0], err=True)
                ran = True
            if ended.wait(pause):
                return
