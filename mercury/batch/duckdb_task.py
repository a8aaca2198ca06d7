"""The DuckDB engine: one query over pinned Parquet files, in a Ray task where a cluster runs, else in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import duckdb
import pyarrow as pa

from mercury.batch.inputs import Input
from mercury.errors import UnavailableError, UsageError
from mercury.expressions import Expression
from mercury.expressions.duckdb_files import parquet_column
from mercury.tables.scanning import scan

MEMORY_BYTES = 2 << 30
"""Memory of a query; beyond it DuckDB spills to its temporary folder."""


def run(
    sql: str, inputs: Sequence[Input], schema: pa.Schema, *, memory: int = MEMORY_BYTES, threads: int | None = None
) -> pa.Table:
    """The answer of a query that names its inputs as tables, as columns of `schema`.

    Raises `UsageError` when DuckDB cannot bind the query, `UnavailableError` when it runs out of memory and disk.
    """
    count = threads or os.cpu_count() or 1
    if not _ray_runs():
        return query(sql, inputs, schema, memory, count)
    import ray

    from mercury.runtime.session import original_error

    cpus = min(count, int(ray.cluster_resources().get("CPU", 1)))
    task = ray.remote(query).options(num_cpus=cpus, max_retries=3)
    try:
        return ray.get(task.remote(sql, list(inputs), schema, memory, cpus))
    except ray.exceptions.RayTaskError as error:
        raise original_error(error) from error


def query(sql: str, inputs: Sequence[Input], schema: pa.Schema, memory: int, threads: int) -> pa.Table:
    """`run` in this process."""
    with duckdb.connect(config={"memory_limit": f"{memory >> 20}MiB", "threads": threads}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            for each in inputs:
                connection.execute(_view(connection, each))
            return _cast(connection.sql(sql).to_arrow_table(), schema)
        except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
            fault, _, place = str(error).partition("\n")
            raise UsageError(
                f"DuckDB cannot run the query: {fault}", where="sql", excerpt=place.strip("\n") or None
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise UnavailableError(
                f"the query needs more than {memory >> 20} MiB: {str(error).splitlines()[0]}",
                fix="Give it more memory, or run it with engine='spark'",
            ) from error


def rows_outside(files: Sequence[str], where: str, schema: pa.Schema) -> int:
    """How many rows of Parquet files do not meet a SQL expression (`mercury.expressions`) over their columns."""
    condition = Expression.parse(where).sql("duckdb", schema)
    listed = ", ".join(_quoted(file) for file in files)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(f"SELECT count(*) FROM read_parquet([{listed}]) WHERE ({condition}) IS NOT TRUE")
        (count,) = found.fetchone() or (0,)
    return int(count)


def _view(connection: duckdb.DuckDBPyConnection, each: Input) -> str:
    where = f" WHERE {Expression.parse(each.where).sql('duckdb', each.schema)}" if each.where else ""
    columns = ", ".join(parquet_column(field) for field in each.schema)
    source = scan(connection, each.data_files, each.schema, f"mercury_{each.name}")
    return f"CREATE TEMP VIEW {_identifier(each.name)} AS SELECT * FROM (SELECT {columns} FROM ({source})){where}"


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise UsageError(
            f"the query returns no column {missing[0]!r}",
            where="sql",
            fix=f"It returns {', '.join(table.column_names)}",
        )
    return table.select(schema.names).cast(schema)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _ray_runs() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()
