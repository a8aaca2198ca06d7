"""The gate: every answer about people goes through here, is bounded, charged, made noisy, kept and returned."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from mercury.definitions import Aggregate, PrivacyPolicy, Stream, canonical_json
from mercury.errors import SchemaError, UsageError
from mercury.lake import Lake
from mercury.privacy.accounting import Loss
from mercury.privacy.aggregate import bounded, require_units
from mercury.privacy.answer import Noise, finished
from mercury.privacy.ledger import Ledger
from mercury.privacy.plan import make_plan
from mercury.tables import Table

if TYPE_CHECKING:
    from mercury.config import Settings

LONGEST_NAME = 200
"""Characters of an analyst's name."""


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
    charge everything may fail without a trace; after it the loss stays spent whatever happens. A question that was
    charged and not answered, since somebody was killed between, is answered under the charge that it has.
    """
    analyst = _who(analyst)
    plan = make_plan(policy, aggregates, by, where, epsilon)
    noise = Noise(plan)
    table = _source(policy, settings)
    missing = sorted(set(plan.columns) - set(table.schema.names))
    if missing:
        raise SchemaError(
            f"the table has no column {missing[0]!r}", where=table.uri, fix="Write it, or declare what is"
        )
    files = table.files(version=table.version if version is None else version)
    question = plan.digest(_data_version(files))
    ledger = ledger_of(settings)

    def release(drawn: pa.Table | None, cached: bool) -> Release:
        spent, left = ledger.spent(policy), ledger.remaining(policy, analyst)
        answer = None if drawn is None else finished(plan, noise, drawn)
        return Release(answer, plan.loss, cached, spent, left, question, noise.errors())

    known = ledger.answer(question)
    if known is not None:
        return release(known, True)
    if not ledger.charged(question):
        ledger.allows(policy, analyst, plan.loss)
    if dry_run:
        return release(None, False)
    require_units(plan, files)
    # Before any row is read for the question: an error, or the time it takes, is an answer too.
    line, new = ledger.charge(policy, analyst, question, plan.loss)
    groups = bounded(plan, files, secrets.token_bytes(32))
    # Of callers who raced the first draw is kept and released to all; others are thrown away unseen.
    return release(ledger.store(line, noise.draw(groups)), not new)


def ledger_of(settings: Settings) -> Ledger:
    """The ledger of a project: in the database of its registry."""
    return Ledger(settings.registry_url)


def _source(policy: PrivacyPolicy, settings: Settings) -> Table:
    assert policy.source is not None
    lake = Lake(str(settings.lake))
    name = policy.source.name
    return Table.open(lake.stream_rows(name) if isinstance(policy.source, Stream) else lake.table(name))


def _data_version(files: Sequence[str]) -> str:
    """What tells data apart: their files, which are never changed; a table that is made anew has others."""
    return hashlib.sha256(canonical_json(sorted(files))).hexdigest()


def _who(analyst: str) -> str:
    """The analyst's name as the ledger has it; a name that cannot be read in a list of names is refused."""
    name = analyst.strip()
    if not name:
        raise UsageError("nobody asks", where="analyst", fix="Name who asks")
    if not name.isprintable() or len(name) > LONGEST_NAME:
        raise UsageError(
            f"{name[:40]!r} is no name",
            where="analyst",
            fix=f"Use up to {LONGEST_NAME} printable characters, as of a login",
        )
    return name


__all__ = ["Release", "ask", "ledger_of"]
