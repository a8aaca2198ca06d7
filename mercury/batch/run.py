"""Run a batch job once per state of its inputs: pin, choose an engine, compute, commit with provenance.

The output table is its own ledger. Every commit of a job carries the job, the partition, the version of its code and
the versions of its inputs; when the newest commit of a partition says the same, there is nothing to do. A run writes
its rows in one commit, so a run that dies leaves nothing to see, and one that is repeated replaces its own rows.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mercury.batch import duckdb_task, spark_job
from mercury.batch.engine import Choice, choose
from mercury.batch.inputs import Input, pin, snapshots
from mercury.batch.spark_job import SparkSize
from mercury.definitions import Job, canonical_json
from mercury.errors import ConflictError, DataError, UsageError
from mercury.lake import Lake, local_folder
from mercury.runtime import lineage
from mercury.tables import Commit, Table, TableVersion, Transaction

if TYPE_CHECKING:
    from mercury.config import Settings

Gate = Callable[[Sequence[str] | pa.Table], None]
"""Looks at a result before it is committed, as files or as a table; raises to leave the table as it is."""


@dataclass(frozen=True)
class Query:
    """What a job computes: a SELECT over its inputs, in the words of each engine, and the columns of the result.

    ``duckdb`` and ``spark`` hold the text for one engine each; an empty text means that the engine cannot run it.
    """

    schema: pa.Schema
    duckdb: str = ""
    spark: str = ""


@dataclass(frozen=True)
class Scope:
    """The part of the output that a run replaces.

    ``partition`` names it in the ledger; ``where`` is a SQL expression over the output that exactly its rows meet, None
    for all rows; ``inputs`` prunes input tables by SQL expressions.
    """

    partition: str = "all"
    where: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """What a run did. ``skipped``: the inputs had not changed since the last run, and nothing was computed."""

    job: str
    partition: str
    skipped: bool
    rows: int
    version: int
    inputs: Mapping[str, int]
    engine: str | None = None
    reason: str | None = None
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**self.__dict__, "inputs": dict(self.inputs)}


def run(
    job: Job,
    query: Query,
    settings: Settings,
    *,
    scope: Scope | None = None,
    code: Path | str | None = None,
    engine: str | None = None,
    gate: Gate | None = None,
    size: SparkSize | None = None,
    force: bool = False,
) -> RunResult:
    """Bring one partition of a job's output up to its inputs.

    Parameters
    ----------
    code : file whose bytes are part of the code version, so that a changed script runs again.
    engine : forces one; the job's own otherwise.
    gate : called with the result before the commit.
    size : what Spark takes of the cluster.
    force : run although nothing changed.

    Raises `TableNotFoundError` for a missing input, `UsageError` for a query that the engine cannot run, and whatever
    `gate` raises; the output is then as it was.
    """
    began = time.monotonic()
    part = scope or Scope()
    lake = Lake(str(settings.lake))
    made_by: bytes | None = _code(query, part) if code is None else None
    identity = run_identity(job, part.partition, snapshots(job.inputs, lake), code, made_by)
    uri = lake.table(job.output)
    if not force and (done := last_run(uri, identity)) is not None:
        return RunResult(job.name, part.partition, True, 0, done.version, identity["inputs"])
    inputs = pin(job.inputs, lake, part.inputs)
    identity = run_identity(job, part.partition, {each.name: each.snapshot for each in inputs}, code, made_by)
    choice = choose(sum(each.bytes for each in inputs), engine or job.engine)
    output = Table.create(uri, query.schema, exist_ok=True)
    with lineage.run(job.name, settings=settings) as told:
        for each in inputs:
            told.input(each.uri, version=each.snapshot.version)
        commit = _compute_and_commit(
            job, query, inputs, choice, output, part, identity, told.id, gate, size, settings.memory_limit
        )
        told.output(uri, version=commit.version, rows=commit.rows)
    return RunResult(
        job.name,
        part.partition,
        commit.skipped,
        commit.rows or 0,
        commit.version,
        identity["inputs"],
        choice.engine,
        choice.explain(),
        time.monotonic() - began,
    )


def run_identity(
    job: Job,
    partition: str,
    inputs: Mapping[str, TableVersion],
    code: Path | str | None = None,
    query: bytes | None = None,
) -> dict[str, Any]:
    """What makes two runs the same, which is part of the provenance.

    It is the job, the partition, the version of the code, and of each input its version and its table's id.

    Parameters
    ----------
    code : file whose bytes are part of the version of the code.
    query : where there is no such file, what the run computes.
    """
    digest = hashlib.sha256(job.version.encode())
    if code is not None:
        digest.update(Path(code).read_bytes())
    if query is not None:
        digest.update(query)
    return {
        "job": job.name,
        "partition": partition,
        "code": digest.hexdigest()[:16],
        "inputs": {name: each.version for name, each in inputs.items()},
        "tables": {name: each.id for name, each in inputs.items()},
    }


def last_run(uri: str, identity: Mapping[str, Any]) -> Commit | None:
    """The newest commit of this job and partition, if the partition holds what it wrote, made from the same code and
    inputs; None otherwise."""
    if not Table.exists(uri):
        return None
    commit = newest_run(Table.open(uri).history(), str(identity["job"]), str(identity["partition"]))
    if commit is None:
        return None
    made = commit.provenance
    same = canonical_json({name: made.get(name) for name in identity}) == canonical_json(dict(identity))
    return commit if same else None


def newest_run(history: Sequence[Commit], job: str, partition: str) -> Commit | None:
    """The newest commit of a partition by its job, unless a later commit may have touched its rows.

    A later one leaves them as they are if it only moved rows between files or changed no rows at all, or if it is the
    same job's for another named partition. Anybody else's, and a run over the whole table, may have changed them.

    Parameters
    ----------
    history : commits of the output, newest first.
    """
    for commit in history:
        made = commit.provenance
        if commit.operation in _ROWS_STAY and "job" not in made:
            continue
        if made.get("job") != job:
            return None
        if made.get("partition") == partition:
            return commit
        if "all" in (partition, made.get("partition")):
            return None
    return None


_ROWS_STAY = frozenset(
    {"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "CREATE TABLE", "ADD COLUMN", "FSCK"}
)
"""Operations after which a table holds the rows that it held before."""


def _code(query: Query, scope: Scope) -> bytes:
    """What a run computes, as bytes."""
    inputs = sorted(scope.inputs.items())
    return repr((query.duckdb, query.spark, str(query.schema), scope.where, inputs)).encode()


def _compute_and_commit(
    job: Job,
    query: Query,
    inputs: Sequence[Input],
    choice: Choice,
    output: Table,
    scope: Scope,
    identity: Mapping[str, Any],
    run_id: str,
    gate: Gate | None,
    size: SparkSize | None,
    memory: int,
) -> Commit:
    sql = query.duckdb if choice.engine == "duckdb" else query.spark
    if not sql:
        raise UsageError(f"{job.address} has no query for {choice.engine}", fix="Choose another engine")
    app = f"batch/{job.name}/{scope.partition}"
    sequence = (output.transaction_version(app) or 0) + 1
    transaction = Transaction(app, sequence)
    provenance = {**identity, "engine": choice.engine, "run": run_id}
    if choice.engine == "duckdb":
        rows = duckdb_task.run(sql, inputs, query.schema, memory=memory)
        if gate is not None:
            gate(rows)
        commit = output.overwrite(rows, where=scope.where, transaction=transaction, provenance=provenance)
    else:
        with _staging(output.uri, app, sequence) as folder:
            files = spark_job.run(
                sql, inputs, query.schema, str(folder), app=f"{job.name}-{folder.name[-8:]}", size=size
            )
            if gate is not None:
                gate(files)
            commit = _commit_files(output, files, scope, transaction, provenance)
    if commit.skipped and last_run(output.uri, identity) is None:
        raise ConflictError(
            f"another run of {job.address} for {scope.partition} was committed meanwhile, from other inputs",
            where=output.uri,
            fix="Run it again",
        )
    return commit


def _commit_files(
    output: Table, files: Sequence[str], scope: Scope, transaction: Transaction, provenance: Mapping[str, Any]
) -> Commit:
    if scope.where is not None and files:
        outside = duckdb_task.rows_outside(files, scope.where, output.schema)
        if outside:
            raise DataError(
                f"{outside} rows of the result are not in the partition {scope.partition!r}",
                where=scope.where,
                fix="Let the query return only rows that meet the scope's condition",
            )
    if not output.files(scope.where):
        return output.add_files(files, transaction=transaction, provenance=provenance)
    # Rows of an earlier run must go in the same commit.
    rows = pa.concat_tables(pq.read_table(file) for file in files)
    rows = rows.select(output.schema.names).cast(output.schema)
    return output.overwrite(rows, where=scope.where, transaction=transaction, provenance=provenance)


@contextmanager
def _staging(uri: str, app: str, sequence: int) -> Iterator[Path]:
    """A new folder inside the table; what no commit named is deleted at the end, files of a commit stay."""
    folder = (
        local_folder(uri, "the output of a Spark job")
        / f"data-{app.replace('/', '-')}-{sequence}-{uuid.uuid4().hex[:8]}"
    )
    try:
        yield folder
    finally:
        if folder.is_dir():
            committed = {Path(file).resolve() for file in Table.open(uri).files()}
            if not any(path.resolve() in committed for path in folder.glob("*.parquet")):
                shutil.rmtree(folder)
