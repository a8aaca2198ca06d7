"""What all checks share, and how a measurement becomes a result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import pyarrow as pa

from mercury.quality.block import Block
from mercury.quality.metrics.base import Metric
from mercury.quality.metrics.failures import Failures, RowMetric
from mercury.quality.results import REDACTED, Result, Sample, Verdict
from mercury.quality.thresholds import NONE_FAIL, Severity, Threshold


@dataclass(frozen=True)
class Facts:
    """What is known after the scan: a state per metric, the schema, the clock, and a way to read some columns again."""

    schema: pa.Schema
    rows: int
    now: datetime
    states: Mapping[Metric, Any]
    reread: Callable[[Sequence[str]], Iterator[Block]] | None = None
    lacking: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Files that lack a column which other files have: column to files."""


@dataclass(frozen=True)
class Measurement:
    """What a check measured: the value, the rows behind it, and a sentence part that says it in words."""

    value: Any = None
    tested: int | None = None
    failed: int | None = None
    sample: tuple[Sample, ...] = ()
    note: str = ""
    accuracy: float | None = None
    verdict: Verdict | None = None
    """Set where the threshold does not decide, as for what cannot be evaluated."""


@dataclass(frozen=True)
class Check(ABC):
    """A named demand on data. ``line`` is the line of the contract file that makes it."""

    name: str
    threshold: Threshold = field(default=NONE_FAIL, kw_only=True)
    severity: Severity = field(default=Severity.ERROR, kw_only=True)
    line: int = field(default=0, kw_only=True)
    dimension: str = field(default="", kw_only=True)
    description: str = field(default="", kw_only=True)

    kind: ClassVar[str] = ""
    needs_columns: ClassVar[bool] = True
    """Whether a missing column makes the check impossible; false for those that look for the column."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the check is about."""
        return ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics whose states the check needs."""
        return ()

    @property
    def reveals_values(self) -> bool:
        """Whether the measured value is a value of the data itself, and so redacted for a sensitive column."""
        return False

    @abstractmethod
    def measure(self, facts: Facts) -> Measurement:
        """The measurement, from the states of the check's metrics."""

    @property
    def demand(self) -> str:
        """What the check demands, in words."""
        return self.threshold.text


@dataclass(frozen=True)
class RowCheck(Check):
    """A check that counts failing rows, and so can judge single rows of a batch or a stream."""

    @property
    @abstractmethod
    def metric(self) -> RowMetric:
        """The metric that finds failing rows."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (self.metric,)

    @property
    def rejects_rows(self) -> bool:
        """Whether a single failing row is bad by itself: nothing is tolerated, and it is an error."""
        return self.severity is Severity.ERROR and self.threshold.tolerates_none

    @property
    @abstractmethod
    def reason(self) -> str:
        """Why a failing row fails, to stand in a dead letter or a quarantine; holds no value of the row."""

    def measure(self, facts: Facts) -> Measurement:
        state: Failures = facts.states[self.metric]
        return row_measurement(self.threshold, state, facts.rows)

    @property
    def demand(self) -> str:
        return f"failed rows {self.threshold.text}"


def row_measurement(threshold: Threshold, state: Failures, rows: int, note: str = "") -> Measurement:
    """Failed rows, or their share of all rows in percent (of no rows: 0), in the unit of the threshold."""
    value: int | float = state.failed
    if threshold.unit == "percent":
        value = 100.0 * state.failed / rows if rows else 0.0
    return Measurement(value, state.tested, state.failed, state.sample, note)


def judge(check: Check, measured: Measurement, *, sensitive: frozenset[str], evidence: str) -> Result:
    """The result of a check: the threshold decides; values of sensitive columns are redacted here, for every output."""
    if measured.verdict is not None:
        verdict = measured.verdict
    elif check.threshold.met(measured.value):
        verdict = Verdict.PASS
    else:
        verdict = Verdict.FAIL if check.severity is Severity.ERROR else Verdict.WARN
    value = measured.value
    if value is not None and check.reveals_values and sensitive.intersection(check.columns):
        value = REDACTED
    return Result(
        check=check.name,
        kind=check.kind,
        columns=check.columns,
        verdict=verdict,
        severity=check.severity.value,
        message=measured.note or _sentence(check, measured, value),
        value=value,
        threshold=check.demand,
        tested=measured.tested,
        failed=measured.failed,
        sample=tuple(_redacted(sample, sensitive) for sample in measured.sample),
        line=check.line,
        dimension=check.dimension,
        description=check.description,
        evidence=evidence,
        accuracy=measured.accuracy,
    )


def _redacted(sample: Sample, sensitive: frozenset[str]) -> Sample:
    values = {name: REDACTED if name in sensitive else value for name, value in sample.values.items()}
    return Sample(sample.position, values)


def _sentence(check: Check, measured: Measurement, value: Any) -> str:
    if measured.failed is not None:
        tested = f" of {measured.tested:,}" if measured.tested is not None else ""
        text = f"{measured.failed:,}{tested} rows fail"
        if check.threshold.unit == "percent" and isinstance(measured.value, float):
            text += f" ({measured.value:.3g} %)"
        return text
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "no value to judge" if value is None else str(value)
