"""The story's batch part: history against its contract, the Spark job, features and their audit, the model."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from flights import events
from flights.board import Step
from mercury.batch import dispatch
from mercury.definitions import FeatureView, Job, Model
from mercury.errors import DataError
from mercury.features import FeatureStore, GainOptions, History, audit, materialize, training_set
from mercury.models import examples, feature_names, fit
from mercury.models.fitting import LABEL
from mercury.quality import check, load_contract, render
from mercury.quality.lineage import assertions
from mercury.runtime import lineage
from mercury.tables import Table

if TYPE_CHECKING:
    from flights.story import Story

LEAKS = ("arr_time", "air_time", "dep_delay", "dep_time")
"""Columns that are known only once the flight has left; joined by flight alone, they look like features."""

TRAINING = "delay_risk_training"


def check_history(story: Story, shown: Step) -> None:
    """Write the raw tables, and check the history against its contract in one pass."""
    flights = events.history(story.options.months)
    raw = {
        "raw_flights": flights,
        "raw_planes": events.read_table("planes"),
        "raw_weather": events.read_table("weather"),
    }
    for name, rows in raw.items():
        Table.create(story.lake.table(name), rows.schema).append(rows)
    contract = load_contract(Path(story.settings.project).parent / "contracts" / "flights_history.odcs.yaml")
    with lineage.run("check.flights_history", settings=story.settings) as told:
        table = story.lake.table("raw_flights")
        report = check(table, contract)
        told.input(table, version=report.source_version, rows=report.rows, assertions=assertions(report))
    for form in ("html", "json"):
        (story.settings.state / f"quality.{form}").write_text(render(report, form))
    verdicts = [result.verdict.value for result in report.results]
    passed, wrong = verdicts.count("pass"), verdicts.count("fail") + verdicts.count("error")
    if wrong:
        failed = [result for result in report.results if result.verdict.value in ("fail", "error")]
        raise DataError(
            f"the history breaks its contract: {failed[0]}", where=str(story.settings.state / "quality.html")
        )
    story.outcome["quality"] = {"rows": flights.num_rows, "checks": len(verdicts), "passed": passed}
    shown.note(
        f"{flights.num_rows:,} rows, {passed} of {len(verdicts)} checks passed, report in quality.html and quality.json"
    )


def join_raw_tables(story: Story, shown: Step) -> None:
    """Run the Spark job through `ray job submit`'s API, and again, which must do nothing."""
    job = story.project.get(Job, "flight_features")
    first = dispatch(job, Path(story.settings.project), story.settings, on_status=shown.say)
    began = time.monotonic()
    second = dispatch(job, Path(story.settings.project), story.settings, on_status=shown.say)
    if first.skipped or not second.skipped or first.version != second.version:
        raise DataError(f"the job's second run was no no-op: {first}, {second}")
    rows = Table.open(story.lake.table(job.output)).read(columns=["flight_id"]).num_rows
    story.outcome["batch"] = {
        "rows": rows,
        "engine": first.engine,
        "seconds": round(first.seconds, 1),
        "second_run_skipped": second.skipped,
        "second_run_seconds": round(time.monotonic() - began, 3),
    }
    shown.note(f"{rows:,} rows by {first.engine} in one Delta commit, without a jar")
    shown.note(f"the same job again did nothing, in {time.monotonic() - began:.2f} s")


def build_features(story: Story, shown: Step) -> None:
    """Materialize the views, join the training set as known then, and audit it with and without planted leaks."""
    store = FeatureStore.of(story.settings)
    model = story.project.get(Model, "delay_risk")
    online = 0
    for view in story.project.of(FeatureView):
        shown.say(f"materializing {view.name}")
        online += materialize(
            store, view, until=None if view.name == "schedule" else story.options.learned_until
        ).online
    assert model.service is not None
    shown.say("joining the training set")
    with lineage.run(f"training_set.{model.service.name}", settings=story.settings) as told:
        labels = examples(model, story.settings, until=story.options.learned_until)
        training = training_set(store, model.service, labels, event_time=model.event_time)
        kept = Table.create(story.lake.table(TRAINING), training.schema.remove_metadata()).append(training)
        told.output(story.lake.table(TRAINING), version=kept.version, rows=kept.rows)

    shown.say("auditing the features for knowledge of the future")
    honest = feature_names(model)
    rebuilt = training_set(store, model.service, labels, event_time=model.event_time)
    clean = audit(training, label=LABEL, event_time=model.event_time, columns=honest, rebuilt=rebuilt,
                  gain=GainOptions(trusted=honest))  # fmt: skip
    clean.assert_clean()
    planted = _with_leaks(training, story)
    report = audit(
        planted,
        label=LABEL,
        event_time=model.event_time,
        columns=[*honest, *LEAKS],
        history=_versions(Table.open(story.lake.table("raw_flights")).read()),
        gain=GainOptions(trusted=honest),
    )
    missed = sorted(set(LEAKS) - set(report.leaking))
    if missed or set(report.leaking) - set(LEAKS):
        raise DataError(f"the audit missed {missed} and found {report.leaking}", where="leakage audit")
    story.outcome["features"] = {"examples": training.num_rows, "features": len(honest), "online_rows": online}
    story.outcome["leakage"] = {
        "planted": list(LEAKS),
        "found": sorted(report.leaking),
        "honest_findings": len(clean.findings),
        "evidence": [
            {"column": finding.column, "check": finding.check, "message": finding.message, **finding.evidence}
            for finding in report.findings
            if finding.severity == "leak"
        ],
    }
    shown.note(
        f"{training.num_rows:,} examples with {len(honest)} features as known at each departure; {online:,} rows online"
    )
    shown.note(f"the audit flags {', '.join(sorted(report.leaking))}, and nothing among the honest features")


def train_model(story: Story, shown: Step) -> None:
    """Train in a Ray task, judge on the latest fifth, register as champion."""
    model = story.project.get(Model, "delay_risk")
    shown.say("training")
    fitted = fit(model, story.settings, until=story.options.learned_until)
    story.outcome["model"] = {
        "name": fitted.name,
        "version": fitted.version,
        "rows": dict(fitted.rows),
        **{name: round(value, 4) for name, value in fitted.metrics.items()},
    }
    shown.note(
        f"{fitted.name} version {fitted.version}, champion in MLflow: trained on {fitted.rows['train']:,} examples, "
        f"AUC {fitted.metrics['auc']:.3f} on the {fitted.rows['test']:,} after them"
    )


def _versions(flights: pa.Table) -> History:
    """What the raw table said of a flight when it was scheduled, when it left, and when it landed."""
    columns = ["flight_id", "sched_dep", *LEAKS]
    unknown = flights.select(columns)
    for name in LEAKS:
        nothing = pa.nulls(flights.num_rows, flights.schema.field(name).type)
        unknown = unknown.set_column(columns.index(name), name, nothing)
    left = unknown
    for name in ("dep_time", "dep_delay"):
        left = left.set_column(columns.index(name), name, flights[name])
    landed = flights.select(columns)
    day_before = pc.subtract(flights["sched_dep"], pa.scalar(dt.timedelta(days=1)))
    versions = [
        version.append_column("known", known).filter(pc.is_valid(known))
        for version, known in ((unknown, day_before), (left, flights["departed"]), (landed, flights["arrived"]))
    ]
    return History(pa.concat_tables(versions), keys=["flight_id"], created_time="known", label_time="sched_dep")


def _with_leaks(training: pa.Table, story: Story) -> pa.Table:
    """The training set with columns of the raw table joined by flight alone, as one does without a feature store."""
    raw = Table.open(story.lake.table("raw_flights")).read(columns=["flight_id", *LEAKS])
    place = pc.index_in(training["flight_id"], value_set=raw["flight_id"])
    for name in LEAKS:
        training = training.append_column(
            name, raw[name].combine_chunks().take(place.combine_chunks()).cast(pa.float64())
        )
    return training
