"""Erasure: the rows of some ids go for ever, with everything in the table's folder that remembers them.

1. Delete by a merge with a table of the ids, streamed, so that no predicate and no least or greatest id is logged.
2. Keep the id column out of statistics from now on.
3. Vacuum everything that the newest version does not need: old files, the change feed, leftovers of dead writers.
4. Write a checkpoint and delete the log entries before it.
5. Decode what is left and look for the ids (`mercury.tables.proof`). The certificate lists what was decoded.

Copies elsewhere (backups, other tables, Kafka, online stores, models trained on the rows) are not in its reach.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from mercury.errors import CommitConflictError, PartialError, SchemaError, UnavailableError, UsageError, did_you_mean
from mercury.tables import reading
from mercury.tables.commits import commit_properties
from mercury.tables.failures import translated
from mercury.tables.maintenance import remove_log_before, vacuum
from mercury.tables.proof import DecodedFile, Finding, Search

_STATISTICS = "delta.dataSkippingStatsColumns"


@dataclass(frozen=True)
class ErasureCertificate:
    """What was erased and what was decoded to prove it. It holds no id.

    Parameters
    ----------
    uri, column : table and id column.
    ids : how many ids were asked for.
    rows : rows that were deleted; 0 when they were gone already, or when only the proof was run.
    version : table version that was proven, which is the earliest that can be read now.
    decoded : every file that is left, each decoded whole, with its SHA-256.
    findings : places where an id is left; empty if and only if the erasure is proven.
    """

    uri: str
    column: str
    ids: int
    rows: int
    version: int
    decoded: tuple[DecodedFile, ...]
    findings: tuple[Finding, ...]

    @property
    def proven(self) -> bool:
        """Whether no file that is left holds any of the ids."""
        return not self.findings

    def to_json(self) -> str:
        """The certificate as one JSON document."""
        return json.dumps({"format": 1, "proven": self.proven, **dataclasses.asdict(self)}, sort_keys=True, indent=2)


def erase(delta: DeltaTable, uri: str, column: str, ids: Iterable[object]) -> ErasureCertificate:
    """Erase the rows whose `column` is one of `ids` from the newest version; `PartialError` when the proof fails."""
    wanted = _prepare(delta, uri, column, ids)
    try:
        with translated(uri):
            rows = _delete(delta, column, wanted)
            vacuum(delta, "0s", False, uri)
            remove_log_before(delta)
            delta.update_incremental()
    except CommitFailedError as error:
        raise CommitConflictError(
            "another writer changed the table during an erasure", where=uri, fix="Stop it and erase again"
        ) from error
    certificate = dataclasses.replace(prove(delta, uri, column, wanted.to_pylist()), rows=rows)
    if not certificate.proven:
        first = certificate.findings[0]
        raise PartialError(
            f"{rows} rows were deleted, but {len(certificate.findings)} places are not clean: {first.reason}",
            where=f"{uri}/{first.path}",
            fix="Erase or change what is left there, or stop the writer that made it, and erase again",
        )
    return certificate


def prove(delta: DeltaTable, uri: str, column: str, ids: Iterable[object]) -> ErasureCertificate:
    """Decode the table's folder and look for the ids, without deleting anything."""
    wanted = _prepare(delta, uri, column, ids)
    decoded, findings = Search(column, wanted).folder(_folder(delta))
    return ErasureCertificate(uri, column, len(wanted), 0, int(delta.version()), tuple(decoded), tuple(findings))


def _prepare(delta: DeltaTable, uri: str, column: str, ids: Iterable[object]) -> pa.Array:
    schema = reading.arrow_schema(delta)
    if column not in schema.names:
        raise SchemaError(f"no column {column!r}", where=uri, fix=did_you_mean(column, schema.names))
    if column in delta.metadata().partition_columns:
        raise UsageError(f"{column!r} is a partition column", where=uri, fix="Overwrite those partitions, vacuum")
    type_ = schema.field(column).type
    if not (pa.types.is_string(type_) or pa.types.is_integer(type_)):
        raise SchemaError(f"ids are texts or integers, but {column!r} has the type {type_}", where=uri)
    try:
        wanted = pa.array(list(ids), type_).unique()
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # The message of the library would repeat the id.
        raise SchemaError(f"an id does not fit column {column!r} of type {type_}", where=uri) from None
    if wanted.null_count:
        raise UsageError("an id is NULL, which no row has", where=uri, fix="Leave it out")
    if "://" in uri and not uri.startswith("file://"):
        raise UnavailableError("erasure is proven for tables in a folder only", where=uri)
    return wanted


def _delete(delta: DeltaTable, column: str, ids: pa.Array) -> int:
    reading.require_plain(delta, str(delta.table_uri))
    held = reading.read(delta, [column], None, str(delta.table_uri)).column(column)
    rows = int(pc.sum(pc.is_in(held, value_set=ids)).as_py() or 0)
    _exclude_from_statistics(delta, column)
    if rows:
        name = column.replace('"', '""')
        (
            delta.merge(
                pa.table({column: ids}),
                f'target."{name}" = source."{name}"',
                source_alias="source",
                target_alias="target",
                streamed_exec=True,
                commit_properties=commit_properties(None, {"erasure": {"column": column, "rows": rows}}),
            )
            .when_matched_delete()
            .execute()
        )
    return rows


def _exclude_from_statistics(delta: DeltaTable, column: str) -> None:
    schema = reading.arrow_schema(delta)
    listed = delta.metadata().configuration.get(_STATISTICS)
    partition_by = delta.metadata().partition_columns
    names = [
        field.name
        for field in schema
        if not pa.types.is_nested(field.type) and not pa.types.is_binary(field.type) and field.name not in partition_by
    ]
    if listed is not None:
        kept = [name.strip().strip("`") for name in listed.split(",")]
        names = [name for name in names if name in kept]
    # A name with a comma or a dot cannot be listed safely; it goes without statistics.
    names = [name for name in names if name != column and name.replace("_", "").isalnum()]
    if listed != ",".join(names) and names:
        delta.alter.set_table_properties({_STATISTICS: ",".join(names)})


def _folder(delta: DeltaTable) -> Path:
    return Path(unquote(str(delta.table_uri).removeprefix("file://")))
