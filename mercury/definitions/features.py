"""Entities, feature views and feature services: what is known about a thing at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mercury.definitions.aggregates import Aggregate
from mercury.definitions.base import Named, as_tuple, set_field
from mercury.definitions.schema import check_schema
from mercury.definitions.streams import Stream
from mercury.time import DAY, HOUR, MINUTE, duration


@dataclass(frozen=True, eq=False)
class Entity(Named):
    """A thing that features describe, by its join key columns (one or several)."""

    keys: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        set_field(self, "keys", as_tuple(self.keys))
        if not self.keys:
            raise self.fail("the entity has no key", "Write keys='carrier' or keys=['carrier', 'origin']")


@dataclass(frozen=True, eq=False)
class BatchTable(Named):
    """A table that a batch job writes and features read.

    Parameters
    ----------
    schema : column name to plain type name.
    event_time : the column that says since when a row holds.
    created_time : the column that says when the row was known; None means at its event time.
    job : name of the job that writes it.
    """

    schema: Mapping[str, str] = field(default_factory=dict)
    event_time: str = ""
    created_time: str | None = None
    job: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        set_field(self, "schema", check_schema(self.schema, self.address))
        for name, column in (("event_time", self.event_time), ("created_time", self.created_time)):
            if column is not None and self.schema.get(column) != "timestamp":
                raise self.fail(f"{name}={column!r} is not a timestamp column of the schema")


@dataclass(frozen=True, eq=False)
class FeatureView(Named):
    """Features of one entity from one source, with the times that make them safe to train on.

    Parameters
    ----------
    entity : what the features describe.
    source : a `BatchTable` (features are columns or row expressions) or a `Stream` (features are aggregates over
        trailing windows of event time).
    features : for a table, output name to SQL expression (or a list of columns that keep their names); for a stream,
        output name to an aggregate with ``over``.
    ttl : how old a value may be, in event time, and still be used, the edge included; None for ever.
    embargo : how long after its event time a value becomes available; None means at once for a table without a
        created time, and the stream's lateness for a stream, when its panes are final.
    hop : the step by which trailing windows of a stream advance: a window ``over`` ending at t covers
        ``[floor(t - over, hop), floor(t, hop))``. None: 5 minutes when every ``over`` is under 12 hours, 1 hour when
        under 12 days, else 1 day (the hops of Chronon's sawtooth windows).
    where : SQL condition on the rows of the source.
    """

    entity: Entity | None = None
    source: BatchTable | Stream | None = None
    features: Mapping[str, str | Aggregate] | Sequence[str] = field(default_factory=dict)
    ttl: str | None = None
    embargo: str | None = None
    hop: str | None = None
    where: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.entity is None or self.source is None:
            raise self.fail("the view needs an entity and a source", "Write entity=Carrier, source=flights")
        if not isinstance(self.features, Mapping):
            set_field(self, "features", {name: name for name in self.features})
        if not self.features:
            raise self.fail("the view has no features", "Give features={'name': 'column'}")
        for name in ("ttl", "embargo", "hop"):
            self.check_duration(name, getattr(self, name))
        for key in self.entity.keys:
            if key not in self.source.schema:
                raise self.fail(f"entity key {key!r} is not a column of {self.source.address}")
        for name, feature in self.columns.items():
            if isinstance(self.source, Stream) and (isinstance(feature, str) or feature.over is None):
                raise self.fail(f"feature {name!r} has no window", "Write it as Count(over='1d')")
            if isinstance(self.source, BatchTable) and not isinstance(feature, str):
                raise self.fail(f"feature {name!r} aggregates a table", "Aggregates need a Stream as source")

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
        set_field(self, "views", tuple(self.views))
        if not self.views:
            raise self.fail("the service has no views", "Give views=[carrier_delay]")
        names = [name for view in self.views for name in view.columns]
        for name in names:
            if names.count(name) > 1:
                raise self.fail(f"two views have a feature named {name!r}", "Rename one of them")
