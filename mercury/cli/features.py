"""`mercury features`: materialize, backfill, training sets and the leakage audit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mercury.errors import NotFoundError, UsageError
from mercury.files.writing import replacing, write_text

if TYPE_CHECKING:
    import pyarrow as pa

    from mercury.definitions import FeatureView, Project
    from mercury.features import AuditReport, FeatureStore, Materialized

_PROJECT = click.option("--project", "project_file", type=click.Path(path_type=Path), help="Project file.")
_FORMAT = click.option("--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True)
_EVENT_TIME = click.option("--event-time", required=True, metavar="COLUMN", help="When each prediction is made.")


@click.group()
def features() -> None:
    """Materialize, backfill and audit features.

    DATA and LABELS are a Parquet, CSV or Arrow file, or a Delta table.
    """


@features.command()
@click.argument("views", nargs=-1)
@click.option("--until", metavar="TIME", help="Serve what was known by then, ISO 8601 [default: all that is known].")
@click.option("--offline-only", is_flag=True, help="Leave the online store as it is.")
@_PROJECT
@_FORMAT
def materialize(
    views: tuple[str, ...], until: str | None, offline_only: bool, project_file: Path | None, form: str
) -> None:
    """Bring VIEWS (all by default) up to date with their sources, offline and online."""
    _materialize(views, until, project_file, form, rebuild=False, online=not offline_only)


@features.command()
@click.argument("views", nargs=-1)
@_PROJECT
@_FORMAT
def backfill(views: tuple[str, ...], project_file: Path | None, form: str) -> None:
    """Make all rows of VIEWS (all by default) anew from their sources."""
    _materialize(views, None, project_file, form, rebuild=True, online=True)


@features.command("training-set")
@click.argument("service")
@click.argument("labels", type=click.Path(exists=True))
@_EVENT_TIME
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Parquet file to write.")
@click.option("--strict", is_flag=True, help="Values of the very time of the label do not count.")
@click.option("--embargo", metavar="DURATION", help="How much older than the label every value must be.")
@click.option("--timestamps", is_flag=True, help="Add <view>__ts and <view>__created, which the audit checks.")
@click.option("--engine", type=click.Choice(["auto", "process", "ray"]), default="auto", show_default=True)
@_PROJECT
@_FORMAT
def training_set(
    service: str,
    labels: str,
    event_time: str,
    output: Path,
    strict: bool,
    embargo: str | None,
    timestamps: bool,
    engine: Any,
    project_file: Path | None,
    form: str,
) -> None:
    """Join LABELS with the features of SERVICE as they were known at each label's time."""
    import contextlib

    import pyarrow.parquet as pq

    from mercury.definitions import FeatureService
    from mercury.features import JoinOptions
    from mercury.features import training_set as join
    from mercury.runtime import lineage
    from mercury.runtime.session import ray_session
    from mercury.time import duration

    project, store = _open(project_file)
    options = JoinOptions(inclusive=not strict, embargo=duration(embargo) if embargo else 0, timestamps=timestamps)
    definition = project.get(FeatureService, service)
    settings = _settings(project_file)
    with lineage.run(f"training_set.{service}", settings=settings) as told:
        told.input(labels)
        with ray_session(settings) if engine == "ray" else contextlib.nullcontext():
            joined = join(store, definition, read_data(labels), event_time=event_time, options=options, engine=engine)
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(output, inputs=[labels]) as beside:
            pq.write_table(joined, beside)
        told.output(output, rows=joined.num_rows)
    values = {name: joined.num_rows - joined[name].null_count for view in definition.views for name in view.columns}
    if form == "json":
        click.echo(json.dumps({"rows": joined.num_rows, "output": str(output), "values": values}))
        return
    click.echo(f"{joined.num_rows:,} rows in {output}")
    for name, count in values.items():
        click.echo(f"  {name}: {count:,} values ({count / max(1, joined.num_rows):.1%})")


@features.command()
@click.argument("data", type=click.Path(exists=True))
@click.option("--label", required=True, metavar="COLUMN|SQL", help="A 0/1 column, or a condition over the columns.")
@_EVENT_TIME
@click.option("--columns", metavar="A,B", help="Features to look at [default: all that a model could use].")
@click.option("--trusted", metavar="A,B", help="Columns known to be available in time; the others are suspects.")
@click.option("--service", help="Make the features of this service anew and compare; they are trusted.")
@click.option("--embargo", metavar="DURATION", help="How much older than the label every value must be.")
@click.option("--rows", type=click.IntRange(min=1_000), help="Examples that the model-based check uses.")
@click.option("--no-gain", is_flag=True, help="Leave out the model-based check, the only one that takes seconds.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the report as JSON.")
@_PROJECT
@_FORMAT
def audit(
    data: str,
    label: str,
    event_time: str,
    columns: str | None,
    trusted: str | None,
    service: str | None,
    embargo: str | None,
    rows: int | None,
    no_gain: bool,
    output: Path | None,
    project_file: Path | None,
    form: str,
) -> None:
    """Look for knowledge of the future in the training set DATA; exits with 5 when there is any."""
    from mercury.features import GainOptions
    from mercury.features import audit as look
    from mercury.runtime import lineage
    from mercury.time import duration

    with lineage.run(f"audit.{Path(data).stem}", settings=lineage.inside_project(_settings(project_file))) as told:
        training, label_column = with_label(read_data(data), label)
        known = _names(trusted)
        rebuilt = None
        if service is not None:
            rebuilt = _rebuild(training, service, event_time, project_file)
            known = [*known, *(name for name in rebuilt.column_names if name in training.column_names)]
        looked_at = _names(columns) or None
        gain = None if no_gain else GainOptions(trusted=tuple(dict.fromkeys(known)), **({"rows": rows} if rows else {}))
        report = look(
            training,
            label=label_column,
            event_time=event_time,
            columns=looked_at,
            embargo=duration(embargo) if embargo else 0,
            rebuilt=rebuilt,
            gain=gain,
        )
        told.input(data, rows=training.num_rows, assertions=_assertions(report))
    if output is not None:
        write_text(output, json.dumps(report.to_dict(), indent=2) + "\n")
    if form == "json":
        click.echo(json.dumps(report.to_dict()))
    else:
        _print_report(report)
    report.assert_clean()


def read_data(path: str) -> pa.Table:
    """A table from a Parquet, CSV or Arrow file or a Delta table; `UsageError` for anything else."""
    import pyarrow.csv as csv
    import pyarrow.feather as feather
    import pyarrow.parquet as pq

    from mercury.tables import Table

    if Path(path).is_dir():
        return Table.open(path).read()
    suffix = Path(path).suffix.lower()
    if suffix in (".parquet", ".pq"):
        return pq.read_table(path)
    if suffix == ".csv":
        return csv.read_csv(path, convert_options=csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True))
    if suffix in (".arrow", ".feather", ".ipc"):
        return feather.read_table(path)
    raise UsageError(
        f"{path!r} is of no known form", fix="Give .parquet, .csv or .arrow, or the folder of a Delta table"
    )


def with_label(training: pa.Table, label: str) -> tuple[pa.Table, str]:
    """The table and the name of its label column; a condition becomes the column ``label``."""
    from mercury.expressions import Expression, evaluate

    if label in training.column_names:
        return training, label
    condition = Expression.parse(label)
    name = "label"
    while name in training.column_names:
        name += "_"
    out = training.append_column(name, evaluate({name: condition}, training)[name])
    # What the label is made of tells it; it is no feature.
    return out.drop_columns([column for column in condition.columns if column in out.column_names]), name


def _materialize(
    names: Sequence[str], until: str | None, project_file: Path | None, form: str, *, rebuild: bool, online: bool
) -> None:
    from mercury.features import materialize as bring
    from mercury.time import parse_instant

    project, store = _open(project_file)
    moment = None if until is None else parse_instant(until)
    results = []
    for view in _views(project, names):
        done = bring(store, view, until=moment, rebuild=rebuild, online=online)
        results.append(done)
        if form == "human":
            click.echo(_sentence(done))
    if form == "json":
        click.echo(
            json.dumps(
                [
                    {
                        "view": done.view,
                        "offline": done.offline,
                        "online": done.online,
                        "dropped": done.dropped,
                        "rebuilt": done.rebuilt,
                        "source": dict(done.source),
                    }
                    for done in results
                ]
            )
        )


def _sentence(done: Materialized) -> str:
    dropped = f", {done.dropped:,} without key or time left out" if done.dropped else ""
    return (
        f"{done.view}: {done.offline:,} rows {'made anew' if done.rebuilt else 'added'} offline, "
        f"{done.online:,} changed online{dropped}"
    )


def _rebuild(training: pa.Table, service: str, event_time: str, project_file: Path | None) -> pa.Table:
    from mercury.definitions import FeatureService
    from mercury.features import training_set as join

    project, store = _open(project_file)
    definition = project.get(FeatureService, service)
    made = [name for view in definition.views for name in view.columns]
    labels = training.drop_columns([name for name in training.column_names if name in made])
    return join(store, definition, labels, event_time=event_time).select(made)


def _assertions(report: AuditReport) -> list[dict[str, Any]]:
    """The report as entries of OpenLineage's facet ``dataQualityAssertions``: the verdict, then each finding."""
    findings = [
        {
            "assertion": each.check,
            "success": False,
            "column": each.column,
            "severity": "error" if each.severity == "leak" else "warn",
            "description": each.message,
        }
        for each in report.findings
    ]
    return [{"assertion": "no_leakage", "success": not report.has_leakage, "severity": "error"}, *findings]


def _print_report(report: AuditReport) -> None:
    for check, outcome in report.checks.items():
        click.echo(f"{check}: {outcome}")
    for finding in report.findings:
        click.echo(f"{finding.severity.upper()} {finding.column} ({finding.check}): {finding.message}")
    if not report.findings:
        click.echo(f"no finding in {len(report.columns)} columns of {report.rows:,} rows")


def _views(project: Project, names: Sequence[str]) -> list[FeatureView]:
    from mercury.definitions import FeatureView

    if names:
        return [project.get(FeatureView, name) for name in names]
    found = project.of(FeatureView)
    if not found:
        raise NotFoundError("the project has no feature views", where=project.address)
    return found


def _open(project_file: Path | None) -> tuple[Project, FeatureStore]:
    from mercury.features import FeatureStore
    from mercury.projects import load_project

    settings = _settings(project_file)
    return load_project(settings.project), FeatureStore.of(settings)


def _settings(project_file: Path | None) -> Any:
    from mercury.config import load_settings

    return load_settings(project_file)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []
