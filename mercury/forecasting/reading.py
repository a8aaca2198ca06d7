"""Reading a bare file: which column is the time, which the value, which names the series, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from mercury.errors import DataError
from mercury.forecasting import cells
from mercury.forecasting.columns import find_columns
from mercury.forecasting.panel import Duplicates, Gaps, Panel, make_panel
from mercury.forecasting.table_files import read_table, require_names


def read_panel(
    source: str | Path | pa.Table,
    *,
    time: str | None = None,
    value: str | None = None,
    id: str | Sequence[str] | None = None,
    freq: str | None = None,
    gaps: Gaps = "auto",
    duplicates: Duplicates = "refuse",
) -> Panel:
    """A panel from a CSV or Parquet file, or from an Arrow table.

    Columns that are not named are found by name and by content; the panel's notes say what was chosen and why. Several
    columns of ``id`` name a series together, with a slash between. See `make_panel` for gaps, duplicates and what is
    refused.
    """
    if isinstance(source, pa.Table):
        table, where = source, "the table"
        require_names(table, where)
    else:
        table, where = read_table(Path(source)), str(source)
    if not table.num_rows:
        raise DataError("the file has no rows", where=where, fix="Give at least one time and value")
    table = _plain(table)
    notes: list[str] = []
    found = find_columns(table, where, time, value, [id] if isinstance(id, str) else id or (), notes)
    values = cells.numbers(table[found.value], found.value, where, notes)
    times = cells.times(table[found.time], found.time, where, notes)
    ids = cells.names([table[name] for name in found.ids], where) if found.ids else None
    return make_panel(ids, times, values, where=where, freq=freq, gaps=gaps, duplicates=duplicates, notes=tuple(notes))


def _plain(table: pa.Table) -> pa.Table:
    """Texts of one type, whichever of Arrow's the file was written with."""
    for place, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            kind = pa.string()
        if kind != field.type:
            table = table.set_column(place, field.name, table[field.name].cast(kind))
    return table
