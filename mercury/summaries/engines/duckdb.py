"""Summaries by DuckDB: one statement per table of the state, over an Arrow table or Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from mercury.errors import CorruptDataError, NotFoundError, SchemaError, UnavailableError, UsageError
from mercury.expressions import Expression, duckdb_process
from mercury.expressions.duckdb_files import parquet, parquet_column
from mercury.summaries.aggregates import Sketch
from mercury.summaries.engines.sql import DUCKDB, fitted, statements
from mercury.summaries.spec import Summary, SummarySpec


def partial(spec: SummarySpec, rows: pa.Table | pa.RecordBatch | Sequence[str], *, threads: int = 1) -> Summary:
    """The state of an Arrow table, or of Parquet files of one schema.

    Floating sums are compensated (`fsum`), which costs little and makes them hardly depend on DuckDB's chunks.
    """
    with duckdb_process.cursor(threads=threads) as cursor:
        if isinstance(rows, (pa.Table, pa.RecordBatch)):
            schema, source, where = rows.schema, "mercury_source", None
            cursor.register(source, _used(spec, rows))
        else:
            schema, source = _files(spec, rows)
            where = ", ".join(rows[:3]) + (", …" if len(rows) > 3 else "")
        states = spec.state_schema(schema)
        queries = statements(spec, schema, source, DUCKDB)
        try:
            found = {query: cursor.sql(query).to_arrow_table() for query in dict.fromkeys(queries.values())}
        except duckdb.OutOfMemoryException as error:
            raise UnavailableError(
                f"the summary needs more memory than there is: {_line(error)}",
                where=where,
                fix="Summarise the rows in parts and merge",
            ) from error
        except duckdb.Error as error:
            if where is None:
                raise
            raise CorruptDataError(
                f"DuckDB cannot read the rows: {_line(error)}", where=where, fix="Write the file again"
            ) from error
    return Summary(
        spec,
        {
            name: fitted(found[queries[name]], state) if name in queries else state.empty_table()
            for name, state in states.items()
        },
    )


def cells(sketch: Sketch, values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The cell of a sketch and the value in it for each of some values, none of which is null."""
    cell, value = sketch.sql(DUCKDB.name, "v")
    with duckdb_process.cursor(threads=1) as cursor:
        cursor.register("mercury_values", pa.table({"v": values}))
        found = cursor.sql(f"SELECT {cell}, {value} FROM mercury_values").to_arrow_table()
    return found.column(0).combine_chunks(), found.column(1).combine_chunks()


def _used(spec: SummarySpec, rows: pa.Table | pa.RecordBatch) -> pa.Table:
    """The columns that the spec reads, since others may be of types that DuckDB does not know."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    used = [name for name in table.column_names if name in _columns(spec)]
    # A table without columns has no rows for DuckDB.
    return table.select(used) if used else pa.table({"row": pa.nulls(table.num_rows, pa.bool_())})


def _columns(spec: SummarySpec) -> frozenset[str]:
    texts = [*spec.columns.values(), *(spec.argument(aggregate) for aggregate in spec.aggregates.values())]
    texts += [text for text in (spec.time, spec.where) if text is not None]
    return frozenset().union(*(Expression.parse(text).columns for text in texts))


def _files(spec: SummarySpec, paths: Sequence[str]) -> tuple[pa.Schema, str]:
    if not isinstance(paths, (list, tuple)) or not all(isinstance(path, str) for path in paths):
        raise UsageError(f"{type(paths).__name__} is not a list of Parquet files", fix="Give an Arrow table or paths")
    if not paths:
        raise NotFoundError("there are no files to summarise", fix="Give at least one Parquet file")
    used = _columns(spec)
    schema = _schema(paths[0])
    fields = [field for field in schema if field.name in used]
    for path in paths[1:]:
        other = _schema(path)
        for field in fields:
            if field.name not in other.names or other.field(field.name).type != field.type:
                found = other.field(field.name).type if field.name in other.names else "missing"
                raise SchemaError(
                    f"the column {field.name!r} is {field.type} in {Path(paths[0]).name} and {found} here",
                    where=path,
                    fix="Summarise the files apart and merge, or write them with one schema",
                )
    selected = ", ".join(parquet_column(field) for field in fields) or "1 AS one"
    return schema, f"(SELECT {selected} FROM {parquet(paths)}) AS mercury_source"


def _schema(path: str) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {path!r}") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise CorruptDataError("this is no Parquet file", where=path, fix="Write it again") from error


def _line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
