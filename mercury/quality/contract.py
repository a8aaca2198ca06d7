"""A contract for one table: its columns, its checks, and how single rows are judged by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from mercury.quality.checks import Check, ForeignKey, RowCheck, Unsupported
from mercury.quality.rows import RowVerdicts, judge_rows


@dataclass(frozen=True)
class ContractColumn:
    """A column that a contract names; `sensitive` values are redacted in every output."""

    name: str
    logical_type: str | None = None
    sensitive: bool = False
    line: int = 0
    description: str = ""


@dataclass(frozen=True)
class Contract:
    """What one table must be like.

    Parameters
    ----------
    id, version : as the contract file says.
    table : name of the table (ODCS: schema object) within the contract.
    file : path of the contract file, for messages.
    sha256 : of the canonical JSON of the whole contract file: line breaks and comments do not change it.
    columns, checks : in the order of the file.
    """

    id: str
    version: str
    table: str
    file: str
    sha256: str
    columns: tuple[ContractColumn, ...]
    checks: tuple[Check, ...]

    @property
    def row_checks(self) -> tuple[RowCheck, ...]:
        """The checks that make a single row bad: row-local, tolerating no failure, with the severity of an error."""
        return tuple(check for check in self.checks if isinstance(check, RowCheck) and check.rejects_rows)

    @property
    def dataset_checks(self) -> tuple[Check, ...]:
        """The checks that judge rows only together (counts, uniqueness, statistics, tolerated shares)."""
        rejecting = set(map(id, self.row_checks))
        return tuple(check for check in self.checks if id(check) not in rejecting)

    @property
    def not_evaluated(self) -> tuple[Unsupported, ...]:
        """What the contract says and nothing here evaluates, with the reason."""
        return tuple(check for check in self.checks if isinstance(check, Unsupported))

    @property
    def sensitive(self) -> frozenset[str]:
        """The columns whose values are redacted in every output."""
        return frozenset(column.name for column in self.columns if column.sensitive)

    def validate(self, batch: pa.Table | pa.RecordBatch) -> RowVerdicts:
        """Judge each row of a batch by `row_checks`.

        Raises `SchemaError` when the batch lacks a column that a row check needs, or has it in a type that the rule
        cannot be asked of: that is a fault of the pipeline and not of a row.
        """
        return judge_rows(self.row_checks, batch)

    def with_references(self, references: Mapping[str, Sequence[tuple[Any, ...]]]) -> Contract:
        """The contract with the referenced keys of its foreign keys; the mapping goes by `ForeignKey.name`."""
        checks = tuple(
            check.bound(tuple(references[check.name]))
            if isinstance(check, ForeignKey) and check.name in references
            else check
            for check in self.checks
        )
        return replace(self, checks=checks)
