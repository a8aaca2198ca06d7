"""Judging single rows by a contract: a mask of the good ones, and for each bad one what it breaks. Arrow in and out.

The same metrics find the failing rows of a batch, of a stream's epoch and of a quarantine, so the three agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mercury.errors import DataError, SchemaError
from mercury.quality.block import Block, evaluation_error
from mercury.quality.checks.base import RowCheck
from mercury.quality.results import Position


@dataclass(frozen=True)
class RowVerdicts:
    """Which rows of a batch are good.

    ``good`` is bool per row. ``failures`` has one row per broken check and bad row, by row: ``row`` int64, ``check``,
    ``column`` (several joined by commas) and ``reason`` text, which holds no value of the row.
    """

    good: pa.BooleanArray
    failures: pa.Table

    @property
    def bad_rows(self) -> int:
        """How many rows are bad."""
        return int(len(self.good) - (self.good.true_count))

    def reasons(self) -> pa.StringArray:
        """Per row all its reasons joined by ``"; "``, null for a good row."""
        joined: list[str | None] = [None] * len(self.good)
        for row, reason in zip(self.failures["row"].to_pylist(), self.failures["reason"].to_pylist(), strict=True):
            before = joined[row]
            joined[row] = reason if before is None else f"{before}; {reason}"
        return pa.array(joined, pa.string())


def judge_rows(checks: Sequence[RowCheck], batch: pa.Table | pa.RecordBatch) -> RowVerdicts:
    """Judge each row by row checks; raises `SchemaError` when the batch cannot be asked at all."""
    table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    block = Block(table, Position(0, 0), expressions_of(checks))
    bad = np.zeros(block.rows, dtype=bool)
    rows: list[np.ndarray] = []
    which: list[np.ndarray] = []
    for number, check in enumerate(checks):
        mask = failing_rows(check, block)
        if mask is None:
            continue
        bad |= mask
        found = np.flatnonzero(mask)
        rows.append(found)
        which.append(np.full(len(found), number))
    return RowVerdicts(pa.array(~bad), _failures(checks, rows, which))


def failing_rows(check: RowCheck, block: Block) -> np.ndarray | None:
    """Mask of the rows that break a check; an engine's own error becomes a `DataError` that names the check."""
    try:
        return check.metric.failing(block)
    except SchemaError as error:
        raise SchemaError(error.what, where=f"check {check.name!r}, line {check.line}", fix=error.fix) from error
    except (pa.ArrowException, ValueError) as error:
        raise DataError(evaluation_error(error), where=f"check {check.name!r}, line {check.line}") from error


def expressions_of(checks: Sequence[RowCheck]) -> tuple[str, ...]:
    """The SQL conditions of all checks, each once."""
    return tuple(dict.fromkeys(text for check in checks for text in check.metric.expressions))


def _failures(checks: Sequence[RowCheck], rows: list[np.ndarray], which: list[np.ndarray]) -> pa.Table:
    row = np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
    number = np.concatenate(which) if which else np.empty(0, dtype=np.int64)
    order = np.lexsort((number, row))
    index = pa.array(number[order], pa.int64())

    def text(values: list[str]) -> pa.Array:
        return pa.array(values, pa.string()).take(index)

    return pa.table(
        {
            "row": pa.array(row[order], pa.int64()),
            "check": text([check.name for check in checks]),
            "column": text([",".join(check.columns) for check in checks]),
            "reason": text([check.reason for check in checks]),
        }
    )
