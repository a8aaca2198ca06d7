"""Summaries by Spark SQL: one statement per table of the state over a DataFrame, collected as Arrow."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pyarrow as pa

from mercury.errors import UsageError
from mercury.summaries.engines.sql import SPARK, fitted, statements
from mercury.summaries.spec import Summary, SummarySpec

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def partial(spec: SummarySpec, rows: DataFrame) -> Summary:
    """The state of a DataFrame's rows; the session's time zone must be UTC, as `mercury.runtime` sets it."""
    if not hasattr(rows, "sparkSession"):
        raise UsageError(f"the spark engine cannot read {type(rows).__name__}", fix="Give a Spark DataFrame")
    session = rows.sparkSession
    schema = arrow_schema(rows)
    view = f"mercury_{uuid.uuid4().hex}"
    rows.createOrReplaceTempView(view)
    try:
        queries = statements(spec, schema, view, SPARK)
        found = {query: _collect(session.sql(query)) for query in dict.fromkeys(queries.values())}
        tables = {
            name: fitted(found[queries[name]], state) if name in queries else state.empty_table()
            for name, state in spec.state_schema(schema).items()
        }
    finally:
        session.catalog.dropTempView(view)
    return Summary(spec, tables)


def arrow_schema(frame: DataFrame) -> pa.Schema:
    """The Arrow schema of a DataFrame, with times in UTC."""
    from pyspark.sql.pandas.types import to_arrow_schema

    fields = [
        pa.field(field.name, pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(field.type) else field.type)
        for field in to_arrow_schema(frame.schema)
    ]
    return pa.schema(fields)


def _collect(frame: DataFrame) -> pa.Table:
    # Spark 3.5 has no public way to Arrow that does not pass through pandas, which loses types.
    batches = frame._collect_as_arrow()
    return pa.Table.from_batches(batches, schema=None if batches else arrow_schema(frame))
