"""Running a monitor: every closed window since the model learned, from the tables alone.

A run reads what was captured, the training set and the labels' source, and finds the same windows and alarms however
often it runs, on whatever machine; nothing is kept between runs but what it writes to the lake.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from mercury.config import Settings
from mercury.definitions import Model, Monitor, Project
from mercury.errors import MercuryError, NotFoundError, TableNotFoundError
from mercury.lake import Lake
from mercury.models.capture import EVENT_TIME, SCORE
from mercury.observability import sources
from mercury.observability.alarms.e_bh import e_bh
from mercury.observability.alarms.e_detector import EDetector
from mercury.observability.alarms.evidence import log_e_value
from mercury.observability.alarms.seasonality import Season
from mercury.observability.alarms.windows import Windows
from mercury.observability.drift import compare_column
from mercury.observability.performance import (
    Calibration,
    Maturity,
    calibrate,
    contradictions,
    estimate,
    join_labels,
    maturity,
    realised,
)
from mercury.observability.performance.labels import KNOWN_AT, LABEL
from mercury.observability.profiles import Profile, learn, profile
from mercury.observability.reference import Reference, column_of
from mercury.observability.results import ColumnWindow, MonitorReport, WindowReport, shown
from mercury.observability.skew import Skew, measure_skew
from mercury.observability.sources import instants
from mercury.observability.statistics import Pair
from mercury.time import duration, parse_instant, to_iso

MATURITY_POINTS = 100
"""Points of the maturity curve that a report holds."""


def run_monitor(
    project: Project,
    monitor: Monitor | str,
    settings: Settings,
    *,
    until: int | None = None,
    write: bool = True,
) -> MonitorReport:
    """Look at every closed window since the model learned, and write profiles and findings to the lake.

    Parameters
    ----------
    until : microseconds UTC; what came later is not looked at. None: all there is, up to the last event of the labels'
        source, so that the last windows are whole.
    write : whether the tables ``profiles`` and ``alarms`` of the monitor are replaced.

    Raises `DataError` when the labels' source has no rows or there is no training set, `UsageError` for what the
    definition asks that the rows cannot give.
    """
    found = project.get(Monitor, monitor) if isinstance(monitor, str) else monitor
    report, profiles = _Run.of(found, settings, until).report()
    if write:
        write_report(found, settings, report, profiles)
    return report


def last_report(monitor: Monitor, settings: Settings) -> MonitorReport:
    """What the last run found; `NotFoundError` when there was none."""
    from mercury.tables import Table

    try:
        table = Table.open(Lake(settings.lake).alarms(monitor.name))
    except TableNotFoundError as error:
        fix = f"Run: mercury monitor run {monitor.name}"
        raise NotFoundError(f"{monitor.address} was not run yet", where=settings.lake, fix=fix) from error
    rows = table.read().sort_by("window_start")
    header = json.loads(str(table.history(1)[0].provenance["report"]))
    return MonitorReport.from_parts(header, [json.loads(text) for text in rows["document"].to_pylist()])


def write_report(monitor: Monitor, settings: Settings, report: MonitorReport, profiles: pa.Table) -> None:
    """Replace the monitor's tables ``alarms``, which `last_report` reads, and ``profiles`` where there are any."""
    from mercury.tables import Table

    lake = Lake(settings.lake)
    at = pa.timestamp("us", "UTC")
    rows = pa.table(
        {
            "window_start": pa.array([window.start for window in report.windows], pa.int64()).cast(at),
            "window_end": pa.array([window.end for window in report.windows], pa.int64()).cast(at),
            "alarm": pa.array([window.alarm for window in report.windows], pa.bool_()),
            "evidence": pa.array([window.evidence for window in report.windows], pa.float64()),
            "columns": pa.array([list(window.columns) for window in report.windows], pa.list_(pa.string())),
            "document": pa.array([json.dumps(window.to_dict()) for window in report.windows], pa.string()),
        }
    )
    Table.create(lake.alarms(monitor.name), rows.schema, exist_ok=True).overwrite(
        rows, provenance={"report": json.dumps(report.header())}
    )
    if profiles.num_rows:
        Table.create(lake.profiles(monitor.name), profiles.schema, exist_ok=True).overwrite(
            profiles, provenance={"until": to_iso(report.until)}
        )


@dataclass(frozen=True)
class _Stream:
    """Rows of one place: the reference of its columns, and the rows since by window, with their windows and hours."""

    reference: Reference
    pairs: Mapping[str, Pair]
    seasons: Mapping[str, Season]
    rows: pa.Table
    window: np.ndarray
    hour: np.ndarray

    @classmethod
    def of(cls, watched: sources.Watched, windows: Windows, atom_share: float) -> _Stream:
        reference, known = learn(watched.reference, watched.current.column_names, atom_share=atom_share)
        then = windows.number(watched.reference_times)
        seasons = {
            column.name: Season(column, column_of(watched.reference, column.name), *then, atom_share)
            for column in reference.columns
        }
        window, hour = windows.number(watched.current_times)
        order = np.argsort(window, kind="stable")
        pairs = {name: Pair.of(known[name], known[name], atom_share) for name in reference.names}
        return cls(reference, pairs, seasons, watched.current.take(pa.array(order)), window[order], hour[order])

    def at(self, window: int) -> tuple[pa.Table, np.ndarray]:
        """Rows and hours of one window."""
        first, end = np.searchsorted(self.window, [window, window + 1]).tolist()
        return self.rows.slice(first, end - first), self.hour[first:end]


@dataclass(frozen=True)
class _Run:
    """All that a run has read."""

    monitor: Monitor
    model: Model
    version: str | None
    windows: Windows
    learned: int
    until: int
    streams: tuple[_Stream, ...]
    predictions: pa.Table
    labels: pa.Table
    calibration: Calibration | None
    reference: Mapping[str, float | None] | None
    skew: Skew | None
    notes: tuple[str, ...]

    @classmethod
    def of(cls, monitor: Monitor, settings: Settings, until: int | None) -> _Run:
        from mercury.models import entity_keys, feature_names

        model = monitor.model
        assert model is not None
        windows = Windows(duration(monitor.window), monitor.timezone)
        predictions = sources.read_predictions(model, settings, until)
        asked = instants(predictions[EVENT_TIME])
        training = sources.read_training(model, settings, int(asked[0]) if len(asked) else until)
        taught = instants(training[model.event_time])
        learned = int(taught.max()) + 1
        watched, last = sources.read_watched(monitor, settings, learned, until)
        end = until if until is not None else max(last, int(asked.max(initial=-1)))
        notes = [] if predictions.num_rows else ["No predictions were captured."]
        streams = []
        if monitor.watch:
            streams.append(_Stream.of(watched, windows, monitor.atom_share))
        features = [name for name in feature_names(model) if name in training.column_names]
        streams.append(
            _Stream.of(
                sources.Watched(training.select(features), taught, predictions.select(features), asked),
                windows,
                monitor.atom_share,
            )
        )
        champion = sources.read_champion(model, settings)
        calibration, reference = None, None
        if champion is None:
            notes.append("There is no champion: scores are not watched, and quality is not estimated.")
        else:
            held = _held_out(taught, champion.provenance.get("cutoff"))
            judged = training.filter(pa.array(held))
            scores = np.asarray(champion.booster.predict(champion.encoding.matrix(judged), num_threads=1))
            truth = judged[LABEL].cast(pa.float64()).to_numpy()
            calibration, reference = calibrate(truth, scores), realised(truth, scores)
            score = sources.Watched(pa.table({SCORE: scores}), taught[held], predictions.select([SCORE]), asked)
            streams.append(_Stream.of(score, windows, monitor.atom_share))
        told = sources.read_labels(model, settings, end)
        joined = join_labels(predictions, told, entity_keys(model), horizon=duration(monitor.label_horizon))
        apart = contradictions(told, entity_keys(model))
        if apart:
            notes.append(f"{apart:,} events have labels that came at one time and contradict each other: 1 counts.")
        unscored = int(np.sum(~np.isfinite(predictions[SCORE].to_numpy())))
        if unscored:
            notes.append(f"{unscored:,} predictions have no finite score: quality is of the others.")
        try:
            skew = _skew(model, settings, predictions)
        except MercuryError as error:
            skew = None
            notes.append(f"Skew was not measured: {error.what}.")
        version = None if champion is None else champion.version
        return cls(
            monitor, model, version, windows, learned, end, tuple(streams), predictions, joined, calibration,
            reference, skew, tuple(notes),
        )  # fmt: skip

    def report(self) -> tuple[MonitorReport, pa.Table]:
        """The findings, and the profiles of all windows."""
        run_length = duration(self.monitor.average_run_length) / self.windows.length
        detector = EDetector(run_length, sum(len(stream.seasons) for stream in self.streams))
        curve = self._maturity()
        found, kept = [], []
        for window in self._closed():
            columns, e_values, profiles = self._look(window)
            detector = detector.after(e_values)
            named: list[str] = []
            if detector.alarm:
                strongest = max(detector.evidence, key=lambda name: detector.evidence[name])
                named = e_bh(e_values) or [strongest]
            with_evidence = {
                name: _with_evidence(column, detector.evidence.get(name)) for name, column in columns.items()
            }
            found.append(self._window(window, with_evidence, detector, named, curve))
            kept += [(found[-1], each) for each in profiles]
        step = max(1, len(curve.lags) // MATURITY_POINTS)
        points = [(int(lag), float(share)) for lag, share in zip(curve.lags[::step], curve.shares[::step], strict=True)]
        report = MonitorReport(
            monitor=self.monitor.name,
            model=self.model.name,
            version=self.version,
            learned=self.learned,
            until=self.until,
            run_length=run_length,
            windows=found,
            maturity=points,
            skew=self.skew,
            reference=self.reference,
            notes=[*self.notes, *self._not_watched()],
        )
        return report, _profiles_table(kept)

    def _closed(self) -> Iterator[int]:
        first = int(self.windows.number(np.array([self.learned]))[0][0])
        while self.windows.start(first + 1) <= self.until:
            yield first
            first += 1

    def _look(self, window: int) -> tuple[dict[str, ColumnWindow], dict[str, float], list[Profile]]:
        columns, e_values, profiles = {}, {}, []
        for stream in self.streams:
            rows, hours = stream.at(window)
            seen = profile(rows, stream.reference)
            profiles.append(seen)
            for name, season in stream.seasons.items():
                value = log_e_value(season, seen[name].counts, hours)
                known = stream.pairs[name]
                drift = compare_column(Pair(known.reference, seen[name], known.groups, known.cells))
                columns[name] = ColumnWindow(
                    rows.num_rows, drift.statistics, drift.changed, shown(value), 0.0, season.shared
                )
                if rows.num_rows:
                    e_values[name] = value
        return columns, e_values, profiles

    def _window(
        self,
        window: int,
        columns: Mapping[str, ColumnWindow],
        detector: EDetector,
        named: list[str],
        curve: Maturity,
    ) -> WindowReport:
        start, end = self.windows.start(window), self.windows.start(window + 1)
        asked = instants(self.predictions[EVENT_TIME])
        mine = (asked >= start) & (asked < end)
        scores = self.predictions[SCORE].to_numpy()[mine]
        labels = self.labels.filter(pa.array(mine))
        truth = labels[LABEL].to_numpy()
        known = ~np.isnan(truth)
        expected = float(curve.at(self.until - asked[mine]).mean()) if mine.any() else 0.0
        return WindowReport(
            start=start,
            end=end,
            rows=int(mine.sum()),
            per_column=columns,
            evidence=shown(detector.log_mean),
            alarm=detector.alarm,
            columns=named,
            realised=realised(truth[known], scores[known]) if known.any() else None,
            estimated=estimate(scores, self.calibration) if len(scores) and self.calibration is not None else None,
            labels={"known": int(known.sum()), "expected": round(expected, 4)},
        )

    def _maturity(self) -> Maturity:
        return maturity(
            instants(self.predictions[EVENT_TIME]),
            instants(self.labels[KNOWN_AT]),
            now=self.until,
            horizon=duration(self.monitor.label_horizon),
        )

    def _not_watched(self) -> list[str]:
        alike = [name for stream in self.streams for name, season in stream.seasons.items() if season.shared]
        if not alike:
            return []
        return [
            f"{', '.join(alike)}: the rows of a window share these values, so only what is missing, infinite or unseen "
            "in them is evidence."
        ]


def _held_out(taught: np.ndarray, cutoff: object) -> np.ndarray:
    """Which examples judged the model: of others its scores are too sure. The latest fifth where it is not told."""
    held = taught >= (parse_instant(cutoff) if isinstance(cutoff, str) else np.quantile(taught, 0.8))
    return held if held.any() else np.ones(len(taught), bool)


def _with_evidence(column: ColumnWindow, evidence: float | None) -> ColumnWindow:
    return column if evidence is None else replace(column, evidence=shown(evidence))


def _skew(model: Model, settings: Settings, predictions: pa.Table) -> Skew | None:
    from mercury.features import FeatureStore, training_set
    from mercury.models import entity_keys, feature_names

    if not predictions.num_rows:
        return None
    assert model.service is not None
    served = predictions.slice(max(0, predictions.num_rows - sources.SKEW_ROWS))
    labels = pa.table({**{name: served[name] for name in entity_keys(model)}, model.event_time: served[EVENT_TIME]})
    joined = training_set(FeatureStore.of(settings), model.service, labels, event_time=model.event_time)
    return measure_skew(served, joined, feature_names(model))


def _profiles_table(kept: list[tuple[WindowReport, Profile]]) -> pa.Table:
    parts = []
    for window, each in kept:
        slots = each.to_tables()["slots"]
        for name, instant in (("window_end", window.end), ("window_start", window.start)):
            column = pa.array(np.full(slots.num_rows, instant)).cast(pa.timestamp("us", "UTC"))
            slots = slots.add_column(0, name, column)
        parts.append(slots)
    return pa.concat_tables(parts) if parts else pa.table({})
