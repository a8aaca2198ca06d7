"""Entities, feature views and feature services: what is known about a thing at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mercury.definitions.aggregates import Aggregate
from mercury.definitions.base import Named, set_field
from mercury.definitions.schema import check_schema
from mercury.definitions.streams import Stream
from mercury.definitions.values import Duration, FrozenMapping, Length, Sql
from mercury.errors import did_you_mean
from mercury.time import DAY, HOUR, MINUTE, duration, format_duration


@dataclass(frozen=True, eq=False)
class Entity(Named):
    """A thing that features describe, by its join key columns (one or several)."""

    keys: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.keys:
            raise self.fail("the entity has no key", "Write keys='carrier' or keys=['carrier', 'origin']", "keys")
        self.check_distinct("keys", self.keys)


@dataclass(frozen=True, eq=False)
class BatchTable(Named):
    """A table that a batch job writes and features read.

    Parameters
    ----------
    schema : column name to plain type name.
    event_time : the column that says since when a row holds.
    created_time : the column that says when the row was known; None means at its event time.
    job : name of the `Job` that writes it, one of the same project.
    """

    schema: Mapping[str, str] = field(default_factory=dict)
    event_time: str = ""
    created_time: str | None = None
    job: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_schema(self.schema, f"{self.address}.schema")
        times = [column for column, kind in self.schema.items() if kind == "timestamp"]
        for name, column in (("event_time", self.event_time), ("created_time", self.created_time)):
            if column is not None and column not in times:
                what = f"{name}={column!r} is not a timestamp column of the schema"
                raise self.fail(what, f"Timestamp columns: {', '.join(times) or 'none'}", name)


@dataclass(frozen=True, eq=False)
class FeatureView(Named):
    """Features of one entity from one source, with the times that make them safe to train on.

    Parameters
    ----------
    entity : what the features describe.
    source : a `BatchTable` (features are columns or row expressions) or a `Stream` (features are aggregates over
        trailing windows of event time).
    features : for a table, output name to SQL expression (or a list of columns that keep their names); for a stream,
        output name to an aggregate with ``over``. Their order is that of the columns that a model is given.
    ttl : how old a value may be, in event time, and still be used, the edge included; None for ever.
    embargo : how long after its event time a value becomes available; None means at once for a table without a
        created time, and the stream's lateness for a stream, when its panes are final.
    hop : the step by which trailing windows of a stream advance: a window ``over`` ending at t covers
        ``[floor(t - over, hop), floor(t, hop))``. None: 5 minutes when every ``over`` is under 12 hours, 1 hour when
        under 12 days, else 1 day (the hops of Chronon's sawtooth windows). No ``over`` may be shorter than the hop.
    where : SQL condition on the rows of the source.
    """

    entity: Entity | None = None
    source: BatchTable | Stream | None = None
    features: Mapping[str, Sql | Aggregate] | Sequence[str] = field(default_factory=dict)
    ttl: Duration | None = None
    embargo: Duration | None = None
    hop: Length | None = None
    where: Sql | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.entity is None or self.source is None:
            field = "entity" if self.entity is None else "source"
            raise self.fail(f"the view needs an {field}", "Write entity=Carrier, source=flights", field)
        if not isinstance(self.features, Mapping):
            self.check_distinct("features", self.features)
            set_field(self, "features", FrozenMapping((name, name) for name in self.features))
        if not self.features:
            raise self.fail("the view has no features", "Give features={'name': 'column'}", "features")
        for key in self.entity.keys:
            if key not in self.source.schema:
                what = f"key {key!r} of {self.entity.address} is not a column of {self.source.address}"
                raise self.fail(what, did_you_mean(key, self.source.schema), "entity")
        for name, feature in self.columns.items():
            self.check_output("features", name, (*self.entity.keys, "scalars"))
            if isinstance(self.source, Stream) and (isinstance(feature, str) or feature.over is None):
                raise self.fail(f"feature {name!r} has no window", "Write it as Count(over='1d')", "features")
            if isinstance(self.source, BatchTable) and not isinstance(feature, str):
                fix = "Aggregates need a Stream as source"
                raise self.fail(f"feature {name!r} aggregates a table", fix, "features")
        self._check_hop()

    def _check_hop(self) -> None:
        if isinstance(self.source, BatchTable):
            if self.hop is not None:
                fix = "Leave it out: only windows of a stream advance by hops"
                raise self.fail(f"hop={self.hop!r} has no meaning for a table", fix, "hop")
            return
        for name, part in self.columns.items():
            if isinstance(part, Aggregate) and part.over is not None and duration(part.over) < self.hop_length:
                hop = format_duration(self.hop_length)
                what = f"feature {name!r} looks back over={part.over!r}, which is less than the hop of {hop}"
                raise self.fail(what, f"Give hop={part.over!r} or less, or put it into a view of its own", "features")

    @property
    def columns(self) -> Mapping[str, str | Aggregate]:
        """Output name to expression or aggregate, in the order of definition."""
        assert isinstance(self.features, Mapping)
        return self.features

    @property
    def hop_length(self) -> int:
        """Microseconds of the hop of a stream's view, chosen by the rule above when none was given."""
        if self.hop is not None:
            return duration(self.hop)
        longest = max(
            duration(part.over) for part in self.columns.values() if isinstance(part, Aggregate) and part.over
        )
        return 5 * MINUTE if longest < 12 * HOUR else HOUR if longest < 12 * DAY else DAY

    @property
    def availability_delay(self) -> int:
        """Microseconds from a value's event time until it may be used."""
        if self.embargo is not None:
            return duration(self.embargo)
        return duration(self.source.lateness) if isinstance(self.source, Stream) else 0


@dataclass(frozen=True, eq=False)
class FeatureService(Named):
    """The views that a model reads together: its contract with the feature store."""

    views: Sequence[FeatureView] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.views:
            raise self.fail("the service has no views", "Give views=[carrier_delay]", "views")
        self.check_distinct("views", [view.name for view in self.views])
        owners: dict[str, str] = {}
        for view in self.views:
            for name in view.columns:
                other = owners.setdefault(name, view.address)
                if other != view.address:
                    what = f"two views have a feature named {name!r}: {other} and {view.address}"
                    raise self.fail(what, "Rename one of them", "views")
        for view in self.views:
            for key in view.entity.keys if view.entity else ():
                if key in owners:
                    what = f"feature {key!r} of {owners[key]} has the name of a key of {view.address}"
                    raise self.fail(what, "Rename the feature", "views")
