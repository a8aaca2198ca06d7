"""The ledger of privacy loss: durable, charged before anything is released, and chained so that no line can be changed.

Order of a release: look for a stored answer of the same question, charge, wait for the disk, draw noise, store the
answer, return it. A crash after the charge loses budget and never privacy; nothing is ever refunded. Charges are made
one at a time (a lock in PostgreSQL, the file in SQLite), so that callers who race cannot overspend together.

Each line holds the SHA-256 of the line before it and of itself: `verify` finds a changed, removed or inserted line. Who
can write to the database can still rewrite the whole chain; keep the last hash elsewhere to notice. It also holds what
was spent with it, so that a charge reads three lines, however long the ledger is.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import pyarrow as pa
import sqlalchemy as sa

from mercury.definitions import PrivacyPolicy, canonical_json
from mercury.errors import BudgetExceededError, CorruptDataError
from mercury.privacy.accounting import Loss
from mercury.runtime.database import Database

FORMAT = 2
"""Version of a line; it is hashed with it."""

_LOCK = 0x6D657263707276
"""Key of PostgreSQL's advisory lock around a charge."""

_FIRST = "0" * 64


@dataclass(frozen=True)
class Charge:
    """One line: who spent how much of which dataset's budget, for which question.

    Parameters
    ----------
    number : from 1, without gaps.
    policy : its version.
    loss : what this answer costs.
    dataset_spent, analyst_spent : what was spent of the dataset up to this line and with it: by all, by this analyst.
    at : microseconds since 1970, UTC.
    previous, digest : SHA-256 of the line before and of this one, hexadecimal.
    """

    number: int
    dataset: str
    policy: str
    analyst: str
    question: str
    loss: Loss
    dataset_spent: Loss
    analyst_spent: Loss
    at: int
    previous: str
    digest: str

    def computed_digest(self) -> str:
        """SHA-256 over all other fields."""
        who = [self.dataset, self.policy, self.analyst, self.question]
        amounts = [*self.loss.stored(), *self.dataset_spent.stored(), *self.analyst_spent.stored()]
        return hashlib.sha256(canonical_json([FORMAT, self.number, *who, *amounts, self.at, self.previous])).hexdigest()


class Ledger:
    """Charges and stored answers of all datasets in one database.

    Parameters
    ----------
    url : SQLAlchemy URL: SQLite on a local disk (never a network file system), or PostgreSQL.

    Raises `UnavailableError` when the database does not answer: without its ledger nothing is answered.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url, what="the privacy ledger", setting="registry_url")

    def charge(self, policy: PrivacyPolicy, analyst: str, question: str, loss: Loss) -> Charge:
        """Write down a loss, durably.

        Raises `BudgetExceededError`, and changes nothing, when it is more than is left.
        """
        self._database.create(_charges, _answers)
        with self._database.alone(_LOCK) as connection:
            last = _last(connection)
            dataset, own = _spent(connection, policy), _spent(connection, policy, analyst)
            loss = loss.rounded()
            _require(policy, analyst, loss, dataset, own)
            unsigned = Charge(
                number=last.number + 1 if last else 1,
                dataset=dataset_of(policy),
                policy=policy.version,
                analyst=analyst,
                question=question,
                loss=loss,
                dataset_spent=(dataset + loss).rounded(),
                analyst_spent=(own + loss).rounded(),
                at=time.time_ns() // 1000,
                previous=last.digest if last else _FIRST,
                digest="",
            )
            line = Charge(**{**vars(unsigned), "digest": unsigned.computed_digest()})
            connection.execute(sa.insert(_charges), _row(line))
        return line

    def allows(self, policy: PrivacyPolicy, analyst: str, loss: Loss) -> None:
        """Raise `BudgetExceededError` when a loss would be more than is left; nothing is written."""
        _require(policy, analyst, loss, self.spent(policy), self.spent(policy, analyst))

    def history(self, dataset: str | None = None) -> list[Charge]:
        """All charges, oldest first, or those of one dataset."""
        if not self._database.has(_charges):
            return []
        query = sa.select(_charges).order_by(_charges.c.number)
        with self._database.reading() as connection:
            lines = [_read(row) for row in connection.execute(query)]
        return [line for line in lines if dataset is None or line.dataset == dataset]

    def spent(self, policy: PrivacyPolicy, analyst: str | None = None) -> Loss:
        """What was spent of a policy's dataset, by everybody or by one analyst."""
        if not self._database.has(_charges):
            return Loss()
        with self._database.reading() as connection:
            return _spent(connection, policy, analyst)

    def remaining(self, policy: PrivacyPolicy, analyst: str | None = None) -> Loss:
        """What is left of the dataset's budget, or what an analyst may still spend of it."""
        left = Loss.of(policy.budget) - self.spent(policy)
        if analyst is None or policy.analyst_budget is None:
            return left
        own = Loss.of(policy.analyst_budget) - self.spent(policy, analyst)
        return Loss(min(left.epsilon, own.epsilon), min(left.delta, own.delta))

    def verify(self) -> int:
        """Check the chain and return how many lines it has; `CorruptDataError` names the first that does not fit."""
        previous = _FIRST
        spent: dict[tuple[str, ...], Loss] = {}
        lines = self.history()
        for number, line in enumerate(lines, start=1):
            for whose in ((line.dataset,), (line.dataset, line.analyst)):
                spent[whose] = (spent.get(whose, Loss()) + line.loss).rounded()
            totals = spent[line.dataset,], spent[line.dataset, line.analyst]
            if (line.number, line.previous, line.digest) != (number, previous, line.computed_digest()) or (
                line.dataset_spent,
                line.analyst_spent,
            ) != totals:
                raise CorruptDataError(
                    f"line {line.number} of the ledger is not what was written, or a line before it is missing",
                    where=self._database.shown,
                    fix="Restore the ledger from a backup, and spend nothing until then",
                )
            previous = line.digest
        return len(lines)

    def answer(self, question: str) -> tuple[pa.Table, int] | None:
        """The stored answer of a question and the number of its charge; None when it was never released."""
        if not self._database.has(_answers):
            return None
        query = sa.select(_answers.c.answer, _answers.c.charge).where(_answers.c.question == question)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        with pa.ipc.open_stream(row.answer) as stream:
            return stream.read_all(), int(row.charge)

    def store(self, question: str, charge: int, answer: pa.Table) -> tuple[pa.Table, int]:
        """Keep an answer and return the one that is kept: that of the first who stored, of callers who raced."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, answer.schema) as stream:
            stream.write_table(answer)
        row = {"question": question, "charge": charge, "answer": sink.getvalue().to_pybytes()}
        with self._database.alone(_LOCK) as connection:
            if connection.execute(sa.select(_answers.c.charge).where(_answers.c.question == question)).first() is None:
                connection.execute(sa.insert(_answers), row)
        kept = self.answer(question)
        assert kept is not None
        return kept


def dataset_of(policy: PrivacyPolicy) -> str:
    """What a budget is of: the guarded source, whatever policy it is asked under."""
    assert policy.source is not None
    return policy.source.address


def _last(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> Charge | None:
    newest = sa.select(_charges).where(*conditions).order_by(_charges.c.number.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return None if row is None else _read(row)


def _spent(connection: sa.Connection, policy: PrivacyPolicy, analyst: str | None = None) -> Loss:
    own = [] if analyst is None else [_charges.c.analyst == analyst]
    last = _last(connection, _charges.c.dataset == dataset_of(policy), *own)
    if last is None:
        return Loss()
    return last.dataset_spent if analyst is None else last.analyst_spent


def _require(policy: PrivacyPolicy, analyst: str, loss: Loss, dataset_spent: Loss, analyst_spent: Loss) -> None:
    own = policy.analyst_budget
    for whose, budget, spent in (
        (dataset_of(policy), Loss.of(policy.budget), dataset_spent),
        (f"analyst {analyst!r}", Loss.of(own) if own is not None else None, analyst_spent),
    ):
        if budget is None or (spent + loss).within(budget):
            continue
        left = budget - spent
        raise BudgetExceededError(
            f"the answer costs {loss}, and {whose} has {left} left",
            where=policy.address,
            fix="Ask what was asked before, which costs nothing, or with a smaller epsilon",
        )


_LOSSES = {"loss": "", "dataset_spent": "dataset_", "analyst_spent": "analyst_"}
"""Fields of a charge that are amounts, and the beginning of their columns' names."""


def _row(line: Charge) -> dict[str, object]:
    values = dict(vars(line))
    for name, start in _LOSSES.items():
        values[f"{start}epsilon"], values[f"{start}delta"] = values.pop(name).stored()
    return values


def _read(row: sa.Row[tuple[object, ...]]) -> Charge:
    values = dict(row._mapping)
    for name, start in _LOSSES.items():
        values[name] = Loss.read(values.pop(f"{start}epsilon"), values.pop(f"{start}delta"))
    return Charge(**values)


_metadata = sa.MetaData()

_charges = sa.Table(
    "mercury_privacy_charges",
    _metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("analyst", sa.Text, nullable=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("epsilon", sa.Text, nullable=False),
    sa.Column("delta", sa.Text, nullable=False),
    sa.Column("dataset_epsilon", sa.Text, nullable=False),
    sa.Column("dataset_delta", sa.Text, nullable=False),
    sa.Column("analyst_epsilon", sa.Text, nullable=False),
    sa.Column("analyst_delta", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Index("mercury_privacy_charges_of_datasets", "dataset", "number"),
    sa.Index("mercury_privacy_charges_of_analysts", "dataset", "analyst", "number"),
)

_answers = sa.Table(
    "mercury_privacy_answers",
    _metadata,
    sa.Column("question", sa.Text, primary_key=True),
    sa.Column("charge", sa.BigInteger, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
)
