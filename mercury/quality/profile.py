"""A profile of a source in one pass: nulls, NaN, distinct values, extremes, moments and quantiles of each column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mercury.quality.contract import Contract
from mercury.quality.engines.arrow import blocks, scan
from mercury.quality.keys import uniqueness
from mercury.quality.metrics import Extremes, KeyCounts, Metric, Moments, NaNs, Nulls, ValueCounts
from mercury.quality.metrics.values import ACCURACY
from mercury.quality.plan import Broken, Plan
from mercury.quality.results import REDACTED, plain
from mercury.quality.rules import is_text
from mercury.quality.source import Source

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)

FORMAT = 1


@dataclass(frozen=True)
class ColumnProfile:
    """One column. Nulls and NaN are in none of the other figures; ``distinct`` is exact, quantiles as ``accuracy`` says
    (None: exact). What a type does not have is None; ``error`` says why a figure is missing that should be there.
    """

    name: str
    type: str
    rows: int
    nulls: int
    nan: int
    distinct: int | None = None
    least: Any = None
    greatest: Any = None
    mean: float | None = None
    std: float | None = None
    quantiles: Mapping[str, float] = field(default_factory=dict)
    accuracy: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Profile:
    """All columns of a source, in their order."""

    source: str
    rows: int
    columns: tuple[ColumnProfile, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON form, with its format version."""
        return {
            "format": FORMAT,
            "source": self.source,
            "rows": self.rows,
            "columns": [{name: _json(value) for name, value in vars(one).items()} for one in self.columns],
        }


def profile(source: Source, contract: Contract | None = None) -> Profile:
    """Profile a source; with a contract, the values of its sensitive columns are redacted."""
    wanted = {field.name: _metrics(field.name, field.type) for field in source.schema}
    found = scan(Plan(tuple(m for metrics in wanted.values() for m in metrics)), source, source.ranges())
    sensitive = contract.sensitive if contract else frozenset[str]()
    columns = tuple(
        _column(source, name, metrics, found.states, found.rows, name in sensitive) for name, metrics in wanted.items()
    )
    return Profile(source.uri, found.rows, columns)


def _metrics(name: str, kind: pa.DataType) -> tuple[Metric, ...]:
    metrics: list[Metric] = [Nulls(name)]
    if pa.types.is_floating(kind):
        metrics.append(NaNs(name))
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        return tuple(metrics)
    metrics.append(KeyCounts((name,)))
    if not pa.types.is_binary(kind):
        metrics.append(Extremes(name))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        metrics += [Moments(name), ValueCounts(name)]
    elif pa.types.is_boolean(kind):
        metrics.append(Moments(name))
    return tuple(metrics)


def _column(
    source: Source, name: str, metrics: tuple[Metric, ...], states: Mapping[Metric, Any], rows: int, hidden: bool
) -> ColumnProfile:
    kind = source.schema.field(name).type
    known = {type(m): states[m] for m in metrics if not isinstance(states[m], Broken)}
    broken = [states[m].message for m in metrics if isinstance(states[m], Broken)]
    nulls = known[Nulls].failed if Nulls in known else 0
    nan = known[NaNs].failed if NaNs in known else 0
    figures: dict[str, Any] = {}
    distinct = _distinct(source, name, states)
    if distinct is not None:
        figures["distinct"] = distinct - (nan > 0)  # all NaN are one key
    if Extremes in known:
        least, greatest = known[Extremes].least, known[Extremes].greatest
        figures |= {"least": REDACTED, "greatest": REDACTED} if hidden else {"least": least, "greatest": greatest}
    if Moments in known and known[Moments].count:
        moments = known[Moments]
        figures |= {"mean": moments.mean, "std": moments.std() if moments.count > 1 else None}
    if ValueCounts in known and not hidden:
        values = known[ValueCounts]
        pairs = {f"{q:g}": values.quantile(q) for q in QUANTILES}
        figures["quantiles"] = {q: value for q, value in pairs.items() if value is not None}
        figures["accuracy"] = ACCURACY if values.sketched else None
    error = "" if not broken else ("not computed" if hidden else broken[0])
    return ColumnProfile(name, "string" if is_text(kind) else str(kind), rows, nulls, nan, error=error, **figures)


def _distinct(source: Source, name: str, states: Mapping[Metric, Any]) -> int | None:
    """Exact for numbers by their hashes alone; of other columns the repeated hashes are verified by value."""
    metric = KeyCounts((name,))
    state = states.get(metric)
    if state is None or isinstance(state, Broken):
        return None
    exact = metric.bijective(source.schema) or pa.types.is_floating(source.schema.field(name).type)
    again = None if exact else blocks(source, (name,))
    return uniqueness(metric, state, source.schema, again, sample=False).distinct


def _json(value: Any) -> Any:
    return {key: plain(item) for key, item in value.items()} if isinstance(value, Mapping) else plain(value)
