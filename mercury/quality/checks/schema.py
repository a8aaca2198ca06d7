"""Columns and their types, judged on the schema of the data as it is, before any reader fills anything in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from mercury.errors import did_you_mean
from mercury.quality.checks.base import Check, Facts, Measurement
from mercury.quality.results import Verdict
from mercury.quality.rules import is_text


@dataclass(frozen=True)
class ColumnPresent(Check):
    """The data has the column."""

    column: str

    kind: ClassVar[str] = "column_present"
    needs_columns: ClassVar[bool] = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def demand(self) -> str:
        return "present"

    def measure(self, facts: Facts) -> Measurement:
        lacking = facts.lacking.get(self.column, ())
        if lacking:
            return Measurement(len(lacking), note=f"{len(lacking)} file(s) lack the column, the first is {lacking[0]}")
        if self.column in facts.schema.names:
            return Measurement(0, note="present")
        near = did_you_mean(self.column, facts.schema.names)
        return Measurement(1, note=f"the data has no column {self.column!r}. {near or ''}".strip())


@dataclass(frozen=True)
class ColumnType(Check):
    """The type of the column is one that the contract's logical type allows."""

    column: str
    logical: str

    kind: ClassVar[str] = "column_type"
    needs_columns: ClassVar[bool] = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def demand(self) -> str:
        return self.logical

    def measure(self, facts: Facts) -> Measurement:
        if self.column not in facts.schema.names:
            return Measurement(note=f"there is no column {self.column!r}", verdict=Verdict.NOT_EVALUATED)
        kind = facts.schema.field(self.column).type
        if allows(self.logical, kind):
            return Measurement(0, note=str(kind))
        return Measurement(1, note=f"the column is {kind}, the contract says {self.logical}")


def allows(logical: str, kind: pa.DataType) -> bool:
    """Whether data of an Arrow type is data of an ODCS logical type; every integer is a number as well."""
    if pa.types.is_dictionary(kind):
        return allows(logical, kind.value_type)
    match logical:
        case "string":
            return is_text(kind)
        case "integer":
            return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale <= 0))
        case "number":
            return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
        case "boolean":
            return bool(pa.types.is_boolean(kind))
        case "date":
            return bool(pa.types.is_date(kind))
        case "timestamp":
            return bool(pa.types.is_timestamp(kind))
        case "time":
            return bool(pa.types.is_time(kind))
        case "array":
            return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
        case _:
            return bool(pa.types.is_struct(kind) or pa.types.is_map(kind))
