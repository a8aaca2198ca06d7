"""Offline rows of a view: hash-bucketed, sorted Arrow runs under a manifest, read by memory map.

    <folder>/manifest-<generation>.json      what exists; the greatest generation counts
    <folder>/bucket=<i>/run-<id>.arrow

A run is one Arrow IPC record batch sorted by (keys, event time, created time), so that the point-in-time join needs no
sort: it maps the runs of a bucket and searches. `append` adds runs, `compact` merges them (a log-structured merge tree
of one level). Both write files under temporary names, sync them, rename them, and then publish the next generation of
the manifest by an exclusive link: of two writers one wins, the other re-reads; a crash leaves files that no manifest
names. A manifest keeps the greatest version of each transaction, so that a replayed append changes nothing.

The bucket of a row is `mercury.runtime.hashing.bucket_of` of its keys. Buckets, hash and file format are version
`FORMAT`, which is in the manifest and in each run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mercury.errors import (
    CommitConflictError,
    CorruptDataError,
    NotFoundError,
    SchemaError,
    UsageError,
)
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.run_files import BACKFILL, FORMAT, read_run, sync_folder, write_run, write_synced
from mercury.runtime.hashing import bucket_of

EVENT_TIME = "__event_time"
CREATED_TIME = "__created_time"
EPOCH = "__epoch"

BUCKETS = 8
"""Buckets of a new view: the number of tasks that a join can use. It cannot be changed without rewriting the view."""

COMPACT_RUNS = 16
"""Runs of a bucket beyond which `append` merges them, so that a join maps few files."""

GRACE_SECONDS = 600.0
"""How long files stay that a compaction replaced, for joins that began before it."""

_COMMIT_ATTEMPTS = 20
_KEPT_MANIFESTS = 2


@dataclass(frozen=True)
class Run:
    """One sorted file: path below the view's folder, bucket, rows, and the newest generation whose rows it holds."""

    path: str
    bucket: int
    rows: int
    generation: int


@dataclass(frozen=True)
class Manifest:
    """All that is known of a view's runs at one generation.

    ``origin`` names the history that the rows belong to: a rebuild begins another. ``transactions`` maps an application
    id to the greatest version appended; ``sources`` says what the rows were made from (table versions, pane ends).
    """

    view: str
    view_version: str
    keys: tuple[str, ...]
    buckets: int
    schema: pa.Schema
    origin: str
    generation: int = 0
    runs: tuple[Run, ...] = ()
    transactions: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of all runs."""
        return sum(run.rows for run in self.runs)

    @property
    def data_version(self) -> str:
        """Names these rows among all that the view ever had: a generation counts within its origin."""
        return f"{self.origin}.{self.generation}"

    def to_json(self) -> bytes:
        """Canonical bytes of the manifest file."""
        document = {
            "format": FORMAT,
            "view": self.view,
            "view_version": self.view_version,
            "keys": list(self.keys),
            "buckets": self.buckets,
            "schema": [[name, str(kind)] for name, kind in zip(self.schema.names, self.schema.types, strict=True)],
            "arrow_schema": self.schema.serialize().to_pybytes().hex(),
            "origin": self.origin,
            "generation": self.generation,
            "runs": [[run.path, run.bucket, run.rows, run.generation] for run in self.runs],
            "transactions": dict(self.transactions),
            "sources": dict(self.sources),
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Manifest:
        """The manifest in these bytes; `CorruptDataError` for damage or a format from the future."""
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise CorruptDataError(
                    f"feature layout format {document['format']!r} is not {FORMAT}", where=where, fix="Upgrade Mercury"
                )
            return cls(
                view=document["view"],
                view_version=document["view_version"],
                keys=tuple(document["keys"]),
                buckets=document["buckets"],
                schema=pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(document["arrow_schema"]))),
                origin=document["origin"],
                generation=document["generation"],
                runs=tuple(Run(*entry) for entry in document["runs"]),
                transactions=document["transactions"],
                sources=document["sources"],
            )
        except (ValueError, KeyError, TypeError, pa.ArrowInvalid) as error:
            raise CorruptDataError(
                f"a feature manifest cannot be read: {error}",
                where=where,
                fix=f"Remove the view's folder. {BACKFILL}",
            ) from error


class FeatureRuns:
    """The offline rows of one view, in a local folder.

    Rows are the view's key columns, its features, `EVENT_TIME` and `CREATED_TIME` (timestamp[us, UTC]) and `EPOCH`
    (int64: which materialization wrote the row; of rows equal in key and both times the greatest epoch counts).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        view: str,
        view_version: str,
        keys: Sequence[str],
        features: pa.Schema,
        buckets: int = BUCKETS,
        sources: Mapping[str, Any] | None = None,
    ) -> FeatureRuns:
        """An empty view; `CommitConflictError` when the folder holds one already.

        `features` is the schema of keys and features, keys first.
        """
        if buckets < 1 or buckets & (buckets - 1):
            raise UsageError(f"{buckets} buckets", fix="Use a power of two")
        schema = pa.schema(
            [
                *(pa.field(entry.name, entry.type) for entry in features),
                pa.field(EVENT_TIME, UTC_MICROSECONDS),
                pa.field(CREATED_TIME, UTC_MICROSECONDS),
                pa.field(EPOCH, pa.int64()),
            ]
        )
        runs = cls(folder)
        folder.mkdir(parents=True, exist_ok=True)
        first = Manifest(
            view, view_version, tuple(keys), buckets, schema, uuid.uuid4().hex[:12], generation=1, sources=sources or {}
        )
        if not runs._publish(first):
            raise CommitConflictError(f"view {view!r} exists already", where=str(folder))
        return runs

    def exists(self) -> bool:
        """Whether a manifest lies in the folder."""
        return bool(self._generations())

    def manifest(self) -> Manifest:
        """The newest manifest; `NotFoundError` when the view was never materialized."""
        for _ in range(_COMMIT_ATTEMPTS):
            generations = self._generations()
            if not generations:
                raise NotFoundError(
                    f"no feature rows lie in {self.folder}", fix="Run `mercury features materialize` first"
                )
            try:
                return Manifest.from_json(self._manifest_path(generations[-1]).read_bytes(), str(self.folder))
            except FileNotFoundError:
                continue  # a writer published a newer one and removed this one in between
        raise CommitConflictError("the view's manifest changes faster than it can be read", where=str(self.folder))

    def append(
        self,
        rows: pa.Table,
        *,
        epoch: int,
        transaction: tuple[str, int] | None = None,
        sources: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Add rows as sorted runs, one per bucket that gets any, and publish them in one step.

        Parameters
        ----------
        rows : keys, features, `EVENT_TIME` and `CREATED_TIME`; `EPOCH` is added. Rows whose key or event time is null
            are refused, since no join could ever find them.
        transaction : application id and version; when the manifest covers it, nothing is written.
        sources : merged into the manifest's sources.

        Raises `SchemaError` for columns that do not fit, `DiskFullError` when nothing could be written.
        """
        before = self.manifest()
        if _covered(before, transaction):
            return before
        stamped = rows.append_column(EPOCH, pa.array(np.full(rows.num_rows, epoch, np.int64)))
        fitted = _fit(stamped, before)
        token = uuid.uuid4().hex[:12]
        written: list[Run] = []
        try:
            for bucket, part in split(fitted, before.keys, before.buckets):
                name = f"bucket={bucket}/run-{token}.arrow"
                write_run(self.folder / name, sort_rows(part, before.keys), before.view)
                written.append(Run(name, bucket, part.num_rows, 0))

            def add(now: Manifest) -> Manifest | None:
                if _covered(now, transaction):
                    return None
                generation = now.generation + 1
                return replace(
                    now,
                    generation=generation,
                    runs=(*now.runs, *(replace(run, generation=generation) for run in written)),
                    transactions={**now.transactions, **dict([transaction] if transaction else [])},
                    sources={**now.sources, **(sources or {})},
                )

            after = self._commit(add)
        except BaseException:
            self._discard(written)
            raise
        if not {run.path for run in written} <= {run.path for run in after.runs}:
            self._discard(written)  # another writer of the same transaction was first
            return after
        if any(len(self._runs_of(after, bucket)) > COMPACT_RUNS for bucket in {run.bucket for run in written}):
            return self.compact()
        return after

    def complete(self, application: str, sources: Mapping[str, Any]) -> Manifest:
        """Forget an application's transactions, whose work is complete, and say what the rows are made from now."""
        return self._commit(
            lambda now: replace(
                now,
                generation=now.generation + 1,
                transactions={name: version for name, version in now.transactions.items() if name != application},
                sources=dict(sources),
            )
        )

    def compact(self) -> Manifest:
        """Merge the runs of each bucket into one; rows and their order in a join do not change."""
        before = self.manifest()
        token = uuid.uuid4().hex[:12]
        merged: dict[int, Run] = {}
        replaced: set[str] = set()
        try:
            for bucket in range(before.buckets):
                runs = self._runs_of(before, bucket)
                if len(runs) < 2:
                    continue
                rows = self._read(before, runs)
                name = f"bucket={bucket}/run-{token}.arrow"
                write_run(self.folder / name, sort_rows(rows, before.keys), before.view)
                merged[bucket] = Run(name, bucket, rows.num_rows, max(run.generation for run in runs))
                replaced.update(run.path for run in runs)
            if not merged:
                return before

            def swap(now: Manifest) -> Manifest | None:
                if not replaced <= {run.path for run in now.runs}:
                    return None  # somebody else compacted first
                kept = [run for run in now.runs if run.path not in replaced]
                return replace(now, generation=now.generation + 1, runs=(*merged.values(), *kept))

            after = self._commit(swap)
        except BaseException:
            self._discard(list(merged.values()))
            raise
        for path in replaced:
            # Readers that hold an older manifest may still open these; `vacuum` goes by this time.
            os.utime(self.folder / path)
        self.vacuum(GRACE_SECONDS)
        return after

    def read(self, bucket: int | None = None, manifest: Manifest | None = None) -> pa.Table:
        """Rows of one bucket, or of all, mapped from disk and sorted by (keys, event time, created time, epoch).

        A bucket of one run is not copied. Raises `CorruptDataError` when a run is not what its format promises.
        """
        at = manifest or self.manifest()
        return self.read_runs([run for run in at.runs if bucket is None or run.bucket == bucket], at)

    def read_runs(self, runs: Sequence[Run], manifest: Manifest) -> pa.Table:
        """Rows of some runs of a manifest, sorted like `read`."""
        rows = self._read(manifest, runs)
        return rows if len(runs) < 2 else sort_rows(rows, manifest.keys)

    def drop(self) -> None:
        """Remove the view with all that it holds."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def replace_with(self, other: FeatureRuns) -> Manifest:
        """Take over all rows of another view's folder on the same disk in one step, instead of one's own.

        The other's transactions and sources come along, and its folder is removed.
        """
        theirs = other.manifest()
        token = uuid.uuid4().hex[:12]
        moved = []
        for place, run in enumerate(theirs.runs):
            name = f"bucket={run.bucket}/run-{token}-{place}.arrow"
            (self.folder / name).parent.mkdir(exist_ok=True)
            os.link(other.folder / run.path, self.folder / name)
            moved.append(replace(run, path=name))
        after = self._commit(
            lambda now: replace(
                theirs,
                generation=now.generation + 1,
                runs=tuple(replace(run, generation=now.generation + 1) for run in moved),
            )
        )
        other.drop()
        return after

    def vacuum(self, grace_seconds: float = 0.0) -> int:
        """Remove files that no manifest has named for so long, left by a compaction or a crash; returns how many.

        With no grace it must not run beside a writer or a reader.
        """
        named = {run.path for run in self.manifest().runs}
        oldest = time.time() - grace_seconds
        removed = 0
        for path in self.folder.glob("bucket=*/*"):
            if str(path.relative_to(self.folder)) in named:
                continue
            with contextlib.suppress(FileNotFoundError):  # a writer beside us has renamed what it was writing
                if path.stat().st_mtime <= oldest:
                    path.unlink()
                    removed += 1
        return removed

    def _commit(self, change: Any) -> Manifest:
        for _ in range(_COMMIT_ATTEMPTS):
            now = self.manifest()
            after = change(now)
            if after is None:
                return now
            if self._publish(after):
                return after
        raise CommitConflictError(
            f"lost the race for the manifest {_COMMIT_ATTEMPTS} times", where=str(self.folder), fix="Try again"
        )

    def _publish(self, manifest: Manifest) -> bool:
        target = self._manifest_path(manifest.generation)
        temporary = self.folder / f".manifest-{uuid.uuid4().hex}"
        try:
            write_synced(temporary, manifest.to_json())
            try:
                # A link fails when the name exists, where a rename would replace it: this is the compare-and-swap.
                os.link(temporary, target)
            except FileExistsError:
                return False
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(self.folder)
        for old in self._generations()[:-_KEPT_MANIFESTS]:
            self._manifest_path(old).unlink(missing_ok=True)
        return True

    def _read(self, manifest: Manifest, runs: Sequence[Run]) -> pa.Table:
        tables = [read_run(self.folder / run.path, manifest.schema) for run in runs]
        return pa.concat_tables(tables) if tables else manifest.schema.empty_table()

    def _discard(self, runs: Sequence[Run]) -> None:
        for run in runs:
            (self.folder / run.path).unlink(missing_ok=True)

    @staticmethod
    def _runs_of(manifest: Manifest, bucket: int) -> list[Run]:
        return [run for run in manifest.runs if run.bucket == bucket]

    def _generations(self) -> list[int]:
        return sorted(int(path.stem.partition("-")[2]) for path in self.folder.glob("manifest-*.json"))

    def _manifest_path(self, generation: int) -> Path:
        return self.folder / f"manifest-{generation:010d}.json"


def split(rows: pa.Table, keys: Sequence[str], buckets: int) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each bucket that has any, in their order."""
    if not rows.num_rows:
        return
    places = bucket_of([rows[key] for key in keys], buckets)
    order = np.argsort(places, kind="stable")
    bounds = np.searchsorted(places[order], np.arange(buckets + 1))
    for bucket in range(buckets):
        if bounds[bucket] < bounds[bucket + 1]:
            yield bucket, rows.take(pa.array(order[bounds[bucket] : bounds[bucket + 1]]))


def sort_rows(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Rows by (keys, event time, created time, epoch), stable, in one chunk."""
    names = [*keys, EVENT_TIME, CREATED_TIME, EPOCH]
    columns = [*(_rank(rows[key]) for key in keys), *(rows[name].cast(pa.int64()).to_numpy() for name in names[-3:])]
    order = np.lexsort(columns[::-1])
    if np.array_equal(order, np.arange(rows.num_rows)):
        return rows.combine_chunks()
    return rows.take(pa.array(order)).combine_chunks()


def _rank(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_integer(column.type):
        return column.to_numpy()
    whole = column.combine_chunks()
    whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    encoded = whole.dictionary_encode()
    ranks = np.empty(len(encoded.dictionary), np.int64)
    ranks[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(ranks))
    return ranks[encoded.indices.to_numpy()]


def _covered(manifest: Manifest, transaction: tuple[str, int] | None) -> bool:
    return transaction is not None and manifest.transactions.get(transaction[0], -1) >= transaction[1]


def _fit(rows: pa.Table, manifest: Manifest) -> pa.Table:
    missing = [name for name in manifest.schema.names if name not in rows.column_names]
    extra = [name for name in rows.column_names if name not in manifest.schema.names]
    if missing or extra:
        raise SchemaError(
            f"rows of view {manifest.view!r} lack {missing or 'nothing'} and have {extra or 'nothing'} too much",
            fix="A changed view is rebuilt by `mercury features backfill`",
        )
    try:
        fitted = rows.select(manifest.schema.names).cast(manifest.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(f"rows of view {manifest.view!r} do not fit its schema: {error}") from error
    for name in (*manifest.keys, EVENT_TIME):
        if fitted[name].null_count:
            raise SchemaError(f"column {name!r} of view {manifest.view!r} has {fitted[name].null_count} nulls")
    return fitted
