"""What a summary keeps (`SummarySpec`) and a summary itself: a small set of tables that merge."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa

from mercury.definitions import Aggregate, canonical_json
from mercury.errors import DefinitionError, ExpressionError, SchemaError
from mercury.expressions import Expression
from mercury.summaries.aggregates import Kept, kept
from mercury.summaries.engines.grouping import plain, row_order

SCALARS = "scalars"
"""Name of the table that has one row per group; the others are sketches, named after their aggregate."""

FORMAT = 1
"""Version of the state's layout; it is part of every hash, so states of two layouts do not merge."""


@dataclass(frozen=True, eq=False)
class SummarySpec:
    """Group columns and the aggregates that are kept of each group.

    Parameters
    ----------
    keys : output name to SQL expression over a row, or a sequence of column names. Without keys all rows are one group.
    aggregates : output name to aggregate.
    time : the timestamp column by which `First` and `Last` order rows.
    where : SQL condition that rows must meet to be counted at all.

    A null key is a group of its own, all NaN are one group, and -0.0 is 0.0. Specs are equal when their hashes are.

    Raises `DefinitionError` when two columns of the state would have one name, and for First or Last without a time.
    """

    keys: Mapping[str, str] | Sequence[str]
    aggregates: Mapping[str, Aggregate]
    time: str | None = None
    where: str | None = None
    columns: Mapping[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        keys = self.keys
        if isinstance(keys, str):
            raise DefinitionError(f"keys={keys!r} is text, not a list", fix=f"Write keys=[{keys!r}]")
        columns = dict(keys) if isinstance(keys, Mapping) else {name: _column(name) for name in keys}
        object.__setattr__(self, "columns", columns)
        if len(columns) < len(keys):
            raise DefinitionError(f"keys={list(keys)!r} names a column twice", fix="Give each key once")
        for name, aggregate in self.aggregates.items():
            if not isinstance(aggregate, Aggregate):
                raise DefinitionError(f"{name!r} is {aggregate!r}, not an aggregate", fix="Write it as Count()")
            if aggregate.kind in ("First", "Last") and self.time is None:
                raise DefinitionError(f"{aggregate.kind} {name!r} needs the time of rows", fix="Give time='ts'")
        if not columns and not self.aggregates:
            raise DefinitionError("a summary of nothing", fix="Give a key or an aggregate")
        self._require_distinct_names()

    def _require_distinct_names(self) -> None:
        scalars = [column.name for rule in self.rules.values() for column in rule.scalars]
        sketches = {name: rule.sketch for name, rule in self.rules.items() if rule.sketch is not None}
        tables = [[*self.columns, *scalars], [*self.columns, *self.aggregates]]
        tables += [[*self.columns, sketch.cell.name, sketch.value.name] for sketch in sketches.values()]
        for names in tables:
            for name in names:
                if names.count(name) > 1:
                    raise DefinitionError(
                        f"{name!r} is the name of two columns of a summary", fix="Rename a key or an aggregate"
                    )
        if SCALARS in sketches:
            raise DefinitionError(f"an aggregate may not be called {SCALARS!r}", fix="Rename it")

    @cached_property
    def hash(self) -> str:
        """16 hex digits over all that decides what the state means; summaries merge when it is equal."""
        content = {
            "format": FORMAT,
            "keys": list(self.columns.items()),
            "aggregates": [[name, aggregate.to_dict()] for name, aggregate in self.aggregates.items()],
            "time": self.time,
            "where": self.where,
        }
        return hashlib.sha256(canonical_json(content)).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SummarySpec) and other.hash == self.hash

    def __hash__(self) -> int:
        return int(self.hash, 16)

    @property
    def key_names(self) -> list[str]:
        """Names of the group columns, in order."""
        return list(self.columns)

    def key_fields(self, schema: pa.Schema) -> list[pa.Field]:
        """Fields of the group columns over rows of `schema`."""
        return [pa.field(name, Expression.parse(text).check(schema)) for name, text in self.columns.items()]

    def argument(self, aggregate: Aggregate) -> str:
        """SQL of what an aggregate sees of a row; NULL where its condition does not hold."""
        value = aggregate.of or "TRUE"
        return value if aggregate.where is None else f"CASE WHEN ({aggregate.where}) THEN ({value}) END"

    def kept(self, schema: pa.Schema) -> dict[str, Kept]:
        """How each aggregate is kept over rows of `schema`.

        Raises `SchemaError` for a type that it cannot be of, `ExpressionError` for a condition that is none.
        """
        return _kept(self, schema)

    @cached_property
    def rules(self) -> dict[str, Kept]:
        """How each aggregate merges and is answered. Names, rules and answers do not depend on the arguments' type, so
        a state alone, read back from anywhere, is enough for both."""
        return {name: kept(name, aggregate, pa.int64()) for name, aggregate in self.aggregates.items()}

    def state_schema(self, schema: pa.Schema) -> dict[str, pa.Schema]:
        """Schemas of the state's tables over rows of `schema`: the same on every engine."""
        keys = self.key_fields(schema)
        parts = self.kept(schema)
        scalars = [pa.field(column.name, column.type) for part in parts.values() for column in part.scalars]
        tables = {SCALARS: pa.schema([*keys, *scalars])}
        for name, part in parts.items():
            if part.sketch is not None:
                tables[name] = pa.schema([*keys, part.sketch.cell, part.sketch.value])
        return tables


@dataclass(frozen=True)
class Summary:
    """The state of a spec: the table ``scalars`` and one table for each sketch, all keyed by the group columns.

    The order of rows has no meaning; a group has one row in ``scalars`` and one row per cell in a sketch.
    """

    spec: SummarySpec
    tables: Mapping[str, pa.Table]

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.tables[SCALARS].num_rows)

    @property
    def nbytes(self) -> int:
        """Bytes of all tables in memory."""
        return sum(table.nbytes for table in self.tables.values())

    def sorted(self) -> Summary:
        """The same state with rows in the order of their keys and cells: equal states are then equal tables."""
        return Summary(self.spec, {name: in_order(self, name) for name in self.tables})

    def equals(self, other: Summary) -> bool:
        """Whether both hold the same groups with the same state, bit for bit, in any order of rows."""
        if self.spec.hash != other.spec.hash or set(self.tables) != set(other.tables):
            return False
        return all(_bits(in_order(self, name)).equals(_bits(in_order(other, name))) for name in self.tables)


def in_order(summary: Summary, name: str) -> pa.Table:
    """One table of a summary, with rows in the order of their keys and cells, each column in one chunk of its own."""
    table = summary.tables[name]
    columns = [plain(column) for column in table.columns]
    keys = columns[: len(summary.spec.key_names) + (name != SCALARS)]
    order = pa.array(row_order(keys) if keys else np.arange(table.num_rows))
    return pa.Table.from_arrays([column.take(order) for column in columns], schema=table.schema)


def _bits(table: pa.Table) -> pa.Table:
    """Floats as integers, so that NaN equals itself."""
    floats = {field.name for field in table.schema if pa.types.is_floating(field.type)}
    return pa.table(
        {
            name: pa.array(column.combine_chunks().view(pa.int64()) if name in floats else column.combine_chunks())
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )


def _column(name: str) -> str:
    """The expression that is a column, by whatever name."""
    try:
        root = Expression.parse(name).tree
    except ExpressionError:
        root = None
    if root is not None and root.op == "column" and root.value == name:
        return name
    return '"' + name.replace('"', '""') + '"'


@lru_cache(maxsize=256)
def _kept(spec: SummarySpec, schema: pa.Schema) -> dict[str, Kept]:
    if spec.time is not None and not pa.types.is_timestamp(Expression.parse(spec.time).check(schema)):
        raise SchemaError(f"time={spec.time!r} is not a timestamp", fix="Give a timestamp column or expression")
    if spec.where is not None:
        Expression.parse(spec.where).check_condition(schema)
    for aggregate in spec.aggregates.values():
        if aggregate.where is not None:
            # By themselves first, so that a mistake is shown in what was written.
            Expression.parse(aggregate.of or "TRUE").check(schema)
            Expression.parse(aggregate.where).check_condition(schema)
    return {
        name: kept(name, aggregate, Expression.parse(spec.argument(aggregate)).check(schema))
        for name, aggregate in spec.aggregates.items()
    }
