"""The engine: a query in, an answer out, by one planner for the command line, HTTP and the live page."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mercury.analytics.answers import Answer, Explain, shaped
from mercury.analytics.coarsening import coarsened, encoded
from mercury.analytics.conditions import disjunction
from mercury.analytics.model import ResolvedModel, resolve
from mercury.analytics.plan import MEASURED, Candidate, Costs, Part, Plan, candidates, cell_keys, cell_range, make_plan
from mercury.analytics.policy import private_answer
from mercury.analytics.query import MetricQuery
from mercury.analytics.rollup import Coverage, CoverageReader, RollupTable, rollups_of
from mercury.analytics.source import Snapshot, Source
from mercury.analytics.tail import Changes
from mercury.definitions import Project, SemanticModel
from mercury.errors import ExpressionError, NotFoundError, UsageError, did_you_mean
from mercury.lake import Lake
from mercury.summaries import SCALARS, Summary, empty, finish, merge

if TYPE_CHECKING:
    from mercury.config import Settings

KEPT_ANSWERS = 256
"""Answers that are kept by default."""

KEPT_ANSWER_BYTES = 1 << 20
"""Larger answers are not kept."""


class Planner:
    """Answers queries of a project; holds its tables open and may be used by several threads.

    Parameters
    ----------
    costs : what reading costs; the measured ones unless a test wants others.
    kept_answers : how many answers are kept for the same question about the same data.
    """

    def __init__(
        self,
        project: Project,
        settings: Settings,
        *,
        costs: Costs = MEASURED,
        kept_answers: int = KEPT_ANSWERS,
    ) -> None:
        self.project, self.settings, self.costs = project, settings, costs
        self._kept_answers = kept_answers
        self._lake = Lake(settings.lake)
        self._models = {part.name: part for part in project.of(SemanticModel)}
        self._resolved: dict[str, ResolvedModel] = {}
        self._rollups: dict[str, list[RollupTable]] = {}
        self._local = threading.local()
        self._cells = _Cells(settings.memory_limit // 4)
        self._answers: OrderedDict[Any, Answer] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def models(self) -> list[str]:
        """Names of the project's semantic models."""
        return sorted(self._models)

    def model(self, name: str) -> ResolvedModel:
        """A model by name; `NotFoundError` with the nearest one."""
        if name not in self._models:
            fix = did_you_mean(name, self._models) if self._models else "Define a SemanticModel in the project file"
            raise NotFoundError(f"no semantic model is named {name!r}", fix=fix)
        if name not in self._resolved:
            resolved = resolve(self._models[name])
            self._rollups[name] = rollups_of(resolved, self._lake)
            self._resolved[name] = resolved
        return self._resolved[name]

    def read(self, query: MetricQuery | Mapping[str, Any] | str, model: str | None = None) -> MetricQuery:
        """The query that a text or a JSON object stands for."""
        if isinstance(query, MetricQuery):
            return query
        if isinstance(query, str):
            query = {"query": query}
        wanted = query.get("model", model)
        if wanted is not None and not isinstance(wanted, str):
            raise UsageError(f"model is {wanted!r}, not a name")
        names = [wanted] if wanted is not None else self._likely(query)
        if len(names) > 1:
            # The model that knows what is asked; the first one's error when none does.
            found = []
            for name in names:
                with contextlib.suppress(NotFoundError, ExpressionError):
                    found.append(MetricQuery.from_json(query, self.model(name)))
            if len(found) > 1:
                raise UsageError(
                    f"{' and '.join(repr(each.model) for each in found)} can answer this",
                    where="model",
                    fix='Say which: --model NAME, or "model" in the body',
                )
            if found:
                return found[0]
        return MetricQuery.from_json(query, self.model(names[0]))

    def answer(
        self, query: MetricQuery | Mapping[str, Any] | str, *, model: str | None = None, principal: str | None = None
    ) -> Answer:
        """The answer of a query about the newest version of its source.

        Parameters
        ----------
        model : name of the semantic model, where the query names none and there are several.
        principal : who asks; a model with a privacy policy answers nobody without a name.
        """
        asked = self.read(query, model)
        resolved = self.model(asked.model)
        if resolved.model.privacy is not None:
            return private_answer(asked, resolved, self.settings, principal)
        snapshot = self._source(resolved).snapshot()
        rollups = candidates(asked, self._rollups[resolved.name], self._coverage)
        key = (
            repr(asked),
            snapshot.version,
            tuple(sorted(each.coverage.tables.items()) if each.coverage else None for each in rollups),
        )
        with self._lock:
            known = self._answers.get(repr(key))
            if known is not None:
                self._answers.move_to_end(repr(key))
                return replace(known, explain=replace(known.explain, cached=True))
        answer = self._answer(asked, snapshot, rollups)
        if answer.table.nbytes <= KEPT_ANSWER_BYTES:
            with self._lock:
                self._answers[repr(key)] = answer
                while len(self._answers) > self._kept_answers:
                    self._answers.popitem(last=False)
        return answer

    def version(self, model: str) -> int:
        """The newest version of a model's source: another one means that answers may be others."""
        return self._source(self.model(model)).snapshot().version

    def _answer(self, query: MetricQuery, snapshot: Snapshot, rollups: list[Candidate]) -> Answer:
        plan = make_plan(query, snapshot, rollups, self._changes, self.costs)
        found = {each.table.name: (each.table, each.coverage) for each in rollups}
        states = [self._cells_of(part, plan, query, snapshot, found) for part in plan.parts if part.kind == "rollup"]
        states += self._rows_of(plan, snapshot)
        state = states[0] if len(states) == 1 else merge(states) if states else empty(plan.spec, snapshot.schema)
        table, truncated = shaped(finish(state), query, snapshot.model)
        explain = Explain(
            query.to_dict(),
            snapshot.table.uri,
            snapshot.version,
            snapshot.epoch,
            plan.route,
            plan.parts,
            plan.rollups,
            plan.cost,
            plan.raw_cost,
        )
        return Answer(table, explain, truncated)

    def _rows_of(self, plan: Plan, snapshot: Snapshot) -> Iterator[Summary]:
        """States of rows; both ends of a range are read at once."""
        raw = [part.condition for part in plan.parts if part.kind == "raw"]
        for condition in [disjunction(raw)] if raw else []:
            yield snapshot.summary(plan.spec, [plan.filters, condition], plan.keys)
        for part in plan.parts:
            if part.kind == "tail":
                yield snapshot.summary(plan.spec, [plan.filters, part.condition], plan.keys)

    def _cells_of(
        self,
        part: Part,
        plan: Plan,
        query: MetricQuery,
        snapshot: Snapshot,
        rollups: Mapping[str, tuple[RollupTable, Coverage | None]],
    ) -> Summary:
        table, coverage = rollups[str(part.rollup)]
        assert coverage is not None
        wanted = [SCALARS, *(name for name, kept in plan.spec.rules.items() if kept.sketch is not None)]
        cells = {name: self._cells.get(table, coverage, name) for name in wanted}
        times = cell_range(query, table, coverage, part)
        return coarsened(plan.spec, snapshot.schema, cells, cell_keys(query, table), query.where, times)

    def _likely(self, query: Mapping[str, Any]) -> list[str]:
        if not self._models:
            raise NotFoundError("the project has no semantic model", fix="Define a SemanticModel in the project file")
        return list(self._models)

    def _source(self, model: ResolvedModel) -> Source:
        # A table is used by one thread at a time, so each thread has its own.
        sources = self._local.__dict__.setdefault("sources", {})
        if model.name not in sources:
            sources[model.name] = Source(model, self._lake)
        found: Source = sources[model.name]
        return found

    def _coverage(self, table: RollupTable) -> Coverage | None:
        readers = self._local.__dict__.setdefault("coverages", {})
        if table.uri not in readers:
            readers[table.uri] = CoverageReader(table)
        found: Coverage | None = readers[table.uri].read()
        return found

    @property
    def _changes(self) -> Changes:
        found: Changes = self._local.__dict__.setdefault("changes", Changes())
        return found


class _Cells:
    """Tables of rollups in memory, those that were used last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held, self._lock = limit, OrderedDict[tuple[str, int], pa.Table](), threading.Lock()

    def get(self, table: RollupTable, coverage: Coverage, name: str) -> pa.Table:
        """A table of the state at the version that the coverage names."""
        key = (table.address(name), coverage.tables[name][0])
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        # All columns but the values are keys of the cells.
        cells = encoded(table.cells(coverage, name), 1 + len(table.rollup.by) + (name != SCALARS))
        with self._lock:
            self._held[key] = cells
            while sum(part.nbytes for part in self._held.values()) > self._limit and len(self._held) > 1:
                self._held.popitem(last=False)
        return cells
