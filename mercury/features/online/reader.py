"""Reading online features in process: LMDB mapped by the reader, no actor in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import lmdb

from mercury.definitions import FeatureService, FeatureView
from mercury.errors import NotFoundError, UsageError, did_you_mean
from mercury.features.online.codec import TIME, decoder, encode_key
from mercury.features.online.environment import environment
from mercury.features.online.store import VIEW, StoredView
from mercury.time import duration


class Status(StrEnum):
    """What a value of an entity is worth at the time of the request."""

    PRESENT = "PRESENT"
    EXPIRED = "EXPIRED"
    """The newest row is older than the view's time to live; its values are not given."""
    MISSING = "MISSING"
    """No row, a null key, or only one that was not yet known at the time of the request."""


@dataclass(frozen=True)
class ViewResult:
    """One view's part of an answer; every list has one entry per entity row.

    ``event_times`` and ``created_times`` are microseconds UTC, ``epochs`` the materialization that wrote the row; all
    three are None without a row, and given for an expired one. ``version`` is the view's definition hash and
    ``sources`` what its rows were made from, at the moment of reading.
    """

    view: str
    version: str | None
    sources: Mapping[str, Any]
    features: tuple[str, ...]
    values: list[list[Any]]
    statuses: list[Status]
    event_times: list[int | None]
    created_times: list[int | None]
    epochs: list[int | None]

    def provenance(self, row: int) -> dict[str, Any]:
        """Where one entity row's values are from, ready for JSON."""
        return {
            "status": str(self.statuses[row]),
            "event_time": self.event_times[row],
            "created_time": self.created_times[row],
            "epoch": self.epochs[row],
            "view_version": self.version,
            "sources": dict(self.sources),
        }


@dataclass(frozen=True)
class OnlineFeatures:
    """The features of some entity rows as they were at one time."""

    now: int
    views: tuple[ViewResult, ...]

    @property
    def names(self) -> list[str]:
        """Feature names, view after view."""
        return [name for view in self.views for name in view.features]

    def row(self, place: int) -> dict[str, Any]:
        """Feature values of one entity row; what is not present is None."""
        return {
            name: value for view in self.views for name, value in zip(view.features, view.values[place], strict=True)
        }

    def provenance(self, place: int) -> dict[str, dict[str, Any]]:
        """For each view, where one entity row's values are from."""
        return {view.view: view.provenance(place) for view in self.views}


class OnlineReader:
    """Looks features up by entity key; safe to use from several threads, cheap to make.

    Parameters
    ----------
    folder : the online store (`mercury.features.store_folder`).
    clock : the time of a request that does not say one, microseconds UTC.
    """

    def __init__(self, folder: Path, clock: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self.folder = folder
        self._env = environment(folder)
        self._clock = clock
        self._plans: dict[str, tuple[bytes, _Plan]] = {}

    def lookup(
        self,
        service: FeatureService | Sequence[FeatureView],
        entity_rows: Sequence[Mapping[str, Any]],
        now: int | None = None,
    ) -> OnlineFeatures:
        """Features of every entity row, in one read of the store.

        Parameters
        ----------
        entity_rows : for each, the key columns of all views (others are ignored).
        now : the time of the request in microseconds UTC, which decides what has expired and what was known.

        Raises `UsageError` when a key column is missing or a key has the wrong type.
        """
        moment = self._clock() if now is None else now
        views = service.views if isinstance(service, FeatureService) else service
        while True:
            try:
                with self._env.begin(buffers=False) as txn:
                    return OnlineFeatures(moment, tuple(self._view(txn, view, entity_rows, moment) for view in views))
            except lmdb.MapResizedError:
                # The writer, in another process, has grown the map.
                self._env.set_mapsize(0)

    def stored(self, view: str) -> StoredView:
        """The store's knowledge of a view; `NotFoundError` when nothing of it was materialized."""
        with self._env.begin() as txn:
            data = txn.get(VIEW + view.encode())
        if data is None:
            raise NotFoundError(f"view {view!r} is not online", fix="Run `mercury features materialize`")
        return StoredView.decode(view, data)

    def _view(
        self, txn: lmdb.Transaction, view: FeatureView, rows: Sequence[Mapping[str, Any]], now: int
    ) -> ViewResult:
        assert view.entity is not None
        features = tuple(view.columns)
        data = txn.get(VIEW + view.name.encode())
        if data is None:
            for row, given in enumerate(rows):
                _values(given, view.entity.keys, view.name, row)
            return _nothing(view.name, features, len(rows))
        known = self._plans.get(view.name)
        if known is None or known[0] != data:
            known = (data, _Plan(StoredView.decode(view.name, data), features))
            self._plans[view.name] = known
        plan = known[1]
        ttl = None if view.ttl is None else duration(view.ttl)
        result = _nothing(view.name, features, len(rows), plan.stored)
        prefix, layout, read, pick = plan.stored.prefix, plan.stored.layout, plan.read, plan.pick
        names = [name for name, _ in layout.keys]
        for row, given in enumerate(rows):
            entity = encode_key(_values(given, names, view.name, row), layout)
            value = None if entity is None else txn.get(prefix + entity)
            if value is None:
                continue
            event, created, epoch, values = read(value)
            if created > now or event > now:
                continue
            result.event_times[row], result.created_times[row], result.epochs[row] = event, created, epoch
            if ttl is not None and now - event > ttl:
                result.statuses[row] = Status.EXPIRED
                continue
            result.statuses[row] = Status.PRESENT
            result.values[row] = values if pick is None else [None if at is None else values[at] for at in pick]
        return result


class _Plan:
    """How to read a stored view for the features that are asked for."""

    def __init__(self, stored: StoredView, features: Sequence[str]) -> None:
        self.stored = stored
        self.read = decoder(stored.layout)
        places = {name: place for place, (name, _) in enumerate(stored.layout.features)}
        self.pick: list[int | None] | None = None
        if list(features) != list(places):
            # The definition is ahead of what was materialized: what is not stored yet is null.
            self.pick = [places.get(name) for name in features]


def time_features(stored: StoredView) -> set[str]:
    """Names of the features that are times, and so come back as int microseconds."""
    return {name for name, kind in stored.layout.features if kind == TIME}


def _values(given: Mapping[str, Any], names: Sequence[str], view: str, row: int) -> list[Any]:
    try:
        return [given[name] for name in names]
    except KeyError as error:
        name = error.args[0]
        raise UsageError(
            f"entity row {row} has no key {name!r}, which view {view!r} needs", fix=did_you_mean(name, given)
        ) from None


def _nothing(view: str, features: tuple[str, ...], rows: int, stored: StoredView | None = None) -> ViewResult:
    return ViewResult(
        view,
        stored.version if stored else None,
        stored.sources if stored else {},
        features,
        [[None] * len(features) for _ in range(rows)],
        [Status.MISSING] * rows,
        [None] * rows,
        [None] * rows,
        [None] * rows,
    )
