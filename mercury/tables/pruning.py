"""Which files cannot hold a row that meets a condition, by their statistics and partition values.

A file is left out only if some comparison that the condition requires is false or NULL for every row it may hold.
What cannot be decided keeps the file, so pruning never changes an answer:

* Statistics of times are cut to milliseconds by writers, so they are taken as wider by one.
* NaN is greater than every number and in no statistic, so a file may always hold something greater.
* Integers are compared with integers only: as floats they may round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mercury.errors import UsageError
from mercury.expressions import Expression
from mercury.expressions.syntax import Node, read_moment
from mercury.expressions.types import Kind
from mercury.time import DAY, MILLISECOND

_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class FileRange:
    """What is known of the rows in a file: per column the least and greatest value, and the number of nulls."""

    rows: int | None
    bounds: Mapping[str, tuple[Any, Any]]
    nulls: Mapping[str, int | None]
    exact: frozenset[str]
    """Partition columns, whose bounds are the one value of all rows."""


def may_hold(condition: Expression, file: FileRange, schema: pa.Schema) -> bool:
    """Whether some row of the file may meet the condition."""
    return _possible(condition.tree, file, schema)


def file_ranges(
    actions: pa.Table, schema: pa.Schema, columns: Iterable[str], partition_by: Sequence[str]
) -> list[FileRange]:
    """What delta-rs's flat add actions say of these columns: one entry per file, in their order."""
    count = actions.num_rows
    rows = actions.column("num_records").to_pylist()

    def listed(name: str, type_: pa.DataType) -> list[Any]:
        place = actions.schema.get_field_index(name)
        if place < 0:
            return [None] * count
        values = actions.column(place)
        if values.type != type_:
            values = values.cast(type_)
        # Plain numbers: Python's own times end in the year 9999.
        if pa.types.is_timestamp(type_):
            values = values.cast(pa.int64())
        elif pa.types.is_date(type_):
            values = values.cast(pa.int32())
        return list(values.to_pylist())

    used = [field for field in schema if field.name in set(columns)]
    lows, highs, nulls = {}, {}, {}
    for field in used:
        name = field.name
        if name in partition_by:
            lows[name] = highs[name] = values = listed(f"partition.{name}", field.type)
            nulls[name] = [total if value is None else 0 for value, total in zip(values, rows, strict=True)]
        else:
            lows[name], highs[name] = listed(f"min.{name}", field.type), listed(f"max.{name}", field.type)
            nulls[name] = listed(f"null_count.{name}", pa.int64())
    return [
        FileRange(
            rows=rows[place],
            bounds={field.name: (lows[field.name][place], highs[field.name][place]) for field in used},
            nulls={field.name: nulls[field.name][place] for field in used},
            exact=frozenset(partition_by),
        )
        for place in range(count)
    ]


def _possible(node: Node, file: FileRange, schema: pa.Schema) -> bool:
    if node.op == "and":
        return all(_possible(part, file, schema) for part in node.args)
    if node.op == "or":
        return any(_possible(part, file, schema) for part in node.args)
    if node.op == "between":
        subject, low, high = node.args
        return _compare(">=", subject, low, file, schema) and _compare("<=", subject, high, file, schema)
    if node.op == "in":
        subject, *values = node.args
        return any(_compare("=", subject, value, file, schema) for value in values)
    if node.op == "is_null" and node.args[0].op == "column":
        return file.nulls.get(str(node.args[0].value)) != 0
    if node.op in _MIRRORED:
        left, right = node.args
        if right.op == "column":
            return _compare(_MIRRORED[node.op], right, left, file, schema)
        return _compare(node.op, left, right, file, schema)
    return True


def _compare(op: str, subject: Node, literal: Node, file: FileRange, schema: pa.Schema) -> bool:
    if subject.op != "column" or literal.op not in ("literal", "literal_moment"):
        return True
    name = str(subject.value)
    if file.rows is not None and file.nulls.get(name) == file.rows:
        return False
    type_ = schema.field(name).type
    wanted = _wanted(literal, type_)
    if wanted is None:
        return True
    low, high = file.bounds.get(name, (None, None))
    slack = MILLISECOND if pa.types.is_timestamp(type_) and name not in file.exact else 0
    if low is not None and op in ("=", "<", "<="):
        least = low - slack if slack else low
        if wanted < least or (op == "<" and wanted == least):
            return False
    if high is not None and (op == "=" or (op in (">", ">=") and not pa.types.is_floating(type_))):
        greatest = high + slack if slack else high
        if wanted > greatest or (op == ">" and wanted == greatest):
            return False
    return True


def _wanted(literal: Node, type_: pa.DataType) -> Any:
    """The literal as statistics of such a column are held, or None when the comparison means something else."""
    value = literal.value
    whole = isinstance(value, int) and not isinstance(value, bool)
    if literal.op == "literal_moment":
        assert isinstance(value, int)
        if pa.types.is_timestamp(type_):
            return value // DAY * DAY if literal.escape == Kind.DATE.name else value
        return value // DAY if pa.types.is_date(type_) and literal.escape == Kind.DATE.name else None
    if pa.types.is_integer(type_):
        return value if whole else None
    if pa.types.is_floating(type_):
        if isinstance(value, int) and whole and abs(value) <= 2**53:
            return float(value)
        return value if isinstance(value, float) else None
    if not isinstance(value, str):
        return None
    if pa.types.is_string(type_):
        return value
    if pa.types.is_timestamp(type_):
        return _instant(value)
    if pa.types.is_date(type_) and len(value.strip()) == len("2013-01-31"):
        instant = _instant(value)
        return None if instant is None else instant // DAY
    return None


def _instant(text: str) -> int | None:
    try:
        return read_moment(text)
    except UsageError:
        return None
