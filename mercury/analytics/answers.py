"""What an answer is: rows in the query's order, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mercury.analytics.model import ResolvedModel
from mercury.analytics.plan import Part
from mercury.analytics.query import MetricQuery
from mercury.definitions.analytics import GRAINS
from mercury.expressions import evaluate


@dataclass(frozen=True)
class Explain:
    """How an answer came about.

    Parameters
    ----------
    query : the query in its plain form.
    source, version, epoch : the table that was asked, its version, and of a stream the last epoch in it.
    route : the kinds of reads in a few words.
    parts : what was read.
    rollups : rollup to "used", or the first reason why it was not.
    cost, raw_cost : of this way and of raw rows alone, in rows.
    cached : whether the answer was at hand.
    privacy : of a private answer, what it cost and what is left.
    """

    query: Mapping[str, Any]
    source: str
    version: int | None
    epoch: int | None
    route: str
    parts: tuple[Part, ...] = ()
    rollups: Mapping[str, str] = field(default_factory=dict)
    cost: float = 0.0
    raw_cost: float = 0.0
    cached: bool = False
    privacy: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        out = {
            "query": dict(self.query),
            "source": self.source,
            "version": self.version,
            "epoch": self.epoch,
            "route": self.route,
            "parts": [part.to_dict() for part in self.parts],
            "rollups": dict(self.rollups),
            "cost": round(self.cost),
            "raw_cost": round(self.raw_cost),
            "cached": self.cached,
        }
        return out if self.privacy is None else out | {"privacy": dict(self.privacy)}

    def lines(self) -> list[str]:
        """The same for people."""
        at = f"version {self.version}" + ("" if self.epoch is None else f", epoch {self.epoch}")
        found = [f"source {self.source} at {at}", f"route {self.route}" + (" (kept answer)" if self.cached else "")]
        found += [f"  {part}" for part in self.parts]
        found += [f"  rollup {name}: {reason}" for name, reason in self.rollups.items() if reason != "used"]
        if self.privacy is not None:
            found += [f"  {name}: {value}" for name, value in self.privacy.items()]
        elif self.parts:
            found.append(f"  reads like {self.cost:,.0f} rows; raw rows alone {self.raw_cost:,.0f}")
        return found


@dataclass(frozen=True)
class Answer:
    """Rows in the query's order, how they came about, and whether the limit left rows out."""

    table: pa.Table
    explain: Explain
    truncated: bool


def shaped(found: pa.Table, query: MetricQuery, model: ResolvedModel) -> tuple[pa.Table, bool]:
    """Columns, order and limit of a query for merged leaves by group; and whether rows were left out."""
    for name, text in model.computed(query.metrics):
        computed = evaluate({name: text}, found.select([n for n in found.column_names if n not in query.by]))
        found = found.append_column(name, computed.column(0))
    columns = {}
    for name in (*query.by, *query.metrics):
        column = found.column(name)
        if name in GRAINS and name not in model.dimensions and pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", tz=query.timezone))
        columns[name] = column
    table = pa.table(columns)
    if query.order:
        keys = [(name, "descending" if descends else "ascending", "at_end") for name, descends in query.order]
        table = table.take(pc.sort_indices(table, sort_keys=keys))
    return table.slice(0, query.limit), table.num_rows > query.limit
