"""The data files of a table as DuckDB reads them: columns by name, partition values as the log has them.

Names of folders promise nothing: other writers choose them as they like, and what they hold is text. So whoever reads
files by himself takes `DataFile`s of a table, each with its partition values, and asks `scan` for the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from mercury.expressions.duckdb_files import parquet


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table: its address, and the text of each partition column's value, None for NULL."""

    path: str
    partition: Mapping[str, str | None] = field(default_factory=dict)


def scan(connection: duckdb.DuckDBPyConnection, files: Sequence[DataFile], schema: pa.Schema, name: str) -> str:
    """A SELECT of the rows of some files, in the columns of `schema`, which are the table's.

    An empty table of the schema, and one of the partition values, are registered in the connection under names that
    begin with `name`; they must stay while the statement is used. Columns that old files do not have are NULL, and
    types that are narrower there are widened.
    """
    empty = f"{name}_schema"
    connection.register(empty, schema.empty_table())
    if not files:
        return f"SELECT * FROM {_quoted(empty)}"
    paths = [each.path for each in files]
    partition_by = [column for column in schema.names if column in files[0].partition]
    if not partition_by:
        return f"SELECT * FROM {parquet(paths)} UNION ALL BY NAME SELECT * FROM {_quoted(empty)}"
    values: dict[str, pa.Array] = {"mercury_path": pa.array(paths)}
    for column in partition_by:
        values[column] = partition_values((each.partition[column] for each in files), schema.field(column).type)
    partitions = f"{name}_partitions"
    connection.register(partitions, pa.table(values))
    held = [column for column in schema.names if column not in partition_by]
    columns = ", ".join(
        f"{'mercury_partitions' if column in partition_by else 'mercury_files'}.{_quoted(column)}"
        for column in schema.names
    )
    bare = ", ".join(_quoted(column) for column in held)
    source = parquet(paths, options="filename = 'mercury_path'")
    return (
        f"SELECT {columns} FROM (SELECT * FROM {source} "
        f"UNION ALL BY NAME SELECT {bare or 'NULL AS mercury_path'} FROM {_quoted(empty)}) AS mercury_files "
        f"JOIN {_quoted(partitions)} AS mercury_partitions USING (mercury_path)"
    )


def partition_values(texts: Iterable[str | None], type_: pa.DataType) -> pa.Array:
    """Partition values in a column's type, from the texts of a log, whoever wrote it; an empty text is NULL."""
    array = pa.array([text or None for text in texts], pa.string())
    if not pa.types.is_timestamp(type_):
        return array.cast(type_)
    # Instants in UTC, which may or may not say so.
    bare = pc.replace_substring_regex(array, r"(Z|[+-]00:?00)$", "")
    return bare.cast(pa.timestamp("us")).cast(pa.int64()).cast(type_)


def partition_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Partition values as Delta writes them ("Partition Value Serialization")."""
    if pa.types.is_timestamp(values.type):
        form = "%Y-%m-%dT%H:%M:%SZ" if values.type.tz else "%Y-%m-%d %H:%M:%S"
        return pc.strftime(values.cast(pa.timestamp("us")), format=form)
    return values.cast(pa.string())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
