"""Summaries: tables that merge. The same aggregates on Arrow, DuckDB and Spark, in any split and any order.

    spec = SummarySpec(["carrier"], {"flights": Count(), "p90": Quantile("dep_delay", 0.9)})
    state = merge([partial(spec, january), partial(spec, ["february.parquet"], engine="duckdb")])
    finish(state)                      # carrier, flights, p90

`partial` takes rows to a state, `merge` is associative and commutative with `empty` as its neutral element, `finish`
takes a state to answers. Engines agree: counts, extremes and integer sums bit for bit, sums of floats to 1e-9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from mercury.errors import SpecMismatchError, UsageError
from mercury.summaries.answers import finish
from mercury.summaries.engines import arrow
from mercury.summaries.spec import SCALARS, Summary, SummarySpec
from mercury.summaries.state_files import from_ipc, to_ipc

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Engine = Literal["arrow", "duckdb", "spark"]


def partial(
    spec: SummarySpec, rows: pa.Table | pa.RecordBatch | Sequence[str] | DataFrame, *, engine: Engine = "arrow"
) -> Summary:
    """The state of some rows.

    Parameters
    ----------
    rows : an Arrow table or batch; for "duckdb" also a list of Parquet files; for "spark" a DataFrame.

    Raises `ExpressionError` and `SchemaError` when the spec does not fit the rows, `DataError` when a sum of integers
    does not fit 64 bits.
    """
    if engine == "arrow":
        if not isinstance(rows, (pa.Table, pa.RecordBatch)):
            raise UsageError(f"the arrow engine cannot read {type(rows).__name__}", fix="Give an Arrow table")
        return arrow.partial(spec, rows)
    if engine == "duckdb":
        from mercury.summaries.engines import duckdb

        return duckdb.partial(spec, rows)
    if engine == "spark":
        from mercury.summaries.engines import spark

        return spark.partial(spec, rows)
    raise UsageError(f"{engine!r} is not an engine of summaries", fix="Use arrow, duckdb or spark")


def merge(summaries: Sequence[Summary]) -> Summary:
    """The state of all rows of the given states, in any order; `SpecMismatchError` when they are of several specs."""
    if not summaries:
        raise UsageError("there is nothing to merge", fix="Give at least one summary; empty() is one without rows")
    for other in summaries[1:]:
        if other.spec.hash != summaries[0].spec.hash:
            raise SpecMismatchError(
                f"summaries of the specs {summaries[0].spec.hash} and {other.spec.hash} do not merge",
                fix="Recompute one of them with the other's definition",
            )
    return arrow.merge(summaries)


def empty(spec: SummarySpec, schema: pa.Schema) -> Summary:
    """The state of no rows of this schema: merged with any other it changes nothing."""
    return Summary(spec, {name: table.empty_table() for name, table in spec.state_schema(schema).items()})


__all__ = [
    "SCALARS",
    "Engine",
    "Summary",
    "SummarySpec",
    "empty",
    "finish",
    "from_ipc",
    "merge",
    "partial",
    "to_ipc",
]
