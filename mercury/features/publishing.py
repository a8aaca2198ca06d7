"""From offline runs to online rows: per key the newest row that was known at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.definitions import FeatureView
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.layout import CREATED_TIME, EPOCH, FeatureRuns, Manifest
from mercury.features.store import FeatureStore
from mercury.runtime import lineage


@dataclass(frozen=True)
class Offline:
    """What a materialization did to a view's offline rows: rows added and dropped, whether all were made anew."""

    offline: int
    dropped: int
    rebuilt: bool
    source: Mapping[str, Any]


def publish(store: FeatureStore, view: FeatureView, *, until: int | None = None) -> int:
    """Bring a view's offline rows online: per key the newest known by `until`; returns how many online rows changed.

    Only rows that are new since the last time, or have become known since, are looked at; a bucket is in memory at a
    time. Crashing in between is harmless: writes are compare-and-set. An `until` before what is online already means
    another point of view, and begins with an empty view.
    """
    assert view.entity is not None
    runs = store.runs(view.name)
    manifest = runs.manifest()
    writer = store.writer()
    mark = writer.mark(view.name)
    same = mark.get("version") == view.version and mark.get("origin") == manifest.origin
    if same and mark["generation"] == manifest.generation and mark["until"] == until:
        return 0
    if mark and until is not None and (mark["until"] is None or mark["until"] > until):
        writer.drop(view.name)
        same = False
    seen, earlier = (mark["generation"], mark["until"]) if same else (-1, None)
    changed = 0
    done = {"version": view.version, "origin": manifest.origin, "generation": manifest.generation, "until": until}
    for bucket in range(manifest.buckets):
        rows = _newest(runs, manifest, bucket, until, earlier, since=seen)
        last = bucket == manifest.buckets - 1
        if not rows.num_rows and not last:
            continue
        changed += writer.write(
            view.name,
            view.version,
            rows,
            keys=view.entity.keys,
            features=tuple(view.columns),
            epoch=rows[EPOCH].to_numpy(),
            sources=manifest.sources,
            mark=done if last else None,
        )
    return changed


def tell(run: lineage.Run, store: FeatureStore, view: FeatureView, offline: int, online: int | None) -> None:
    """Tell lineage how many rows of a view were added offline and changed online; None leaves the latter out."""
    runs = store.runs(view.name)
    version = runs.manifest().data_version
    run.output(runs.folder, version=version, rows=offline)
    if online is not None:
        run.output(store.online / view.name, version=version, rows=online)


def _newest(
    runs: FeatureRuns, manifest: Manifest, bucket: int, until: int | None, earlier: int | None, *, since: int
) -> pa.Table:
    """Per key of a bucket the last row known by `until`, of rows that are new or have become known lately."""
    new = [run for run in manifest.runs if run.bucket == bucket and run.generation > since]
    # Rows that were there, but not known yet when they were last published, count as new.
    old = since >= 0 and earlier is not None
    if not new and not old:
        return manifest.schema.empty_table()
    rows = runs.read(bucket, manifest) if old else runs.read_runs(new, manifest)
    if not rows.num_rows:
        return rows
    if until is not None:
        rows = rows.filter(pc.less_equal(rows[CREATED_TIME], pa.scalar(until, UTC_MICROSECONDS)))
    if not rows.num_rows:
        return rows
    last = np.zeros(rows.num_rows, np.bool_)
    last[-1] = True
    for key in manifest.keys:
        column = rows[key].combine_chunks()
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        last[:-1] |= pc.not_equal(column[:-1], column[1:]).to_numpy(zero_copy_only=False)
    return rows.filter(pa.array(last))
