"""Checking a source against a contract: plan, one pass, verdicts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa

from mercury.errors import UsageError
from mercury.quality.block import Block, evaluation_error, one_array
from mercury.quality.checks import Check, Facts, ForeignKey, Measurement, RowCheck, judge
from mercury.quality.contract import Contract
from mercury.quality.engines.arrow import blocks, scan
from mercury.quality.metrics.failures import Failures
from mercury.quality.opening import open_source
from mercury.quality.plan import Broken, Partial, Plan, missing_columns, plan
from mercury.quality.results import SAMPLE_ROWS, Report, Result, Verdict
from mercury.quality.source import ArrowSource, Range, Source

Engine = Literal["auto", "arrow", "ray"]

RAY_BYTES = 4 << 30
"""With ``engine="auto"``, sources of more uncompressed bytes than this are scanned by Ray tasks."""


def check(
    source: Source | pa.Table | str,
    contract: Contract,
    *,
    engine: Engine = "auto",
    references: Mapping[str, Source | pa.Table | str] | None = None,
    now: datetime | None = None,
) -> Report:
    """Check data against a contract.

    Parameters
    ----------
    source : an Arrow table, a `Source`, or what `open_source` opens.
    engine : ``arrow`` is this process, ``ray`` the running Ray (or a local one), ``auto`` chooses by the bytes to read.
    references : data of the tables that foreign keys refer to, by the table's name in the contract.
    now : the clock of freshness checks; the current time when None.

    Raises `NotFoundError` and `CorruptDataError` for the source. A check that cannot be computed is a result with the
    verdict ``error``, never an exception, and touches no other check.
    """
    began, started = time.perf_counter(), now or datetime.now(UTC)
    data = as_source(source, contract)
    if references:
        contract = contract.with_references(_referenced_keys(contract, references))
    wanted = plan(contract.checks, data.schema)
    ranges = data.ranges()
    chosen = _choose(engine, ranges)
    found = _scan(wanted, data, ranges, chosen)
    facts = _facts(data, found, started)
    results = tuple(_judge(one, facts, found, data, ranges, contract.sensitive) for one in contract.checks)
    return Report(
        source=data.uri,
        source_kind=data.kind,
        source_version=data.version,
        files=data.files,
        contract=contract.file,
        contract_id=contract.id,
        contract_version=contract.version,
        contract_hash=contract.sha256,
        table=contract.table,
        rows=found.rows,
        engine=chosen,
        started=started.isoformat(),
        seconds=time.perf_counter() - began,
        results=results,
        bytes_read=found.size,
        unlisted=_unlisted(data, contract),
    )


def as_source(source: Source | pa.Table | str, contract: Contract | None = None) -> Source:
    """A source from what a caller has; a CSV file is typed as the contract says."""
    if isinstance(source, Source):
        return source
    if isinstance(source, pa.Table):
        return ArrowSource(source)
    types = {column.name: column.logical_type or "" for column in contract.columns} if contract else {}
    return open_source(source, column_types=types)


def _unlisted(data: Source, contract: Contract) -> tuple[str, ...]:
    listed = {column.name for column in contract.columns}
    return tuple(name for name in data.schema.names if name not in listed)


def _choose(engine: Engine, ranges: Sequence[Range]) -> str:
    if engine not in ("auto", "arrow", "ray"):
        raise UsageError(f"there is no engine {engine!r}", fix="Use auto, arrow or ray")
    if engine != "auto":
        return engine
    return "ray" if sum(part.size for part in ranges) > RAY_BYTES else "arrow"


def _scan(wanted: Plan, data: Source, ranges: Sequence[Range], engine: str) -> Partial:
    if engine == "arrow":
        return scan(wanted, data, ranges)
    from mercury.quality.engines.ray_tasks import scan_on_ray
    from mercury.runtime.session import ray_session

    with ray_session():
        return scan_on_ray(wanted, data, ranges)


def _facts(data: Source, found: Partial, now: datetime) -> Facts:
    lacking: dict[str, list[str]] = {}
    for file, columns in data.missing_columns().items():
        for column in columns:
            lacking.setdefault(column, []).append(file)

    def reread(columns: Sequence[str]) -> Iterator[Block]:
        return blocks(data, columns)

    return Facts(data.schema, found.rows, now, found.states, reread, lacking)


def _judge(
    one: Check, facts: Facts, found: Partial, data: Source, ranges: Sequence[Range], sensitive: frozenset[str]
) -> Result:
    evidence = _evidence(one, found, data)
    missing = missing_columns(one, data.schema)
    if missing:
        note = f"the data has no column {', '.join(map(repr, missing))}"
        return judge(one, _not_evaluated(note), sensitive=sensitive, evidence="schema")
    broken = [state for metric in one.metrics if isinstance(state := found.states.get(metric), Broken)]
    if broken:
        return judge(one, _error(one, broken[0].message, sensitive), sensitive=sensitive, evidence=evidence)
    try:
        measured = one.measure(facts)
        if isinstance(one, RowCheck) and measured.failed and not measured.sample:
            measured = replace(measured, sample=_sample(one, data, ranges))
        return judge(one, measured, sensitive=sensitive, evidence=evidence)
    except Exception as error:
        message = evaluation_error(error)
        return judge(one, _error(one, message, sensitive), sensitive=sensitive, evidence=evidence)


def _evidence(one: Check, found: Partial, data: Source) -> str:
    if one.metrics:
        return "scan" if found.scanned.intersection(one.metrics) else "metadata"
    if one.kind == "row_count":
        return "metadata" if data.kind in ("parquet", "delta") else "scan"
    return "schema"


def _not_evaluated(note: str) -> Measurement:
    return Measurement(note=note, verdict=Verdict.NOT_EVALUATED)


def _error(one: Check, message: str, sensitive: frozenset[str]) -> Measurement:
    # An engine's message may quote a value, so for a sensitive column only the fact is told.
    told = "the check could not be computed" if sensitive.intersection(one.columns) else message
    return Measurement(note=told, verdict=Verdict.ERROR)


def _sample(one: RowCheck, data: Source, ranges: Sequence[Range]) -> tuple[Any, ...]:
    """The first failed rows of a check that footers answered: only row groups with failures are read."""
    state = Failures()
    for part in ranges:
        footer = data.footer(part)
        known = one.metric.from_footer(footer) if footer is not None else None
        if known is not None and not known.failed:
            continue
        for block in blocks(data, one.metric.columns, [part]):
            state = one.metric.merge([state, one.metric.partial(block)])
        if len(state.sample) >= SAMPLE_ROWS:
            break
    return state.sample


def _referenced_keys(
    contract: Contract, references: Mapping[str, Source | pa.Table | str]
) -> dict[str, Sequence[tuple[Any, ...]]]:
    found: dict[str, Sequence[tuple[Any, ...]]] = {}
    for one in contract.checks:
        if isinstance(one, ForeignKey) and one.table in references:
            found[one.name] = _distinct_keys(as_source(references[one.table]), one.referenced)
    return found


def _distinct_keys(data: Source, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    keys: set[tuple[Any, ...]] = set()
    for block in blocks(data, columns):
        table = block.table.select(list(columns)).unify_dictionaries()
        arrays = [one_array(table[name]) for name in columns]
        plain = [array.dictionary_decode() if pa.types.is_dictionary(array.type) else array for array in arrays]
        distinct = pa.table(plain, names=list(columns)).group_by(list(columns)).aggregate([])
        keys.update(zip(*(distinct[name].to_pylist() for name in columns), strict=True))
    return sorted((key for key in keys if None not in key), key=repr)
