"""Metrics as code: what can be asked of a table, by which dimensions, and what is kept ready for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mercury.definitions.aggregates import Aggregate
from mercury.definitions.base import Definition, Named
from mercury.definitions.features import BatchTable
from mercury.definitions.privacy import PrivacyPolicy
from mercury.definitions.streams import Stream
from mercury.definitions.values import Sql
from mercury.errors import did_you_mean

GRAINS = ("minute", "hour", "day", "week", "month", "quarter", "year")
"""Calendar units that answers can be grouped by; weeks begin on Monday."""

ROLLUP_GRAINS = ("minute", "hour", "day")


@dataclass(frozen=True, eq=False)
class Ratio(Definition):
    """One metric of the same semantic model divided by another, after each was merged; null where that is zero."""

    numerator: str = ""
    denominator: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.numerator or not self.denominator:
            raise self.fail("a ratio needs two metrics", "Write Ratio('late', 'flights')", "denominator")


@dataclass(frozen=True, eq=False)
class Derived(Definition):
    """A SQL expression over other metrics of the same semantic model, by name, computed after they were merged."""

    expression: Sql | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.expression is None:
            raise self.fail(
                "a derived metric needs an expression", "Write Derived('flights - cancelled')", "expression"
            )


@dataclass(frozen=True, eq=False)
class Rollup(Definition):
    """Partial answers kept ready: one summary cell per grain of time and combination of dimensions.

    Parameters
    ----------
    grain : ``minute``, ``hour`` or ``day``, in the time zone of the semantic model.
    by : dimensions that it keeps apart; a query that groups or filters by another one cannot use it.
    metrics : those that it keeps; none means all that merge without their rows' keys.
    keys : dimensions whose values are kept as well, so that exact distinct counts of them can be answered.
    """

    grain: str = "day"
    by: Sequence[str] = ()
    metrics: Sequence[str] = ()
    keys: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("grain", self.grain, ROLLUP_GRAINS)
        for name in ("by", "metrics", "keys"):
            self.check_distinct(name, getattr(self, name))


@dataclass(frozen=True, eq=False)
class SemanticModel(Named):
    """Metrics of one stream or table, and the dimensions that they can be asked by.

    Parameters
    ----------
    source : the stream or table; of a stream, answers reach to the last committed epoch.
    time : the timestamp column that metrics are asked over; None means the source's event time.
    timezone : IANA name of the zone whose calendar cuts days, weeks and months.
    dimensions : name to SQL expression over a row.
    metrics : name to aggregate of rows, or to a `Ratio` or `Derived` of other metrics.
    rollups : name to what is kept ready.
    where : SQL condition on the rows that the model is of.
    privacy : a policy for the same source: every answer then goes through its gate and ledger.
    """

    source: Stream | BatchTable | None = None
    time: str | None = None
    timezone: str = "UTC"
    dimensions: Mapping[str, Sql] = field(default_factory=dict)
    metrics: Mapping[str, Aggregate | Ratio | Derived] = field(default_factory=dict)
    rollups: Mapping[str, Rollup] = field(default_factory=dict)
    where: Sql | None = None
    privacy: PrivacyPolicy | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source is None:
            raise self.fail("the semantic model has no source", "Write source=flights", "source")
        times = [column for column, kind in self.source.schema.items() if kind == "timestamp"]
        if self.time is not None and self.time not in times:
            what = f"time={self.time!r} is not a timestamp column of {self.source.address}"
            raise self.fail(what, f"Timestamp columns: {', '.join(times) or 'none'}", "time")
        if not self.metrics:
            raise self.fail("the semantic model has no metric", "Give metrics={'flights': Count()}", "metrics")
        self.check_timezone("timezone", self.timezone)
        self._check_names()
        self._check_rollups()
        if self.privacy is not None and self.privacy.source != self.source:
            what = f"{self.privacy.address} guards another source"
            raise self.fail(what, f"Give a policy of {self.source.address}", "privacy")

    @property
    def time_column(self) -> str:
        """The timestamp column that metrics are asked over."""
        assert self.source is not None
        return self.time or self.source.event_time

    def _check_names(self) -> None:
        for name in self.dimensions:
            self.check_output("dimensions", name, GRAINS)
        for name, metric in self.metrics.items():
            self.check_output("metrics", name, (*GRAINS, *self.dimensions))
            if isinstance(metric, Aggregate) and metric.over is not None:
                what = f"metric {name!r} has over={metric.over!r}"
                raise self.fail(what, "Leave it out: a query says of what time it asks", "metrics")
            if isinstance(metric, Ratio):
                for part in (metric.numerator, metric.denominator):
                    if part not in self.metrics:
                        what = f"metric {name!r} is of {part!r}, which is no metric of this model"
                        raise self.fail(what, did_you_mean(part, self.metrics), "metrics")

    def _check_rollups(self) -> None:
        for name, rollup in self.rollups.items():
            self.check_output("rollups", name)
            for field_name, known in (("by", self.dimensions), ("keys", self.dimensions), ("metrics", self.metrics)):
                for part in getattr(rollup, field_name):
                    if part not in known:
                        what = f"rollup {name!r} has {field_name}={part!r}, which this model does not define"
                        raise self.fail(what, did_you_mean(part, known), "rollups")
