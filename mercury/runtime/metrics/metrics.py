"""Counters, gauges and histograms with labels, as plain numbers; `prometheus_client` writes them out.

Names follow Prometheus' conventions (prometheus.io/docs/practices/naming): a prefix, the unit spelt out in base units,
``_total`` at the end of counters. A metric is declared before it is recorded, so that a misspelt name or label is an
error and not a new series. Updates come in batches, one per epoch or request batch, never per record.
"""

from __future__ import annotations

import bisect
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from mercury.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

Kind = Literal["counter", "gauge", "histogram"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of a histogram of durations."""

MAX_SERIES = 10_000
"""Label combinations that one metric keeps; updates of further ones are dropped and counted."""

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_RESERVED = ("_bucket", "_count", "_sum", "_created", "_info")


@dataclass(frozen=True)
class Metric:
    """A declaration.

    Parameters
    ----------
    name : with unit, such as ``mercury_stream_epoch_seconds``; a counter's ends in ``_total``.
    kind : a counter grows, a gauge is set, a histogram observes.
    help : what it says, in one sentence.
    labels : names of its labels, all of which every update gives.
    buckets : upper bounds of a histogram, ascending and positive, without infinity.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = SECONDS

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) or self.name.endswith(_RESERVED):
            raise UsageError(f"{self.name!r} is no metric's name", fix="Use a-z, 0-9 and _, and no reserved suffix")
        if (self.kind == "counter") != self.name.endswith("_total"):
            raise UsageError(f"{self.name!r} is a {self.kind}", fix="Counters, and nothing else, end in _total")
        for label in self.labels:
            if not _NAME.match(label) or label in ("le", "quantile"):
                raise UsageError(
                    f"{label!r} is no label", where=self.name, fix="Use a-z, 0-9 and _, not le or quantile"
                )
        if not self.help:
            raise UsageError("a metric needs a help text", where=self.name)
        if self.kind == "histogram" and (list(self.buckets) != sorted({b for b in self.buckets if b > 0})):
            raise UsageError("buckets ascend and are positive", where=self.name, fix="Leave infinity out")


class Update(NamedTuple):
    """What is recorded of one metric: an amount to add, a value to set (None ends the series), or an observation."""

    name: str
    value: float | None
    labels: Mapping[str, str] = {}


class Recorder(Protocol):
    """Takes updates: `Metrics` in this process, or `SharedMetrics` for those of a cluster."""

    def apply(self, updates: Sequence[Update]) -> None:
        """Record all of them, or raise `UsageError` for one that was not declared so."""
        ...


@dataclass
class _Histogram:
    counts: list[int]
    total: float = 0.0


@dataclass
class _Series:
    metric: Metric
    numbers: dict[tuple[str, ...], float] = field(default_factory=dict)
    histograms: dict[tuple[str, ...], _Histogram] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers) + len(self.histograms)


_DROPPED = Metric(
    "mercury_metrics_dropped_updates_total",
    "counter",
    f"Updates that were dropped because their metric has {MAX_SERIES} label combinations.",
    ("metric",),
)


class Metrics:
    """Declared metrics and their values; safe to use from several threads.

    It is a collector of `prometheus_client`: it registers with a `CollectorRegistry`.
    """

    def __init__(self, metrics: Iterable[Metric] = (), *, max_series: int = MAX_SERIES) -> None:
        self._series: dict[str, _Series] = {}
        self._lock = threading.Lock()
        self._max_series = max_series
        self.declare([*metrics, _DROPPED])

    def declare(self, metrics: Iterable[Metric]) -> None:
        """Add metrics. The same again changes nothing; another of the same name raises `UsageError`."""
        with self._lock:
            for metric in metrics:
                known = self._series.setdefault(metric.name, _Series(metric))
                if known.metric != metric:
                    raise UsageError(f"the metric {metric.name!r} is declared twice, differently", fix="Rename one")

    def record(self, name: str, value: float | None, /, **labels: str) -> None:
        """Record one update; see `Update`."""
        self.apply([Update(name, value, labels)])

    def apply(self, updates: Sequence[Update]) -> None:
        """Record all of these updates, or none: raises `UsageError` when one does not fit its declaration."""
        with self._lock:
            checked = [(self._find(update), update) for update in updates]
            for series, update in checked:
                self._record(series, update)

    def value(self, name: str, /, **labels: str) -> float | None:
        """A counter's or gauge's value, or how many observations a histogram has; None for no such series."""
        with self._lock:
            series = self._find(Update(name, 0.0, labels))
            key = _key(series.metric, labels)
            if series.metric.kind == "histogram":
                found = series.histograms.get(key)
                return float(sum(found.counts)) if found else None
            return series.numbers.get(key)

    def samples(self, kind: Literal["counter", "gauge"]) -> list[tuple[Metric, dict[str, str], float]]:
        """All series of this kind, with their labels and values."""
        with self._lock:
            return [
                (series.metric, dict(zip(series.metric.labels, key, strict=True)), value)
                for series in self._series.values()
                if series.metric.kind == kind
                for key, value in series.numbers.items()
            ]

    def text(self) -> str:
        """Prometheus' text format, version 0.0.4."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry).decode()

    def describe(self) -> Iterator[Family]:
        """The metrics without their values; `CollectorRegistry` asks for it."""
        return self._families(values=False)

    def collect(self) -> Iterator[Family]:
        """The metrics with their values; `CollectorRegistry` asks for it at each scrape."""
        return self._families(values=True)

    def _families(self, *, values: bool) -> Iterator[Family]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        with self._lock:
            found = list(self._series.values())
        for series in found:
            metric = series.metric
            if metric.kind == "histogram":
                histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
                for key, buckets, total in self._histograms(series) if values else ():
                    histogram.add_metric(key, buckets, total)
                yield histogram
                continue
            family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
                metric.name, metric.help, labels=metric.labels
            )
            with self._lock:
                numbers = sorted(series.numbers.items()) if values else []
            for key, value in numbers:
                family.add_metric(key, value)
            yield family

    def _histograms(self, series: _Series) -> list[tuple[tuple[str, ...], list[tuple[str, float]], float]]:
        with self._lock:
            kept = [(key, list(each.counts), each.total) for key, each in sorted(series.histograms.items())]
        out = []
        for key, counts, total in kept:
            running, buckets = 0, []
            for bound, count in zip([*map(_bound, series.metric.buckets), "+Inf"], counts, strict=True):
                running += count
                buckets.append((bound, float(running)))
            out.append((key, buckets, total))
        return out

    def _find(self, update: Update) -> _Series:
        series = self._series.get(update.name)
        if series is None:
            known = did_you_mean(update.name, self._series)
            raise UsageError(f"the metric {update.name!r} is not declared", fix=known)
        metric = series.metric
        if set(update.labels) != set(metric.labels):
            raise UsageError(
                f"the labels {', '.join(sorted(update.labels)) or 'none'} are not those of {metric.name}",
                fix=f"Give {', '.join(metric.labels) or 'none'}",
            )
        if metric.kind != "gauge" and (update.value is None or not update.value >= 0):
            raise UsageError(f"{update.value} cannot be recorded of a {metric.kind}", where=metric.name)
        return series

    def _record(self, series: _Series, update: Update) -> None:
        metric, key = series.metric, _key(series.metric, update.labels)
        known = series.histograms if metric.kind == "histogram" else series.numbers
        if update.value is None:
            known.pop(key, None)
        elif key not in known and len(series) >= self._max_series:
            dropped = self._series[_DROPPED.name].numbers
            dropped[(metric.name,)] = dropped.get((metric.name,), 0.0) + 1
        elif metric.kind == "gauge":
            series.numbers[key] = float(update.value)
        elif metric.kind == "counter":
            series.numbers[key] = series.numbers.get(key, 0.0) + update.value
        else:
            histogram = series.histograms.setdefault(key, _Histogram([0] * (len(metric.buckets) + 1)))
            histogram.counts[bisect.bisect_left(metric.buckets, update.value)] += 1
            histogram.total += update.value


def _key(metric: Metric, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(str(labels[label]) for label in metric.labels)


def _bound(value: float) -> str:
    return repr(float(value))
