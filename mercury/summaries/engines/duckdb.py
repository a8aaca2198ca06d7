"""Summaries by DuckDB: one statement per table of the state, over an Arrow table or Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from mercury.errors import NotFoundError, UsageError
from mercury.summaries.engines.sql import DUCKDB, fitted, statements
from mercury.summaries.spec import Summary, SummarySpec


def partial(spec: SummarySpec, rows: Any, *, threads: int = 1) -> Summary:
    """The state of an Arrow table, or of Parquet files of one schema.

    Floating sums are compensated (`fsum`), which costs little and makes them independent of DuckDB's chunks.
    """
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if isinstance(rows, (pa.Table, pa.RecordBatch)):
            table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
            schema, source = table.schema, "mercury_source"
            connection.register(source, table)
        else:
            schema, source = _files(rows)
        schemas = spec.state_schema(schema)
        queries = statements(spec, schema, source, DUCKDB)
        tables = {
            name: fitted(connection.sql(queries[name]).to_arrow_table(), state)
            if name in queries
            else state.empty_table()
            for name, state in schemas.items()
        }
    return Summary(spec, tables)


def _files(paths: Sequence[str]) -> tuple[pa.Schema, str]:
    if isinstance(paths, str) or not all(isinstance(path, str) for path in paths):
        raise UsageError(f"{type(paths).__name__} is not a list of Parquet files", fix="Give an Arrow table or paths")
    if not paths:
        raise NotFoundError("there are no files to summarise", fix="Give at least one Parquet file")
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return pq.read_schema(paths[0]), f"read_parquet([{listed}])"
