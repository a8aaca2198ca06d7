"""Answers as JSON, Arrow, CSV and text; the same figures in each."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from mercury.analytics.answers import Answer

ARROW_TYPE = "application/vnd.apache.arrow.stream"

EXPLAIN_KEY = b"mercury.answer"
"""Key of the Arrow schema's metadata that holds what is not in the table, as JSON."""


def to_document(answer: Answer, *, explain: bool = False) -> dict[str, Any]:
    """JSON-ready form, by column: ``columns`` (name and type), ``data`` (name to values), ``rows``, ``truncated``, and
    ``source`` (table, version, epoch, route); with `explain` also how it came about.

    JSON has no NaN and no infinity: they are the texts "NaN", "Infinity" and "-Infinity". Times are ISO 8601.
    """
    out = {
        "columns": [{"name": field.name, "type": str(field.type)} for field in answer.table.schema],
        "data": {name: column_values(answer.table[name]) for name in answer.table.column_names},
        "rows": answer.table.num_rows,
        "truncated": answer.truncated,
        "source": _source(answer),
    }
    return out | {"explain": answer.explain.to_dict()} if explain else out


def to_arrow(answer: Answer) -> bytes:
    """An Arrow IPC stream, whose schema carries source, explain and whether rows were left out."""
    about = {"source": _source(answer), "truncated": answer.truncated, "explain": answer.explain.to_dict()}
    table = answer.table.replace_schema_metadata({EXPLAIN_KEY: json.dumps(about).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def to_csv(answer: Answer) -> str:
    """RFC 4180, one line of names first; null is an empty field."""
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(answer.table.column_names)
    columns = [column_values(column) for column in answer.table.columns]
    for row in zip(*columns, strict=True):
        writer.writerow(["" if value is None else value for value in row])
    return text.getvalue()


def to_lines(answer: Answer) -> list[str]:
    """A table for people: numbers to the right."""
    columns = [column_values(column) for column in answer.table.columns]
    numeric = [_is_number(field.type) for field in answer.table.schema]
    texts = [[_shown(value) for value in column] for column in columns]
    heads = answer.table.column_names
    widths = [max([len(head), *map(len, column)]) for head, column in zip(heads, texts, strict=True)]

    def line(cells: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return [line(heads), *(line(row) for row in zip(*texts, strict=True))]


def column_values(column: pa.ChunkedArray) -> list[Any]:
    """Values that JSON can hold."""
    try:
        values = column.to_pylist()
    except (OverflowError, ValueError):
        # A time beyond the year 9999, where Python's end.
        values = column.cast(pa.string()).to_pylist()
    if pa.types.is_string(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return list(values)
    return [_value(value) for value in values]


def _source(answer: Answer) -> dict[str, Any]:
    explain = answer.explain
    return {
        "table": explain.source,
        "version": explain.version,
        "epoch": explain.epoch,
        "route": explain.route,
        "cached": explain.cached,
    }


def _value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _value(part) for key, part in value.items()}
    return [_value(part) for part in value] if isinstance(value, list) else value


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
