"""`mercury stream`: run a stream's job, and say where it stands."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mercury.errors import UsageError

if TYPE_CHECKING:
    from mercury.definitions import Project, Stream
    from mercury.streaming import Counts, EpochProgress, Source, StreamJob

_PROJECT = click.option("--project", "project_file", type=click.Path(path_type=Path), help="Project file.")
_FORMAT = click.option("--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)


@click.group()
def stream() -> None:
    """Run a stream and show how far it is."""


@stream.command()
@click.argument("name")
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "--source",
    type=click.Choice(["kafka", "files"]),
    default="kafka",
    show_default=True,
    help="With files, PATHS are Parquet or NDJSON files or folders of them.",
)
@click.option("--bootstrap-servers", metavar="HOST:PORT", help="Kafka to read from [default: the project's].")
@click.option("--until-end", is_flag=True, help="Stop at the end offsets that hold now [default: run for good].")
@click.option("--drain", is_flag=True, help="With --until-end: the input is finished, so close every window.")
@click.option("--for", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop after so long.")
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Ray actors; 0: in process.")
@click.option("--epoch-records", type=click.IntRange(min=1), help="Most records in one epoch.")
@click.option(
    "--epoch-seconds",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Least time between two epochs while there is less than a full one to read.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Tell Prometheus at 127.0.0.1:PORT; 0 takes a free port and says which [default: no metrics].",
)
@_PROJECT
@_FORMAT
def run(
    name: str,
    paths: tuple[str, ...],
    source: str,
    bootstrap_servers: str | None,
    until_end: bool,
    drain: bool,
    seconds: float | None,
    workers: int,
    epoch_records: int | None,
    epoch_seconds: float,
    metrics_port: int | None,
    project_file: Path | None,
    form: str,
) -> None:
    """Run the job of the stream NAME: windows, rows and feature panes, each event once.

    It goes on where its log ends. Ctrl-C or SIGTERM stops it after the epoch that it is at.
    """
    from mercury.streaming import Limits

    if until_end and seconds is not None:
        raise UsageError("--until-end and --for exclude each other", fix="Give one of them")
    if drain and not until_end:
        raise UsageError("--drain needs --until-end", fix="A stream without an end cannot be drained")
    limits = Limits(seconds=epoch_seconds)
    if epoch_records is not None:
        limits = replace(limits, records=epoch_records)
    files = _files(source, paths, name)
    job = _job(name, files, bootstrap_servers, project_file, workers=workers, limits=limits)
    if form == "human":
        job.on_epoch = _echo_epoch
    with _metrics(job, metrics_port), _stopped_by_signals(job):
        report = job.run("end" if until_end else seconds, drain=drain)
    numbers = {
        "job": report.job,
        "epochs": report.epochs,
        "epoch": report.epoch,
        **_numbers(report.counts),
        "watermark": report.watermark_text,
        "lag": report.lag,
        "restarts": report.restarts,
        "seconds": round(report.seconds, 3),
    }
    _print(numbers, form)


@stream.command()
@click.argument("name")
@_PROJECT
@_FORMAT
def status(name: str, project_file: Path | None, form: str) -> None:
    """Say how far the job of the stream NAME is, from its log."""
    from mercury.config import load_settings
    from mercury.definitions import Stream
    from mercury.lake import Lake
    from mercury.streaming import status as read_status
    from mercury.streaming import watermark_text

    settings = load_settings(project_file)
    found = read_status(_project(project_file).get(Stream, name), Lake(str(settings.lake)))
    numbers = {
        "job": found.job,
        "epochs": found.epochs,
        **_numbers(found.counts),
        "watermark": watermark_text(found.watermark),
        "positions": {str(partition): at for partition, at in sorted(found.positions.items())},
    }
    _print(numbers, form)


@contextlib.contextmanager
def _metrics(job: StreamJob, port: int | None) -> Iterator[None]:
    if port is None:
        yield
        return
    from mercury.runtime.metrics import Metrics, MetricsEndpoint
    from mercury.streaming import STREAM_METRICS

    metrics = Metrics(STREAM_METRICS)
    with MetricsEndpoint(metrics, port) as endpoint:
        click.echo(f"metrics at {endpoint.url}", err=True)
        job.metrics = metrics
        yield


@contextlib.contextmanager
def _stopped_by_signals(job: StreamJob) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if job.workers:
            from mercury.runtime.session import ray_session

            # Ray takes SIGTERM for itself when it starts, so it starts before our handlers are set.
            stack.enter_context(ray_session(job.settings))
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, lambda *_: job.stop()))
        yield


def _job(
    name: str, source: Source | None, bootstrap_servers: str | None, project_file: Path | None, **options: Any
) -> StreamJob:
    from mercury.config import load_settings
    from mercury.definitions import FeatureView, Stream, Window
    from mercury.streaming import KafkaSource, StreamJob

    project = _project(project_file)
    found = project.get(Stream, name)
    settings = load_settings(project_file)
    if source is None and bootstrap_servers is not None:
        assert found.source is not None
        source = KafkaSource(bootstrap_servers, found.source.topic)
    return StreamJob.from_settings(
        found,
        settings,
        source,
        windows=[window for window in project.of(Window) if window.source == found],
        panes=[view for view in project.of(FeatureView) if view.source == found],
        check=_check(found, Path(settings.project).parent),
        **options,
    )


def _project(project_file: Path | None) -> Project:
    from mercury.config import load_settings
    from mercury.projects import load_project

    return load_project(load_settings(project_file).project)


def _check(found: Stream, folder: Path) -> Any:
    if found.contract is None:
        return None
    from mercury.quality import load_contract, stream_check

    return stream_check(load_contract(folder / found.contract))


def _files(kind: str, paths: Sequence[str], name: str) -> Source | None:
    from mercury.streaming import FileSource

    if kind == "files":
        if not paths:
            raise UsageError("--source files needs paths", fix=f"mercury stream run {name} --source files EVENTS")
        return FileSource.of(*paths)
    if paths:
        raise UsageError(f"{paths[0]!r} is not expected", fix="Paths go with --source files")
    return None


def _echo_epoch(progress: EpochProgress) -> None:
    from mercury.streaming import watermark_text

    counts = progress.counts
    click.echo(
        f"epoch {progress.epoch}: {counts.events} events, {counts.rows} rows, {counts.late} late, "
        f"{counts.duplicates} duplicates, {counts.dead} dead; watermark {watermark_text(progress.watermark)}, "
        f"lag {progress.lag}, {sum(progress.seconds.values()):.2f} s",
        err=True,
    )


def _numbers(counts: Counts) -> dict[str, Any]:
    return {
        "events": counts.events,
        "rows": counts.rows,
        "late": counts.late,
        "duplicates": counts.duplicates,
        "heartbeats": counts.heartbeats,
        "dead": counts.dead,
        "dead_kinds": dict(counts.dead_kinds),
        "windows": dict(counts.windows),
    }


def _print(numbers: Mapping[str, Any], form: str) -> None:
    if form == "json":
        click.echo(json.dumps(numbers))
        return
    width = max(map(len, numbers))
    for key, value in numbers.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) or "none" if isinstance(value, dict) else value
        click.echo(f"{key:<{width}}  {shown}")
