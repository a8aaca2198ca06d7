"""Count, sum and mean: columns that merge by addition."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from mercury.definitions import Count, Mean, Sum
from mercury.summaries.aggregates.base import Groups, Kept, StateColumn, number


def keep_count(name: str, _: Count, argument: pa.DataType) -> Kept:
    """Rows whose argument is not null; NaN counts, it is a value."""
    column = StateColumn(name, pa.int64(), "sum", of="count")
    return Kept(argument, (column,), None, lambda groups: groups.scalars[name].combine_chunks(), keeps_nan=True)


def keep_sum(name: str, aggregate: Sum, argument: pa.DataType) -> Kept:
    """The sum, null where there was no value."""
    kind = number(name, aggregate.kind, argument)
    column = StateColumn(name, kind, "sum")
    return Kept(kind, (column,), None, lambda groups: groups.scalars[name].combine_chunks())


def keep_mean(name: str, aggregate: Mean, argument: pa.DataType) -> Kept:
    """Number and sum of the values; of integers both are exact."""
    kind = number(name, aggregate.kind, argument)
    count = StateColumn(f"{name}__n", pa.int64(), "sum", of="count")
    total = StateColumn(f"{name}__sum", kind, "sum")

    def finish(groups: Groups) -> pa.Array:
        some = pc.if_else(pc.equal(groups.scalars[count.name], 0), None, groups.scalars[count.name])
        answer = pc.divide(groups.scalars[total.name].cast(pa.float64(), safe=False), some.cast(pa.float64()))
        return answer.combine_chunks()

    return Kept(kind, (count, total), None, finish)
