"""The most frequent values, exact, and histograms on given edges."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mercury.definitions import Histogram, TopK
from mercury.summaries.aggregates.base import Groups, Kept, Sketch, number
from mercury.summaries.aggregates.distinct import value_counts


def keep_top_k(name: str, aggregate: TopK, argument: pa.DataType) -> Kept:
    """A list of (value, count) per group, most frequent first, of equal counts the lesser value first."""

    def finish(groups: Groups) -> pa.Array:
        cells = pa.table({"group": pa.array(groups.group), "value": groups.cell, "count": pa.array(groups.value)})
        ordered = cells.sort_by([("group", "ascending"), ("count", "descending"), ("value", "ascending")])
        group = ordered["group"].to_numpy()
        place = np.arange(len(group)) - np.searchsorted(group, group)
        best = ordered.filter(pa.array(place < aggregate.k))
        lengths = np.bincount(best["group"].to_numpy(), minlength=groups.count)
        pairs = pa.StructArray.from_arrays(
            [best["value"].combine_chunks(), best["count"].combine_chunks()], names=["value", "count"]
        )
        return pa.ListArray.from_arrays(pa.array(np.r_[0, np.cumsum(lengths)].astype(np.int32)), pairs)

    return Kept(argument, (), value_counts(name, argument), finish)


def keep_histogram(name: str, aggregate: Histogram, argument: pa.DataType) -> Kept:
    """A list of ``len(edges) + 1`` counts per group."""
    number(name, aggregate.kind, argument)
    edges = np.array(aggregate.edges)

    def cells(values: pa.Array) -> pa.Array:
        return pa.array(np.searchsorted(edges, values.to_numpy(zero_copy_only=False), side="right"))

    def sql(_: str, value: str) -> tuple[str, str]:
        steps = [f"CASE WHEN {value} >= {edge:.17e} THEN 1 ELSE 0 END" for edge in aggregate.edges]
        return f"CAST({' + '.join(steps)} AS INT)", "1"

    def finish(groups: Groups) -> pa.Array:
        counts = np.zeros((groups.count, len(edges) + 1), np.int64)
        counts[groups.group, np.asarray(groups.cell)] = groups.value
        offsets = np.arange(groups.count + 1, dtype=np.int32) * (len(edges) + 1)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(counts.ravel()))

    sketch = Sketch(pa.field(f"{name}__bin", pa.int32()), pa.field(f"{name}__count", pa.int64()), "sum", cells, sql)
    return Kept(pa.float64(), (), sketch, finish)
