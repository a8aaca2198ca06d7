"""Training sets: labels with the features of a service as they were known at each label's time.

Per group of views with the same keys, labels are bucketed once and each bucket is joined with the same bucket of every
view, in this process or as one Ray task per bucket through the keyed shuffle. Rows carry their place, so the parts are
put together in the labels' order and both ways give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from mercury.definitions import FeatureService, FeatureView, Stream
from mercury.errors import SchemaError, UsageError, did_you_mean
from mercury.features.instants import Side, instants, to_timestamps
from mercury.features.layout import CREATED_TIME, EVENT_TIME, FeatureRuns, Manifest
from mercury.features.pit import DEFAULTS, JoinOptions, ViewRows, as_of
from mercury.features.store import FeatureStore
from mercury.runtime import lineage
from mercury.runtime.shuffle import shuffle
from mercury.time import duration

PROVENANCE = b"mercury.provenance"
"""Key of the schema metadata that says what a training set was made from, as canonical JSON."""

_PLACE, _ASKED = "__place", "__asked"

Engine = Literal["auto", "process", "ray"]


def training_set(
    store: FeatureStore,
    service: FeatureService | Sequence[FeatureView],
    labels: pa.Table,
    *,
    event_time: str,
    options: JoinOptions = DEFAULTS,
    engine: Engine = "auto",
) -> pa.Table:
    """The labels with the features of every view of a service, one row per label row, in order.

    Parameters
    ----------
    labels : the key columns of all views, `event_time`, and whatever else; all columns are kept.
    event_time : the time of the prediction that the label is of.
    options : see `JoinOptions`; each view's ttl and availability delay come from its definition.
    engine : "process", "ray", or "auto", which takes Ray when this process has a session and the labels are large.

    The schema's metadata has `PROVENANCE`: versions and manifest generations of the views, and their sources.

    Raises `NotFoundError` when a view was not materialized, `SchemaError` for columns that are missing or clash.
    """
    views = service.views if isinstance(service, FeatureService) else tuple(service)
    if event_time not in labels.column_names:
        raise SchemaError(
            f"the labels have no column {event_time!r}", fix=did_you_mean(event_time, labels.column_names)
        )
    asked = instants(labels[event_time], Side.LABEL, name=event_time, assume_tz=options.assume_tz)
    pinned = [_Pinned.of(store, view) for view in views]
    for each in pinned:
        lineage.current().input(each.runs.folder, version=each.manifest.data_version)
    columns: dict[str, pa.ChunkedArray] = {}
    for group in _by_keys(pinned):
        columns.update(_join_group(labels, asked, group, options, engine))
    out = labels
    for view in views:
        names = [*view.columns, *(f"{view.name}__{part}" for part in ("ts", "created") if options.timestamps)]
        for name in names:
            if name in out.column_names:
                raise SchemaError(
                    f"feature {name!r} of view {view.name!r} has the name of another column",
                    fix="Drop it from the labels, or rename the feature",
                )
            out = out.append_column(name, columns[name])
    provenance = {
        "service": service.name if isinstance(service, FeatureService) else None,
        "service_version": service.version if isinstance(service, FeatureService) else None,
        "event_time": event_time,
        "options": {name: getattr(options, name) for name in options.__dataclass_fields__},
        "views": {each.view.name: each.provenance for each in pinned},
    }
    text = json.dumps(provenance, sort_keys=True, separators=(",", ":"))
    return out.replace_schema_metadata({**(labels.schema.metadata or {}), PROVENANCE: text.encode()})


def provenance_of(training: pa.Table) -> dict[str, Any]:
    """What a training set was made from; empty when it does not say."""
    data = (training.schema.metadata or {}).get(PROVENANCE)
    return json.loads(data) if data else {}


@dataclass(frozen=True)
class _Pinned:
    """A view with the manifest that a whole join reads, so that all its tasks see the same rows."""

    view: FeatureView
    runs: FeatureRuns
    manifest: Manifest

    @classmethod
    def of(cls, store: FeatureStore, view: FeatureView) -> _Pinned:
        runs = store.runs(view.name)
        manifest = runs.manifest()
        missing = [name for name in view.columns if name not in manifest.schema.names]
        if missing:
            raise UsageError(
                f"view {view.name!r} has features that were not materialized: {', '.join(missing)}",
                where=view.address,
                fix="Run `mercury features backfill`",
            )
        return cls(view, runs, manifest)

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {
            "version": self.view.version,
            "materialized_version": self.manifest.view_version,
            "generation": self.manifest.generation,
            "data_version": self.manifest.data_version,
            "rows": self.manifest.rows,
            "sources": dict(self.manifest.sources),
        }

    def rows(self, bucket: int) -> ViewRows:
        return view_rows(self.view, self.runs.read(bucket, self.manifest))


def view_rows(view: FeatureView, rows: pa.Table) -> ViewRows:
    """Offline rows of a view, with the semantics of its definition."""
    assert view.entity is not None
    return ViewRows(
        view.name,
        rows,
        view.entity.keys,
        tuple(view.columns),
        event_time=EVENT_TIME,
        created_time=CREATED_TIME,
        ttl=None if view.ttl is None else duration(view.ttl),
        # Offline rows of a stream hold their delay in the created time already, and so do those of a table; the event
        # time must obey it as well, also when created times do not count.
        delay=view.availability_delay if isinstance(view.source, Stream) or view.embargo else 0,
    )


def _by_keys(pinned: Sequence[_Pinned]) -> list[list[_Pinned]]:
    groups: dict[tuple[tuple[str, ...], int], list[_Pinned]] = {}
    for each in pinned:
        groups.setdefault((each.manifest.keys, each.manifest.buckets), []).append(each)
    return list(groups.values())


@dataclass(frozen=True)
class _JoinBucket:
    """The reduce kernel: all labels of a bucket against the same bucket of each view."""

    group: tuple[_Pinned, ...]
    options: JoinOptions

    def __call__(self, part: pa.Table) -> pa.Table:
        out = {_PLACE: part[_PLACE]}
        keys = self.group[0].manifest.keys
        bucket = _bucket(part, keys, self.group[0].manifest.buckets)
        asked = part[_ASKED].to_numpy()
        for each in self.group:
            rows = each.rows(bucket) if bucket is not None else None
            view = view_rows(each.view, each.manifest.schema.empty_table()) if rows is None else rows
            out.update(as_of(part, asked, view, self.options))
        return pa.table(out)


def _bucket(part: pa.Table, keys: Sequence[str], buckets: int) -> int | None:
    from mercury.runtime.hashing import bucket_of

    return int(bucket_of([part[key].slice(0, 1) for key in keys], buckets)[0]) if part.num_rows else None


def _keep(part: pa.Table) -> pa.Table:
    return part


def _join_group(
    labels: pa.Table, asked: np.ndarray, group: Sequence[_Pinned], options: JoinOptions, engine: Engine
) -> dict[str, pa.ChunkedArray]:
    manifest = group[0].manifest
    for key in manifest.keys:
        if key not in labels.column_names:
            raise SchemaError(
                f"the labels have no column {key!r}, a key of view {group[0].view.name!r}",
                fix=did_you_mean(key, labels.column_names),
            )
    work = labels.select(list(manifest.keys)).append_column(_ASKED, pa.array(asked))
    work = work.append_column(_PLACE, pa.array(np.arange(labels.num_rows)))
    parts = shuffle(
        [work], _keep, manifest.keys, _JoinBucket(tuple(group), options), partitions=manifest.buckets, engine=engine
    )
    joined = pa.concat_tables(parts, promote_options="permissive")
    order = np.empty(labels.num_rows, np.int64)
    order[joined[_PLACE].to_numpy()] = np.arange(labels.num_rows)
    joined = joined.drop_columns([_PLACE]).take(pa.array(order)).combine_chunks()
    return dict(zip(joined.column_names, joined.columns, strict=True))


__all__ = ["PROVENANCE", "provenance_of", "to_timestamps", "training_set", "view_rows"]
