"""The gate: every answer about people goes through here, is bounded, charged, made noisy, kept and returned."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mercury.definitions import Aggregate, PrivacyPolicy, Stream, arrow_schema
from mercury.errors import UsageError
from mercury.lake import Lake
from mercury.privacy.accounting import Loss
from mercury.privacy.aggregate import Bounded, bounded
from mercury.privacy.ledger import Ledger
from mercury.privacy.noise import CONFIDENCE, Laplace, Threshold, laplace_error
from mercury.privacy.plan import USERS, Output, PrivatePlan, make_plan
from mercury.tables import Table

if TYPE_CHECKING:
    from mercury.config import Settings


@dataclass(frozen=True)
class Release:
    """An answer that may be shown to anybody, and what it cost.

    Parameters
    ----------
    table : key columns sorted, then for each aggregate its value and ``<name>_error``: with 95 % probability the noise
        moved the value by no more. What bounding left out is not in it: the error says nothing about bias.
        None after a dry run.
    cost : what the answer cost, or would.
    cached : whether it was released before, so that nothing was spent now.
    spent, remaining : of the dataset's budget, and of what this analyst may still spend.
    question : SHA-256 of the question in its canonical form, with the version of the data.
    errors : half-width of the 95 % interval of each count and sum; a mean's depends on its group.
    """

    table: pa.Table | None
    cost: Loss
    cached: bool
    spent: Loss
    remaining: Loss
    question: str
    errors: Mapping[str, float]


def ask(
    policy: PrivacyPolicy,
    settings: Settings,
    *,
    aggregates: Mapping[str, Aggregate],
    by: Sequence[str] = (),
    where: str | None = None,
    analyst: str,
    epsilon: float | None = None,
    dry_run: bool = False,
    version: int | None = None,
) -> Release:
    """Answer a question about a policy's source, privately.

    Parameters
    ----------
    aggregates, by, where, epsilon : see `make_plan`.
    analyst : who asks; the ledger keeps account of each.
    dry_run : only say what it would cost and how precise it would be.
    version : version of the source's table; the newest otherwise.

    Raises `BudgetExceededError` when the budget does not allow it, and `DataError` when rows are nobody's. Until the
    charge everything may fail without a trace; after it the loss stays spent whatever happens.
    """
    if not analyst.strip():
        raise UsageError("nobody asks", where="analyst", fix="Name who asks")
    plan = make_plan(policy, aggregates, by, where, epsilon)
    table = _source(policy, settings)
    pinned = table.version if version is None else version
    question = plan.digest(f"{table.uri}@{pinned}")
    ledger = ledger_of(settings)
    known = ledger.answer(question)
    noise = Noise(plan)

    def release(answer: pa.Table | None, cached: bool) -> Release:
        spent, left = ledger.spent(policy), ledger.remaining(policy, analyst)
        return Release(answer, plan.loss, cached, spent, left, question, noise.errors())

    if known is not None:
        return release(known[0], True)
    ledger.allows(policy, analyst, plan.loss)
    if dry_run:
        return release(None, False)
    groups = bounded(plan, table.files(version=pinned), secrets.token_bytes(32))
    line = ledger.charge(policy, analyst, question, plan.loss)
    answer, charge = ledger.store(question, line.number, noise.answer(groups))
    return release(answer, charge != line.number)


def ledger_of(settings: Settings) -> Ledger:
    """The ledger of a project: in the database of its registry."""
    return Ledger(settings.registry_url)


def _source(policy: PrivacyPolicy, settings: Settings) -> Table:
    assert policy.source is not None
    lake = Lake(str(settings.lake))
    name = policy.source.name
    return Table.open(lake.stream_rows(name) if isinstance(policy.source, Stream) else lake.table(name))


class Noise:
    """The noise of a plan, and the answer that it makes of bounded groups."""

    def __init__(self, plan: PrivatePlan) -> None:
        self._plan = plan
        self._laplace = {
            part.name: Laplace.for_share(part.sensitivity(plan.policy), plan.share) for part in plan.measures
        }
        self._threshold: Threshold | None = None
        if plan.private_keys:
            self._threshold = Threshold.for_share(plan.policy.max_groups, plan.share, plan.delta)
            self._laplace.setdefault(USERS, self._threshold.noise)

    def errors(self) -> dict[str, float]:
        """Half-widths of the 95 % intervals of counts and sums."""
        return {
            part.name: self._laplace[part.measures[0]].error() * part.step
            for part in self._plan.outputs
            if part.kind != "mean"
        }

    def answer(self, groups: Bounded) -> pa.Table:
        """Groups that may be named, with noisy values and their error bars, sorted by key."""
        plan = self._plan
        exact = self._with_public_keys(groups.table)
        places: Sequence[int] = range(exact.num_rows)
        noisy: dict[str, list[int]] = {}
        if self._threshold is not None:
            chosen = self._threshold.choose(exact[USERS].to_pylist())
            places = sorted(chosen)
            noisy[USERS] = [chosen[place] for place in places]
        kept = exact.take(pa.array(places, pa.int64()))
        for number, part in enumerate(plan.measures):
            noisy[part.name] = self._laplace[part.name].add(kept[f"m{number}"].to_pylist())
        columns: dict[str, Any] = {column: kept[column] for column in plan.by}
        for output in plan.outputs:
            columns[output.name], columns[f"{output.name}_error"] = self._output(output, noisy)
        table = pa.table(columns)
        return table.sort_by([(column, "ascending") for column in plan.by]) if plan.by else table

    def _output(self, part: Output, noisy: Mapping[str, list[int]]) -> tuple[pa.Array, pa.Array]:
        first = noisy[part.measures[0]]
        if part.kind in ("count", "users"):
            error = self._laplace[part.measures[0]].error()
            return pa.array(first, pa.int64()), pa.array([error] * len(first), pa.float64())
        if part.kind == "sum":
            error = self._laplace[part.measures[0]].error() * part.step
            return pa.array([value * part.step for value in first], pa.float64()), pa.array([error] * len(first))
        counts = noisy[part.measures[1]]
        pairs = [self._mean(part, total, count) for total, count in zip(first, counts, strict=True)]
        return pa.array([value for value, _ in pairs], pa.float64()), pa.array([e for _, e in pairs], pa.float64())

    def _mean(self, part: Output, total: int, count: int) -> tuple[float | None, float | None]:
        """The mean, and how far it can be off when numerator and denominator are off at once; null for no rows."""
        if count < 1:
            return None, None
        half = (1 - CONFIDENCE) / 2
        scales = [self._laplace[name].scale for name in part.measures]
        apart, fewer = (laplace_error(scale, 1 - half) for scale in scales)
        value = part.centre + part.step * total / count
        ends = [
            part.centre + part.step * (total + sign * apart) / max(1, count + other * fewer)
            for sign in (-1, 1)
            for other in (-1, 1)
        ]
        return value, max(abs(end - value) for end in ends)

    def _with_public_keys(self, groups: pa.Table) -> pa.Table:
        """A row for every public key, also those that nobody has; a single row when nothing is grouped by."""
        plan = self._plan
        if not plan.by or self._threshold is not None:
            return groups
        keys: list[tuple[Any, ...]] = [()]
        for column in plan.by:
            keys = [(*key, value) for key in keys for value in plan.policy.public_keys[column]]
        assert plan.policy.source is not None
        schema = arrow_schema(plan.policy.source.schema)
        wanted = pa.table(
            {
                column: pa.array([key[place] for key in keys]).cast(schema.field(column).type)
                for place, column in enumerate(plan.by)
            }
        )
        joined = wanted.join(groups, list(plan.by), join_type="left outer")
        numbers = [name for name in joined.column_names if name not in plan.by]
        for name in numbers:
            filled = joined[name].fill_null(0)
            joined = joined.set_column(joined.column_names.index(name), name, filled)
        return joined


__all__ = ["Release", "ask", "ledger_of"]
