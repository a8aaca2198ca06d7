"""The ledger of privacy loss: durable, charged before anything is released, and chained so that no line can be changed.

Order of a release: look for a stored answer of the same question, charge, wait for the disk, draw noise, store the
answer, return it. A crash after the charge loses budget and never privacy; nothing is ever refunded. Charges are made
one at a time (a lock in PostgreSQL, the file in SQLite), so that callers who race cannot overspend together.

Each line holds the SHA-256 of the line before it and of itself: `verify` finds a changed, removed or inserted line. Who
can write to the database can still rewrite the whole chain; keep the last hash elsewhere to notice.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import pyarrow as pa
import sqlalchemy as sa

from mercury.definitions import PrivacyPolicy, canonical_json
from mercury.errors import BudgetExceededError, CorruptDataError
from mercury.privacy.accounting import Loss, total
from mercury.runtime.database import Database

FORMAT = 1
"""Version of a line; it is hashed with it."""

_LOCK = 0x6D657263707276
"""Key of PostgreSQL's advisory lock around a charge."""

_FIRST = "0" * 64


@dataclass(frozen=True)
class Charge:
    """One line: who spent how much of which dataset's budget, for which question."""

    number: int
    dataset: str
    policy: str
    analyst: str
    question: str
    loss: Loss
    at: int
    previous: str
    digest: str

    def computed_digest(self) -> str:
        """SHA-256 over all other fields."""
        epsilon, delta = self.loss.stored()
        line = [FORMAT, self.number, self.dataset, self.policy, self.analyst, self.question, epsilon, delta, self.at]
        return hashlib.sha256(canonical_json([*line, self.previous])).hexdigest()


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
            charges = [_read(row) for row in connection.execute(sa.select(_charges).order_by(_charges.c.number))]
            _require(policy, analyst, loss, charges)
            last = charges[-1] if charges else None
            unsigned = Charge(
                number=last.number + 1 if last else 1,
                dataset=dataset_of(policy),
                policy=policy.version,
                analyst=analyst,
                question=question,
                loss=Loss.read(*loss.stored()),
                at=time.time_ns() // 1000,
                previous=last.digest if last else _FIRST,
                digest="",
            )
            line = Charge(**{**vars(unsigned), "digest": unsigned.computed_digest()})
            connection.execute(sa.insert(_charges), _row(line))
        return line

    def allows(self, policy: PrivacyPolicy, analyst: str, loss: Loss) -> None:
        """Raise `BudgetExceededError` when a loss would be more than is left; nothing is written."""
        _require(policy, analyst, loss, self.history())

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
        return _spent(self.history(), policy, analyst)

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
        lines = self.history()
        for number, line in enumerate(lines, start=1):
            if line.number != number or line.previous != previous or line.digest != line.computed_digest():
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


def _spent(charges: list[Charge], policy: PrivacyPolicy, analyst: str | None) -> Loss:
    return total(
        line.loss
        for line in charges
        if line.dataset == dataset_of(policy) and (analyst is None or line.analyst == analyst)
    )


def _require(policy: PrivacyPolicy, analyst: str, loss: Loss, charges: list[Charge]) -> None:
    own = policy.analyst_budget
    for whose, budget, spent in (
        (dataset_of(policy), Loss.of(policy.budget), _spent(charges, policy, None)),
        (f"analyst {analyst!r}", Loss.of(own) if own is not None else None, _spent(charges, policy, analyst)),
    ):
        if budget is None or (spent + loss).within(budget):
            continue
        left = budget - spent
        raise BudgetExceededError(
            f"the answer costs {loss}, and {whose} has {left} left",
            where=policy.address,
            fix="Ask what was asked before, which costs nothing, or with a smaller epsilon",
        )


def _row(line: Charge) -> dict[str, object]:
    epsilon, delta = line.loss.stored()
    values = {name: value for name, value in vars(line).items() if name != "loss"}
    return {**values, "epsilon": epsilon, "delta": delta}


def _read(row: sa.Row[tuple[object, ...]]) -> Charge:
    values = dict(row._mapping)
    loss = Loss.read(values.pop("epsilon"), values.pop("delta"))
    return Charge(**values, loss=loss)


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
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)

_answers = sa.Table(
    "mercury_privacy_answers",
    _metadata,
    sa.Column("question", sa.Text, primary_key=True),
    sa.Column("charge", sa.BigInteger, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
)
