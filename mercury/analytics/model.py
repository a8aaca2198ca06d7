"""A semantic model resolved: the types of its dimensions and metrics, and the leaves that each metric is made of.

Leaves are the metrics that are aggregates of rows. They are what is kept, merged and routed; a `Ratio` or a `Derived`
is computed from merged leaves and never stored (Gray et al., "Data Cube", 1997: ratios are algebraic, not additive).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from mercury.definitions import (
    Aggregate,
    CountDistinct,
    Derived,
    Histogram,
    Ratio,
    Rollup,
    SemanticModel,
    Stream,
    TopK,
    arrow_schema,
)
from mercury.definitions.analytics import GRAINS
from mercury.errors import DefinitionError, ExpressionError, MercuryError, NotFoundError, UsageError, did_you_mean
from mercury.expressions import Expression

TIME = "time"
"""What a query calls the time of the model."""


@dataclass(frozen=True)
class ResolvedModel:
    """A model whose names and types are known to fit; made by `resolve`.

    Parameters
    ----------
    model : the definition.
    schema : of the source's rows.
    dimensions : dimension to Arrow type.
    """

    model: SemanticModel
    schema: pa.Schema
    dimensions: Mapping[str, pa.DataType]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def time(self) -> str:
        """The time column, quoted."""
        return '"' + self.model.time_column.replace('"', '""') + '"'

    @property
    def is_stream(self) -> bool:
        """Whether rows keep coming."""
        return isinstance(self.model.source, Stream)

    @cached_property
    def filter_schema(self) -> pa.Schema:
        """What a condition of a query may name."""
        return pa.schema(list(self.dimensions.items()))

    def leaves(self, metrics: Sequence[str]) -> dict[str, Aggregate]:
        """The aggregates that some metrics are made of, by name, in the order of the model."""
        needed: set[str] = set()
        for name in metrics:
            needed |= self._leaves(name)
        found = {}
        for name, metric in self.model.metrics.items():
            if name in needed and isinstance(metric, Aggregate):
                found[name] = metric
        return found

    def computed(self, metrics: Sequence[str]) -> list[tuple[str, str]]:
        """Name and SQL of each ratio and derived metric that some metrics need, each after those that it is made of."""
        done: dict[str, str] = {}

        def visit(name: str) -> None:
            metric = self.model.metrics[name]
            if name in done or isinstance(metric, Aggregate):
                return
            for part in parts_of(metric):
                visit(part)
            done[name] = formula(metric)

        for name in metrics:
            visit(name)
        return list(done.items())

    def kept(self, rollup: Rollup) -> dict[str, Aggregate]:
        """The leaves that a rollup keeps."""
        if rollup.metrics:
            kept = self.leaves(rollup.metrics)
        else:
            kept = {name: part for name, part in self._aggregates.items() if not needs_values(part)}
        keys = {Expression.parse(self.model.dimensions[key]).text for key in rollup.keys}
        keyed = {
            name: part
            for name, part in self._aggregates.items()
            if isinstance(part, CountDistinct) and part.exact and part.of in keys
        }
        chosen = kept | keyed
        return {name: part for name, part in self._aggregates.items() if name in chosen}

    @cached_property
    def _aggregates(self) -> dict[str, Aggregate]:
        return {name: part for name, part in self.model.metrics.items() if isinstance(part, Aggregate)}

    def _leaves(self, name: str) -> set[str]:
        metric = self.model.metrics[name]
        if isinstance(metric, Aggregate):
            return {name}
        return set().union(*(self._leaves(part) for part in parts_of(metric)))

    def require_metric(self, name: str) -> None:
        """Raise `NotFoundError`, with the nearest name, unless the model has this metric."""
        if name not in self.model.metrics:
            what = f"{self.name!r} has no metric {name!r}"
            if name in self.dimensions or name in GRAINS:
                raise UsageError(
                    f"{name!r} is no metric but something to group by", fix=f"Write it after BY: … by {name}"
                )
            raise NotFoundError(what, where="metrics", fix=did_you_mean(name, self.model.metrics))

    def require_group(self, name: str) -> None:
        """Raise `NotFoundError`, with the nearest name, unless answers can be grouped by this name."""
        if name not in self.dimensions and name not in GRAINS:
            known = [*self.dimensions, *GRAINS]
            raise NotFoundError(f"{self.name!r} has no dimension {name!r}", where="by", fix=did_you_mean(name, known))


def resolve(model: SemanticModel) -> ResolvedModel:
    """Check a model against its source and itself.

    Raises `DefinitionError` for a metric that is made of itself, of one that does not exist or of one that is no
    number, for names that engines confuse, and for rollups of a model with a privacy policy; `ExpressionError` for an
    expression that does not fit the source.
    """
    assert model.source is not None
    schema = arrow_schema(model.source.schema)
    _check_case(model)
    _check_parts(model)
    dimensions = {}
    for name, text in model.dimensions.items():
        with_place = f"{model.address}.dimensions.{name}"
        if name == TIME:
            raise DefinitionError(f"{TIME!r} is what queries call the time", where=with_place, fix="Rename it")
        dimensions[name] = _checked(text, schema, with_place)
    types: dict[str, pa.DataType] = {}
    for name in model.metrics:
        types[name] = _metric_type(model, name, schema, types)
    if model.privacy is not None and model.rollups:
        raise DefinitionError(
            "a model with a privacy policy keeps no rollups: they would hold exact figures",
            where=f"{model.address}.rollups",
            fix="Leave them out; its answers come from the gate",
        )
    return ResolvedModel(model, schema, dimensions)


def needs_values(aggregate: Aggregate) -> bool:
    """Whether an aggregate's state holds the rows' own values, so that it is only kept when asked for."""
    return isinstance(aggregate, TopK) or (isinstance(aggregate, CountDistinct) and aggregate.exact)


def parts_of(metric: Ratio | Derived) -> list[str]:
    """The metrics that a metric is computed from."""
    if isinstance(metric, Ratio):
        return [metric.numerator, metric.denominator]
    assert metric.expression is not None
    return sorted(Expression.parse(metric.expression).columns)


def formula(metric: Ratio | Derived) -> str:
    """SQL of a metric over columns named like the metrics that it is made of."""
    if isinstance(metric, Ratio):
        return f'"{metric.numerator}" / "{metric.denominator}"'
    assert metric.expression is not None
    return metric.expression


def _check_case(model: SemanticModel) -> None:
    seen: dict[str, str] = {}
    for name in (*model.dimensions, *model.metrics):
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise DefinitionError(f"{other!r} and {name!r} differ only in case", where=model.address, fix="Rename one")


def _check_parts(model: SemanticModel) -> None:
    """Raise unless every ratio and derived metric is made of metrics of the model, and none of itself."""
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            cycle = " -> ".join([*path[path.index(name) :], name])
            raise DefinitionError(
                f"metric {name!r} is made of itself: {cycle}",
                where=f"{model.address}.metrics.{name}",
                fix="Break the circle with an aggregate of rows",
            )
        metric = model.metrics[name]
        if name in finished or isinstance(metric, Aggregate):
            return
        for part in _parts(metric, f"{model.address}.metrics.{name}"):
            if part not in model.metrics:
                raise DefinitionError(
                    f"metric {name!r} is of {part!r}, which is no metric of this model",
                    where=f"{model.address}.metrics.{name}",
                    fix=did_you_mean(part, model.metrics),
                )
            visit(part, (*path, name))
        finished.add(name)

    for name in model.metrics:
        visit(name, ())


def _parts(metric: Ratio | Derived, place: str) -> list[str]:
    try:
        return parts_of(metric)
    except ExpressionError as error:
        raise _placed(error, place) from error


def _metric_type(model: SemanticModel, name: str, schema: pa.Schema, known: dict[str, pa.DataType]) -> pa.DataType:
    if name in known:
        return known[name]
    metric, place = model.metrics[name], f"{model.address}.metrics.{name}"
    if isinstance(metric, Aggregate):
        return _aggregate_type(metric, schema, place)
    inner = {}
    for part in parts_of(metric):
        inner[part] = known.setdefault(part, _metric_type(model, part, schema, known))
        if pa.types.is_list(inner[part]):
            raise DefinitionError(f"{part!r} has lists as answers", where=place, fix="Compute with single numbers")
    return _checked(formula(metric), pa.schema(list(inner.items())), place)


def _aggregate_type(metric: Aggregate, schema: pa.Schema, place: str) -> pa.DataType:
    if isinstance(metric, (TopK, Histogram)):
        return pa.list_(pa.int64())
    if metric.kind in ("Count", "CountDistinct"):
        return pa.int64()
    value = _checked(metric.of or "TRUE", schema, place)
    if metric.kind in ("Min", "Max", "First", "Last"):
        return value
    whole = pa.types.is_integer(value) or pa.types.is_boolean(value)
    return pa.int64() if metric.kind == "Sum" and whole else pa.float64()


def _checked(text: str, schema: pa.Schema, place: str) -> pa.DataType:
    try:
        return Expression.parse(text).check(schema)
    except ExpressionError as error:
        raise _placed(error, place) from error


def _placed(error: MercuryError, place: str) -> MercuryError:
    where = f"{place}, {error.where}" if error.where else place
    return type(error)(error.what, where=where, fix=error.fix, excerpt=error.excerpt)
