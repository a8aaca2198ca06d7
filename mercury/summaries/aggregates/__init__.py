"""How each aggregate is kept, merged and answered: one module per family, each with its source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from mercury.definitions import Aggregate
from mercury.errors import DefinitionError
from mercury.summaries.aggregates.base import TIMESTAMP, Groups, Kept, Rule, Sketch, StateColumn
from mercury.summaries.aggregates.distinct import keep_distinct
from mercury.summaries.aggregates.extremes import keep_extreme, keep_ordered
from mercury.summaries.aggregates.frequency import keep_histogram, keep_top_k
from mercury.summaries.aggregates.moments import keep_moments
from mercury.summaries.aggregates.quantiles import keep_quantile
from mercury.summaries.aggregates.sums import keep_count, keep_mean, keep_sum

_KEEP: dict[str, Callable[[str, Any, pa.DataType], Kept]] = {
    "Count": keep_count,
    "Sum": keep_sum,
    "Mean": keep_mean,
    "Variance": keep_moments,
    "StdDev": keep_moments,
    "Min": keep_extreme,
    "Max": keep_extreme,
    "First": keep_ordered,
    "Last": keep_ordered,
    "CountDistinct": keep_distinct,
    "Quantile": keep_quantile,
    "TopK": keep_top_k,
    "Histogram": keep_histogram,
}


def kept(name: str, aggregate: Aggregate, argument: pa.DataType) -> Kept:
    """How an aggregate of this name is kept over arguments of this type; `SchemaError` when it cannot be."""
    keep = _KEEP.get(aggregate.kind)
    if keep is None:
        raise DefinitionError(f"{name!r} is a {aggregate.kind}, which summaries do not keep")
    # A bare NULL has no type; any will do for what holds no value.
    return keep(name, aggregate, pa.int64() if pa.types.is_null(argument) else argument)


__all__ = ["TIMESTAMP", "Groups", "Kept", "Rule", "Sketch", "StateColumn", "kept"]
