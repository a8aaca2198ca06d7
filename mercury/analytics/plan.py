"""The planner: which rows of which rollup, which raw rows and which tail answer a query at the least cost.

A range of time is covered by the whole cells of one rollup, by the rows of a stream that came after it was built, and
at both ends by finer rollups or raw rows. Raw rows alone are always a candidate. Cost is what must be read.

A rollup is passed over at its first failed check, in this order: keeps the metrics, keeps the groups, keeps the
filtered dimensions, fine enough, built, of this definition, source only grew, same calendar, whole cells in the range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pyarrow as pa

from mercury.analytics import calendars
from mercury.analytics.buckets import buckets_of, clipped, coarser_days, row_buckets
from mercury.analytics.coarsening import CellKey, CellRange
from mercury.analytics.conditions import conjunction, text_of
from mercury.analytics.query import MetricQuery
from mercury.analytics.rollup import Coverage, RollupTable
from mercury.analytics.source import Keys, Reads, Snapshot
from mercury.analytics.tail import Changes, tails
from mercury.definitions.analytics import GRAINS
from mercury.expressions import Expression
from mercury.summaries import SummarySpec
from mercury.time import DAY, to_iso

Kind = Literal["rollup", "raw", "tail"]


@dataclass(frozen=True)
class Costs:
    """What reading costs, in rows of the source; from measurements, see benchmarks/queries.

    ``cell`` is a cell of a rollup, ``sketch`` a cell of a sketch, ``part`` looking into one more rollup, ``read`` one
    more statement over rows, ``file`` opening a file of them.
    """

    row: float = 1.0
    cell: float = 0.5
    sketch: float = 1.0
    part: float = 35_000.0
    read: float = 200_000.0
    file: float = 17_000.0

    def of_rows(self, read: Reads) -> float:
        """Of reading rows."""
        return read.rows * self.row + read.files * self.file + self.read


_INSTANT = pa.timestamp("us", tz="UTC")

MEASURED = Costs()
"""What benchmarks/queries found."""


@dataclass(frozen=True)
class Part:
    """One of the reads that an answer is merged from.

    Parameters
    ----------
    kind : cells of a rollup, raw rows, or rows of a stream that came after a rollup was built.
    start, end : range of time in microseconds UTC; None for no bound.
    condition : on rows; cells are chosen by `cell_range`.
    reads : rows or cells that are read, about.
    rollup : for cells, and for the tail that belongs to them.
    """

    kind: Kind
    start: int | None
    end: int | None
    condition: str | None
    reads: int
    rollup: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        out: dict[str, Any] = {"kind": self.kind}
        if self.rollup is not None:
            out["rollup"] = self.rollup
        return out | {"from": _iso(self.start), "to": _iso(self.end), "reads": self.reads}

    def __str__(self) -> str:
        span = f"from {_iso(self.start) or 'the first'} to {_iso(self.end) or 'the last'}"
        if self.kind == "rollup":
            return f"rollup {self.rollup}: {self.reads:,} cells {span}"
        if self.kind == "tail":
            return f"live tail after rollup {self.rollup}: {self.reads:,} rows {span}"
        return f"raw rows: {self.reads:,} {span}"


@dataclass(frozen=True)
class Plan:
    """How a query is answered.

    Parameters
    ----------
    spec : the state that every part gives, keyed by the query's groups.
    keys : these groups of rows.
    parts : what is read.
    filters : the query's condition over rows.
    rollups : rollup to "used", or to why it was not.
    cost : of all parts, and of raw rows alone.
    """

    spec: SummarySpec
    keys: tuple[Keys, ...]
    parts: tuple[Part, ...]
    filters: str | None
    rollups: Mapping[str, str]
    cost: float
    raw_cost: float

    @property
    def route(self) -> str:
        """The kinds of reads in a few words."""
        names = []
        for part in self.parts:
            word = {"rollup": f"rollup {part.rollup}", "raw": "raw rows", "tail": "live tail"}[part.kind]
            if word not in names:
                names.append(word)
        return " + ".join(names) or "nothing to read"


@dataclass
class Candidate:
    """A rollup that may be asked; ``tails`` are conditions on the rows after it, with how many each reads."""

    table: RollupTable
    coverage: Coverage | None
    reason: str | None = None
    tails: Sequence[tuple[str, Reads]] = ()


def candidates(
    query: MetricQuery, tables: Sequence[RollupTable], coverage: Callable[[RollupTable], Coverage | None]
) -> list[Candidate]:
    """The rollups of a model; how far one reaches is only looked up where its definition may serve the query."""
    found = []
    for table in tables:
        reason = _misfit(table, query)
        found.append(Candidate(table, coverage(table) if reason is None else None, reason))
    return found


def make_plan(
    query: MetricQuery,
    snapshot: Snapshot,
    rollups: Sequence[Candidate],
    changes: Changes,
    costs: Costs = MEASURED,
) -> Plan:
    """The cheapest plan of a query over a snapshot, with the rollups as `candidates` found them."""
    model = snapshot.model
    keys = _row_keys(query, snapshot)
    spec = SummarySpec(keys[0].columns, model.leaves(query.metrics), _time_of(query, snapshot))
    filters = None
    if query.where is not None:
        filters = text_of(Expression.parse(query.where).tree, model.model.dimensions)
    for candidate in rollups:
        candidate.reason = candidate.reason or _refusal(candidate, query, snapshot, changes)
    usable = [candidate for candidate in rollups if candidate.reason is None]
    for candidate in usable:
        assert candidate.coverage is not None
        if model.is_stream and candidate.coverage.version < snapshot.version:
            conditions = tails(candidate.coverage.positions)
            found = [(text, snapshot.reads_of(snapshot.files(text))) for text in conditions]
            candidate.tails = [(text, reads) for text, reads in found if reads.rows]
    cover = _Cover(query, snapshot, spec, costs)
    raw = cover.raw(query.start, query.end)
    best = cover.best(query.start, query.end, usable)
    used = {part.rollup for part in best.parts if part.kind == "rollup"}
    reasons = {}
    for candidate in rollups:
        name = candidate.table.name
        if name in used:
            reasons[name] = "used"
        else:
            reasons[name] = candidate.reason or cover.whole_cells(query.start, query.end, candidate) or (
                f"another way reads less: {best.cost:,.0f} against "
                f"{cover.of(query.start, query.end, candidate, usable).cost:,.0f}"
            )  # fmt: skip
    return Plan(spec, keys, tuple(best.parts), filters, reasons, best.cost, raw.cost)


@dataclass(frozen=True)
class _Covering:
    parts: Sequence[Part]
    cost: float


class _Cover:
    """Searches the cheapest covering of a range; the few rollups of a model are all tried."""

    def __init__(self, query: MetricQuery, snapshot: Snapshot, spec: SummarySpec, costs: Costs) -> None:
        self.query, self.snapshot, self.spec, self.costs = query, snapshot, spec, costs
        self.sketches = [name for name, kept in spec.rules.items() if kept.sketch is not None]

    def best(self, start: int | None, end: int | None, usable: Sequence[Candidate]) -> _Covering:
        """The cheapest covering of ``[start, end)``."""
        found = [self.raw(start, end)]
        found += [
            self.of(start, end, candidate, usable)
            for candidate in usable
            if self.whole_cells(start, end, candidate) is None
        ]
        return min(found, key=lambda covering: covering.cost)

    def raw(self, start: int | None, end: int | None) -> _Covering:
        """Raw rows alone; nothing where no row lies."""
        reads = self.snapshot.reads(start, end)
        if not reads.rows or (start is not None and end is not None and start >= end):
            return _Covering((), 0.0)
        part = Part("raw", start, end, self.snapshot.within(start, end), reads.rows)
        return _Covering((part,), self.costs.of_rows(reads))

    def of(self, start: int | None, end: int | None, candidate: Candidate, usable: Sequence[Candidate]) -> _Covering:
        """Whole cells of one rollup, its tail, and the ends by what is finer."""
        coverage = candidate.coverage
        assert coverage is not None
        low, high = self._middle(start, end, candidate)
        cells, cost = self._cells(coverage, low, high)
        parts = [Part("rollup", low, high, None, cells, candidate.table.name)]
        cost += self.costs.part
        for text, reads in candidate.tails:
            condition = conjunction([text, *self._rows_in_cells(low, high, end)])
            parts.append(Part("tail", low, high, condition, reads.rows, candidate.table.name))
            cost += self.costs.of_rows(reads)
        order = calendars.ORDER.index
        finer = [other for other in usable if order(other.table.grain) < order(candidate.table.grain)]
        ends = []
        if low is not None and low != start:
            ends.append(self.best(start, low, finer))
        if high is not None and high != end:
            ends.append(self.best(high, end, finer))
        return _Covering(
            [*parts, *(part for covering in ends for part in covering.parts)],
            cost + sum(covering.cost for covering in ends),
        )

    def whole_cells(self, start: int | None, end: int | None, candidate: Candidate) -> str | None:
        """Why no whole cell of a rollup lies in a range; None when some do."""
        if candidate.coverage is None:
            return "not built"
        low, high = self._middle(start, end, candidate)
        if low is not None and high is not None and low >= high:
            return f"no whole {candidate.table.grain} that it covers lies in the range"
        return None

    def _middle(self, start: int | None, end: int | None, candidate: Candidate) -> tuple[int | None, int | None]:
        coverage, grain = candidate.coverage, candidate.table.grain
        assert coverage is not None
        zone = candidate.table.model.model.timezone
        low = None if start is None else calendars.next_boundary(start, grain, zone, coverage.shift)
        high = None if end is None else calendars.last_boundary(end, grain, zone, coverage.shift)
        if coverage.until is not None:
            high = coverage.until if high is None else min(high, coverage.until)
        return low, high

    def _cells(self, coverage: Coverage, low: int | None, high: int | None) -> tuple[int, float]:
        """Cells to read, about, and their cost: the share of the rollup's time that is asked for."""
        begin, finish = coverage.low, coverage.high + 1
        wanted = max(0, min(finish, finish if high is None else high) - max(begin, begin if low is None else low))
        share = min(1.0, wanted / max(1, finish - begin))
        scalars = coverage.tables["scalars"][1] * share
        sketches = sum(coverage.tables[name][1] for name in self.sketches) * share
        return round(scalars + sketches), scalars * self.costs.cell + sketches * self.costs.sketch

    def _rows_in_cells(self, low: int | None, high: int | None, end: int | None) -> list[str]:
        """Conditions on rows of the tail; without an end of the query, rows without a time belong to it."""
        text = self.snapshot.within(low, high)
        if text is None:
            return []
        if low is None and end is None and self.query.end is None:
            return [f"({text}) OR {self.snapshot.model.time} IS NULL"]
        return [text]


def cell_range(query: MetricQuery, table: RollupTable, coverage: Coverage, part: Part) -> CellRange | None:
    """The times of the cells that a part reads.

    Where a query has no end and a part reaches as far as its rollup, the cells end by themselves, and those of rows
    without a time belong to them.
    """
    outermost = query.end is None and part.end in (None, coverage.until)
    bounds = (part.start, None if outermost else part.end)
    if bounds == (None, None):
        return None
    if table.grain in calendars.FIXED:
        low, high = (None if bound is None else pa.scalar(bound, _INSTANT) for bound in bounds)
    else:
        zone = table.model.model.timezone
        low, high = (None if bound is None else pa.scalar(calendars.local_date(bound, zone)) for bound in bounds)
    return CellRange(table.grain, low, high)


def cell_keys(query: MetricQuery, table: RollupTable) -> dict[str, CellKey]:
    """Each group of a query from a key column of a rollup's cells."""
    found = {}
    for name in query.by:
        if name not in GRAINS:
            found[name] = CellKey(name)
        elif table.grain in calendars.FIXED:
            found[name] = CellKey(table.grain, partial(buckets_of, grain=name, zone=query.timezone))
        else:
            found[name] = CellKey(table.grain, partial(coarser_days, grain=name))
    return found


def _misfit(table: RollupTable, query: MetricQuery) -> str | None:
    """The first check that a rollup's definition fails."""
    for name, leaf in table.model.leaves(query.metrics).items():
        if name not in table.kept:
            hint = f", an exact distinct count of {leaf.of}" if leaf.kind == "CountDistinct" else ""
            return f"it does not keep metric {name!r}{hint}"
    for name in query.by:
        if name not in table.rollup.by and name not in GRAINS:
            return f"group {name!r} is not among its dimensions"
    for name in sorted(query.filtered):
        if name not in table.rollup.by:
            return f"filter dimension {name!r} is not among its dimensions"
    if query.grain is not None and calendars.ORDER.index(query.grain) < calendars.ORDER.index(table.grain):
        return f"its cells ({table.grain}) are coarser than {query.grain}"
    return None


def _refusal(candidate: Candidate, query: MetricQuery, snapshot: Snapshot, changes: Changes) -> str | None:
    """The first check that what was built of a rollup fails."""
    table, coverage = candidate.table, candidate.coverage
    if coverage is None:
        return "it is not built; run mercury rollups build"
    if coverage.digest != table.digest:
        return "it was built from another definition; build it again"
    stale = changes.since(snapshot, coverage.version)
    if stale is not None:
        return f"{stale}; build it again"
    return _calendar_refusal(table, coverage, query, snapshot)


def _calendar_refusal(table: RollupTable, coverage: Coverage, query: MetricQuery, snapshot: Snapshot) -> str | None:
    grain, cell = query.grain, table.grain
    if grain is None:
        return None
    zone = table.model.model.timezone
    if query.timezone == zone:
        return None
    if cell not in calendars.FIXED:
        return f"its days are those of {zone}, not of {query.timezone}"
    parts = calendars.clocks(query.timezone, [(low, high + DAY) for low, high in snapshot.stretches])
    if calendars.common_shift(cell, parts) != coverage.shift:
        return f"its cells ({cell} in {zone}) do not fit clocks of {query.timezone}"
    return None


def _row_keys(query: MetricQuery, snapshot: Snapshot) -> tuple[Keys, ...]:
    model = snapshot.model
    columns = {name: model.model.dimensions.get(name, name) for name in query.by}
    if query.grain is None:
        return (Keys(columns),)
    asked = clipped(snapshot.stretches, query.start, query.end)
    return tuple(
        Keys(columns | {query.grain: part.sql}, part.condition)
        for part in row_buckets(model.time, query.grain, query.timezone, asked)
    )


def _time_of(query: MetricQuery, snapshot: Snapshot) -> str | None:
    leaves = snapshot.model.leaves(query.metrics).values()
    return snapshot.model.time if any(leaf.kind in ("First", "Last") for leaf in leaves) else None


def _iso(instant: int | None) -> str | None:
    return None if instant is None else to_iso(instant)
