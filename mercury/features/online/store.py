"""The only writer of a shard of the online store: the newest row of each entity, whatever order rows come in.

A row replaces the stored one when its (event time, created time, epoch) is greater or equal, so writes commute and a
replay changes nothing. A batch of rows and the transaction that it belongs to are one LMDB transaction: after a crash
both are there or neither. The map grows when it is full.

Keys of the store::

    \\x00view\\x00<name>          metadata of a view: id, version, layout, sources            (msgpack)
    \\x00txn\\x00<application>    greatest version written                                    (i64, little endian)
    \\x00mark\\x00<name>          how far the view's offline rows have been brought over      (msgpack)
    \\x01<view id u32><entity>    a row (`mercury.features.online.codec`)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import lmdb
import msgspec
import numpy as np
import pyarrow as pa

from mercury.errors import CorruptDataError, DiskFullError
from mercury.features.instants import NULL_INSTANT, Side, instants
from mercury.features.layout import CREATED_TIME, EVENT_TIME
from mercury.features.online.codec import FORMAT, HEAD, Layout, encode_keys, encode_rows
from mercury.features.online.environment import environment, grow

VIEW, TXN, MARK, ROW = b"\x00view\x00", b"\x00txn\x00", b"\x00mark\x00", b"\x01"

ROW_PREFIX = struct.Struct(">cI")
_VERSION = struct.Struct("<q")
_MAX_GROWTH = 20

T = TypeVar("T")


@dataclass(frozen=True)
class StoredView:
    """What the store knows of a view: its rows' prefix, definition version, layout, and what its rows came from."""

    name: str
    id: int
    version: str
    layout: Layout
    sources: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prefix(self) -> bytes:
        """First bytes of the keys of its rows."""
        return ROW_PREFIX.pack(ROW, self.id)

    def encode(self) -> bytes:
        """Bytes in the store."""
        return msgspec.msgpack.encode(
            {"format": FORMAT, "id": self.id, "version": self.version, "sources": dict(self.sources)}
            | self.layout.to_dict()
        )

    @classmethod
    def decode(cls, name: str, data: bytes) -> StoredView:
        """The view in these bytes; `CorruptDataError` for another format."""
        document = msgspec.msgpack.decode(data)
        if document["format"] != FORMAT:
            raise CorruptDataError(
                f"online format {document['format']!r} of view {name!r} is not {FORMAT}", fix="Upgrade Mercury"
            )
        return cls(name, document["id"], document["version"], Layout.from_dict(document), document["sources"])


class ShardWriter:
    """Writes one shard; a folder has one writer at a time (LMDB holds others back)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = environment(folder)

    def write(
        self,
        view: str,
        version: str,
        rows: pa.Table,
        *,
        keys: Sequence[str],
        features: Sequence[str],
        epoch: int | np.ndarray,
        transaction: tuple[str, int] | None = None,
        sources: Mapping[str, Any] | None = None,
        mark: Mapping[str, Any] | None = None,
    ) -> int:
        """Bring rows of one view into the store; returns how many changed it.

        Parameters
        ----------
        version : the view's definition hash. Rows of another version or layout are removed first.
        rows : keys, features and the layout's event and created times, any order; null keys are left out.
        epoch : of all rows, or one per row.
        transaction : application id and version, written with the rows; when it is covered nothing is written.
        sources, mark : replace the view's provenance and its mark.
        """
        layout = Layout.of(rows.schema, keys, features)
        encoded = encode_keys(rows, layout)
        event = instants(rows[EVENT_TIME], Side.FEATURE, name=EVENT_TIME)
        created = instants(rows[CREATED_TIME], Side.FEATURE, name=CREATED_TIME)
        created = np.where(created == NULL_INSTANT, event, created)
        epochs = np.broadcast_to(np.asarray(epoch, np.int64), rows.num_rows)
        values = encode_rows(rows, layout, event, created, epochs)

        def apply(txn: lmdb.Transaction) -> int:
            if transaction is not None and _covered(txn, transaction):
                return 0
            stored = _ensure_view(txn, view, version, layout, sources)
            changed = _put_newest(txn, stored.prefix, encoded, values)
            if transaction is not None:
                txn.put(TXN + transaction[0].encode(), _VERSION.pack(transaction[1]))
            if mark is not None:
                txn.put(MARK + view.encode(), msgspec.msgpack.encode(dict(mark)))
            return changed

        return self._transact(apply)

    def mark(self, view: str) -> dict[str, Any]:
        """The view's mark, empty when it has none."""
        with self._env.begin() as txn:
            data = txn.get(MARK + view.encode())
        return msgspec.msgpack.decode(data) if data else {}

    def transaction_version(self, application: str) -> int | None:
        """The greatest version written under an application id."""
        with self._env.begin() as txn:
            data = txn.get(TXN + application.encode())
        return None if data is None else _VERSION.unpack(data)[0]

    def drop(self, view: str) -> int:
        """Remove a view's rows, metadata and mark; returns how many rows there were."""

        def apply(txn: lmdb.Transaction) -> int:
            data = txn.get(VIEW + view.encode())
            if data is None:
                return 0
            removed = _remove_rows(txn, StoredView.decode(view, data).prefix)
            txn.delete(VIEW + view.encode())
            txn.delete(MARK + view.encode())
            return removed

        return self._transact(apply)

    def _transact(self, apply: Callable[[lmdb.Transaction], T]) -> T:
        for _ in range(_MAX_GROWTH):
            try:
                with self._env.begin(write=True, buffers=False) as txn:
                    return apply(txn)
            except lmdb.MapFullError:
                grow(self._env)
            except lmdb.MapResizedError:
                self._env.set_mapsize(0)
            except lmdb.DiskError as error:
                raise DiskFullError(
                    "no room for online rows; nothing was written", where=str(self.folder), fix="Free space"
                ) from error
        raise DiskFullError("the online store does not stop growing", where=str(self.folder))


def _ensure_view(
    txn: lmdb.Transaction, name: str, version: str, layout: Layout, sources: Mapping[str, Any] | None
) -> StoredView:
    data = txn.get(VIEW + name.encode())
    if data is not None:
        stored = StoredView.decode(name, data)
        if stored.version == version and stored.layout == layout:
            if sources is not None and dict(sources) != dict(stored.sources):
                stored = StoredView(name, stored.id, version, layout, sources)
                txn.put(VIEW + name.encode(), stored.encode())
            return stored
        # Rows of another definition must not be served, nor outlive their layout.
        _remove_rows(txn, stored.prefix)
        txn.delete(MARK + name.encode())
        renewed = StoredView(name, stored.id, version, layout, sources or {})
    else:
        renewed = StoredView(name, _next_id(txn), version, layout, sources or {})
    txn.put(VIEW + name.encode(), renewed.encode())
    return renewed


def _next_id(txn: lmdb.Transaction) -> int:
    greatest = 0
    cursor = txn.cursor()
    if cursor.set_range(VIEW):
        for key, value in cursor:
            if not key.startswith(VIEW):
                break
            greatest = max(greatest, StoredView.decode(key[len(VIEW) :].decode(), value).id)
    return greatest + 1


def _put_newest(txn: lmdb.Transaction, prefix: bytes, keys: Sequence[bytes | None], values: Sequence[bytes]) -> int:
    changed = 0
    stamp = HEAD.unpack_from
    for entity, value in zip(keys, values, strict=True):
        if entity is None:
            continue
        key = prefix + entity
        old = txn.get(key)
        if old is not None and (old == value or stamp(old)[1:] > stamp(value)[1:]):
            continue
        txn.put(key, value)
        changed += 1
    return changed


def _remove_rows(txn: lmdb.Transaction, prefix: bytes) -> int:
    removed = 0
    cursor = txn.cursor()
    found = cursor.set_range(prefix)
    while found and bytes(cursor.key()).startswith(prefix):
        found = cursor.delete()
        removed += 1
    return removed


def _covered(txn: lmdb.Transaction, transaction: tuple[str, int]) -> bool:
    data = txn.get(TXN + transaction[0].encode())
    return data is not None and _VERSION.unpack(data)[0] >= transaction[1]
