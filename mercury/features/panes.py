"""From closed panes of a stream to features: by the table of panes that the stream keeps, or epoch by epoch as a sink.

Both make the rows of `mercury.features.windows.feature_rows` for the boundaries that came after the last ones made, and
name that boundary as the transaction's version, so that either may follow the other and a replay changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mercury.definitions import FeatureView, Stream
from mercury.definitions.schema import arrow_schema
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.layout import CREATED_TIME, EVENT_TIME, FeatureRuns
from mercury.features.publishing import Offline, publish, tell
from mercury.features.store import FeatureStore
from mercury.features.windows import PANE, feature_rows, longest, pane_spec
from mercury.runtime import lineage
from mercury.summaries import SCALARS, Summary, empty
from mercury.tables import Table
from mercury.time import duration, floor, to_iso

TRANSACTION = "panes"
"""Application id of the rows made from panes; its version is the last boundary made, in microseconds."""

PANES, MADE_UNTIL, OFFSETS = "panes", "made_until", "provenance"

BEGINNING = -(2**62)
"""Before every boundary."""

_RECENT = 50
"""Commits that are looked through for an epoch; others are compactions and the like."""

DRAINED = 2**62
"""A watermark from here on means that no event comes any more."""


class EpochOutput(Protocol):
    """What the sink needs of a stream's epoch (`mercury.streaming.sinks` has all of it)."""

    @property
    def epoch(self) -> int: ...
    @property
    def watermark(self) -> int: ...
    @property
    def panes(self) -> Mapping[str, Summary]: ...
    @property
    def provenance(self) -> Mapping[str, Any]: ...


class FeatureSink:
    """A stream's sink that keeps the features of its views up to date, offline and online.

    It holds the panes that windows still need, in memory, and reads them back from the lake when it is opened; so the
    stream's tables must be written by a sink before this one. Writing an epoch twice changes nothing.
    """

    def __init__(self, store: FeatureStore, views: Sequence[FeatureView], *, online: bool = True) -> None:
        self._store, self._views, self._online = store, tuple(views), online
        self._kept: dict[str, PaneHistory] = {}

    def open(self, job: str) -> None:
        """Read the panes that are still needed."""
        for view in self._views:
            runs = _runs(self._store, view)
            self._kept[view.name] = PaneHistory.read(self._store, view, made_until(runs))

    def write(self, output: EpochOutput) -> None:
        """Add the epoch's panes, and the rows of the boundaries that its watermark passed."""
        for view in self._views:
            history = self._kept[view.name]
            if view.name in output.panes:
                history.add(output.panes[view.name])
            until = _reached(output.watermark, history)
            sources = {PANES: view.source.address if view.source else "", OFFSETS: dict(output.provenance)}
            added = advance(self._store, view, history, until, epoch=output.epoch, sources=sources)
            changed = 0
            if self._online:
                changed = publish(self._store, view, until=_known_until(view, output.watermark))
            if added or changed:
                tell(lineage.current(), self._store, view, added, changed if self._online else None)

    def close(self) -> None:
        """Forget what is held."""
        self._kept.clear()


@dataclass
class PaneHistory:
    """The panes of a view that windows still to be made need.

    ``complete`` says for each table of the state up to which pane end it is complete: a pane closes once, and all that
    end together close together, so what ends later is new and the rest is a replay.
    """

    view: FeatureView
    panes: Summary
    complete: dict[str, int]

    @classmethod
    def read(cls, store: FeatureStore, view: FeatureView, since: int) -> PaneHistory:
        """The panes that end after `since` less the longest window, from the stream's tables."""
        assert isinstance(view.source, Stream)
        schema = pane_schema(view)
        spec = pane_spec(view)
        tables: dict[str, pa.Table] = {}
        complete: dict[str, int] = {}
        oldest = since - longest(view) - view.hop_length
        for name, fields in spec.state_schema(schema).items():
            address = f"{store.lake.panes(view.name)}/{name}"
            if Table.exists(address):
                where = f"{PANE} > TIMESTAMP '{to_iso(max(oldest, 0)).removesuffix('Z')}'" if oldest > 0 else None
                held = Table.open(address).read(fields.names, where=where).cast(fields)
            else:
                held = fields.empty_table()
            tables[name] = held
            complete[name] = _last_end(held, view)
        return cls(view, Summary(spec, tables), complete)

    def add(self, closed: Summary) -> None:
        """Add the panes that are not there yet."""
        tables = dict(self.panes.tables)
        for name, table in closed.tables.items():
            ends = _ends(table, self.view)
            new = table.filter(pa.array(ends > self.complete.get(name, BEGINNING)))
            if new.num_rows:
                tables[name] = pa.concat_tables([tables[name], new.cast(tables[name].schema)])
                self.complete[name] = int(ends.max())
        self.panes = Summary(self.panes.spec, tables)

    def forget(self, made: int) -> None:
        """Drop the panes that no boundary after `made` needs."""
        oldest = made - longest(self.view)
        self.panes = Summary(
            self.panes.spec,
            {
                name: table.filter(pa.array(_ends(table, self.view) > oldest))
                for name, table in self.panes.tables.items()
            },
        )


def advance(
    store: FeatureStore, view: FeatureView, history: PaneHistory, until: int, *, epoch: int, sources: Mapping[str, Any]
) -> int:
    """Make the offline rows of the boundaries up to `until` that are not made yet; returns how many.

    An epoch without a new boundary writes nothing: most epochs are shorter than a hop.
    """
    runs = _runs(store, view)
    since = made_until(runs)
    if until <= since:
        return 0
    rows = feature_rows(history.panes, view, since=since, until=until)
    if rows.num_rows:
        runs.append(rows, epoch=epoch, transaction=(TRANSACTION, until), sources={**sources, MADE_UNTIL: until})
    history.forget(until)
    return rows.num_rows


def materialize_panes(store: FeatureStore, view: FeatureView, rebuild: bool, until: int | None = None) -> Offline:
    """Bring a view's offline rows up to date with the panes that lie in the lake.

    Boundaries are made up to the watermark of the last epoch that closed panes; of a stream that was drained, up to
    the last pane's end, or `until` where that is later. A rebuild makes them all anew.
    """
    assert isinstance(view.source, Stream)
    table = Table.open(f"{store.lake.panes(view.name)}/{SCALARS}")
    lineage.current().input(table.uri, version=table.version)
    told = _last_epoch(store.lake.stream_log(view.source.name)) or _last_epoch(table.uri)
    runs = store.runs(view.name)
    fresh = rebuild or not runs.exists() or runs.manifest().view_version != view.version
    if rebuild:
        runs.drop()
    history = PaneHistory.read(store, view, made_until(_runs(store, view)))
    reached = _reached(told.get("watermark"), history, until)
    epoch = int(told.get("epoch", table.version))
    sources = {PANES: view.source.address, OFFSETS: dict(told), "table_version": table.version}
    added = advance(store, view, history, reached, epoch=epoch, sources=sources)
    return Offline(added, 0, fresh, runs.manifest().sources)


def _last_epoch(address: str) -> dict[str, Any]:
    """What the last commit of an epoch says of it; the stream's log is written after all its other tables."""
    if not Table.exists(address):
        return {}
    commits = Table.open(address).history(_RECENT)
    return next((dict(commit.provenance) for commit in commits if "epoch" in commit.provenance), {})


def _reached(watermark: int | None, history: PaneHistory, until: int | None = None) -> int:
    """The last boundary that is certain at a watermark."""
    last = history.complete[SCALARS]
    if watermark is None:
        return last
    if watermark >= DRAINED:
        return last if until is None else max(last, floor(until, history.view.hop_length))
    return floor(watermark, history.view.hop_length)


def _known_until(view: FeatureView, watermark: int) -> int | None:
    """The time by which a row must be known to go online; None when every row that was made is.

    A row that waits for an embargo beyond the stream's lateness would hide the one before it from requests.
    """
    assert isinstance(view.source, Stream)
    lateness = duration(view.source.lateness)
    if view.availability_delay <= lateness or watermark >= DRAINED:
        return None
    return watermark + lateness


def made_until(runs: FeatureRuns) -> int:
    """The last boundary made, `BEGINNING` when there is none."""
    return int(runs.manifest().sources.get(MADE_UNTIL, BEGINNING))


def pane_schema(view: FeatureView) -> pa.Schema:
    """Columns of the stream's rows once each is told its pane."""
    assert isinstance(view.source, Stream)
    return arrow_schema(view.source.schema).append(pa.field(PANE, UTC_MICROSECONDS))


def _runs(store: FeatureStore, view: FeatureView) -> FeatureRuns:
    """The view's runs, created when there are none and begun anew when the definition has changed."""
    assert view.entity is not None
    runs = store.runs(view.name)
    if runs.exists() and runs.manifest().view_version != view.version:
        runs.drop()
    if not runs.exists():
        none = feature_rows(empty(pane_spec(view), pane_schema(view)), view, until=0)
        FeatureRuns.create(
            runs.folder,
            view=view.name,
            view_version=view.version,
            keys=view.entity.keys,
            features=pa.schema([field for field in none.schema if field.name not in (EVENT_TIME, CREATED_TIME)]),
        )
    return runs


def _ends(table: pa.Table, view: FeatureView) -> np.ndarray:
    return table[PANE].cast(pa.int64()).to_numpy() + view.hop_length


def _last_end(table: pa.Table, view: FeatureView) -> int:
    return int(_ends(table, view).max(initial=BEGINNING))
