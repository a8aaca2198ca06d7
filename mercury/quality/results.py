"""What a run of checks found: one `Result` per check, a `Report` of all, and the exit code that they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

FORMAT = 1
"""Version of the JSON form of a report."""

SAMPLE_ROWS = 5
"""How many failed rows a result shows; the count of failed rows is never capped."""

REDACTED = "<redacted>"
"""What stands in every output for a value of a column that the contract classifies as sensitive."""


class Verdict(StrEnum):
    """What is known about a check. *Not evaluated* and *error* are never *passed*."""

    PASS = "pass"
    WARN = "warn"
    """Broken, with a severity of warning."""
    FAIL = "fail"
    ERROR = "error"
    """The check could not be computed; the other checks are not touched by that."""
    NOT_EVALUATED = "not_evaluated"
    """Nothing here can evaluate it, or its column is missing; the message says which."""


@dataclass(frozen=True, order=True)
class Position:
    """Where a row lies: number of the file in the source, and number of the row in the file, both from 0."""

    file: int
    row: int


@dataclass(frozen=True)
class Sample:
    """One failed row: its position and the values that the check looked at, sensitive ones redacted."""

    position: Position
    values: Mapping[str, Any]

    def to_dict(self, files: tuple[str, ...]) -> dict[str, Any]:
        """JSON form: file name, row number from 1, values as text where JSON has no type for them."""
        file = files[self.position.file] if self.position.file < len(files) else ""
        return {
            "file": file,
            "row": self.position.row + 1,
            "values": {name: plain(value) for name, value in self.values.items()},
        }


@dataclass(frozen=True)
class Result:
    """The outcome of one check.

    ``value`` is what was measured, in the unit of the threshold; ``tested`` and ``failed`` count rows where the check
    is about rows, else they are None. ``evidence`` says how the answer was got: ``metadata`` (file footers alone),
    ``scan``, or ``schema``. ``accuracy`` is the stated relative error of an approximate value, None for an exact one.
    """

    check: str
    kind: str
    columns: tuple[str, ...]
    verdict: Verdict
    severity: str
    message: str
    value: Any = None
    threshold: str = ""
    tested: int | None = None
    failed: int | None = None
    sample: tuple[Sample, ...] = ()
    line: int = 0
    dimension: str = ""
    description: str = ""
    evidence: str = "scan"
    accuracy: float | None = None

    def to_dict(self, files: tuple[str, ...] = ()) -> dict[str, Any]:
        """JSON form."""
        return {
            "check": self.check,
            "kind": self.kind,
            "columns": list(self.columns),
            "verdict": self.verdict.value,
            "severity": self.severity,
            "message": self.message,
            "value": plain(self.value),
            "threshold": self.threshold,
            "tested": self.tested,
            "failed": self.failed,
            "sample": [sample.to_dict(files) for sample in self.sample],
            "line": self.line,
            "dimension": self.dimension,
            "description": self.description,
            "evidence": self.evidence,
            "accuracy": self.accuracy,
        }


@dataclass(frozen=True)
class Report:
    """All results of one run over one source, with what is needed to repeat and to trace it."""

    source: str
    source_kind: str
    source_version: int | None
    files: tuple[str, ...]
    contract: str
    contract_id: str
    contract_version: str
    contract_hash: str
    table: str
    rows: int
    engine: str
    started: str
    seconds: float
    results: tuple[Result, ...]
    bytes_read: int = 0
    quarantine: Mapping[str, Any] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()
    """Columns that the data has and the contract does not list."""

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many results have each verdict."""
        return {verdict: sum(result.verdict is verdict for result in self.results) for verdict in Verdict}

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict; *not evaluated* only when nothing was evaluated at all."""
        return overall(result.verdict for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """JSON form, with its format version."""
        return {
            "format": FORMAT,
            "verdict": self.verdict.value,
            "counts": {verdict.value: count for verdict, count in self.counts.items()},
            "source": {
                "uri": self.source,
                "kind": self.source_kind,
                "version": self.source_version,
                "files": list(self.files),
                "rows": self.rows,
                "unlisted_columns": list(self.unlisted),
            },
            "contract": {
                "file": self.contract,
                "id": self.contract_id,
                "version": self.contract_version,
                "sha256": self.contract_hash,
                "table": self.table,
            },
            "run": {
                "engine": self.engine,
                "started": self.started,
                "seconds": round(self.seconds, 6),
                "bytes_read": self.bytes_read,
            },
            "quarantine": dict(self.quarantine),
            "results": [result.to_dict(self.files) for result in self.results],
        }


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a whole run: fail, then error, then warn, then pass; not evaluated when there is nothing else."""
    found = set(verdicts)
    for verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.WARN, Verdict.PASS):
        if verdict in found:
            return verdict
    return Verdict.NOT_EVALUATED


def exit_code(verdicts: Iterable[Verdict], fail_on: str = "error") -> int:
    """The exit code of a run: 5 when data broke the contract, 6 when only a check could not be computed, else 0.

    ``fail_on="warn"`` counts warnings as failures, ``"never"`` counts no broken check as one; a check that could not
    be computed is never taken for a pass.
    """
    found = set(verdicts)
    failing = {"error": {Verdict.FAIL}, "warn": {Verdict.FAIL, Verdict.WARN}, "never": set[Verdict]()}[fail_on]
    if found & failing:
        return 5
    return 6 if Verdict.ERROR in found else 0


def plain(value: Any) -> Any:
    """A value as JSON has it: text for times, decimals, infinities and NaN."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)
