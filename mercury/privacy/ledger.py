"""The ledger of privacy loss: durable, charged before anything is released, and chained so that no line can be changed.

Order of a release: look for a stored answer of the same question, charge, wait for the disk, draw noise, store the
draw, return it. Nothing is ever refunded. Charges are made one at a time (a lock in PostgreSQL, the file in SQLite), so
that callers who race cannot overspend together. A question is charged once: since a draw is released only after it was
stored, and only the first is stored, who comes second, or after a crash, asks under the same charge.

Each line holds the SHA-256 of the line before it and of itself: `verify` finds a changed, removed, inserted or moved
line. It also holds what was spent with it, so that a charge reads a few lines, however long the ledger is; those are
checked each time, and a ledger that lacks the charge of a stored draw is refused. What no chain can show by itself is
that its last lines are gone together with their draws, that all of it was computed anew, or that an empty database
stands in its place: whoever can write to the database can do that. Keep the last line's hash (`head`) elsewhere, and
give it to `verify`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import sqlalchemy as sa

from mercury.definitions import PrivacyPolicy, canonical_json
from mercury.errors import BudgetExceededError, CorruptDataError, UsageError
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

    def charge(self, policy: PrivacyPolicy, analyst: str, question: str, loss: Loss) -> tuple[Charge, bool]:
        """Write down a loss, durably; the question's line, and whether it is new or was charged before.

        Raises `BudgetExceededError`, and changes nothing, when it is more than is left; `CorruptDataError` when the
        lines that it is added to are not what was written.
        """
        if loss.epsilon < 0 or loss.delta < 0:
            raise UsageError(f"a charge of {loss} would give budget back", fix="Nothing is refunded")
        self._database.create(_charges, _answers)
        with self._database.alone(_LOCK) as connection:
            known = self._last(connection, _charges.c.question == question)
            if known is not None:
                return known, False
            last = self._last(connection)
            self._check_answers(connection, last)
            dataset, own = self._spent(connection, policy), self._spent(connection, policy, analyst)
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
        return line, True

    def charged(self, question: str) -> bool:
        """Whether a question was charged, answered or not."""
        with self._reading() as connection:
            return connection is not None and self._last(connection, _charges.c.question == question) is not None

    def allows(self, policy: PrivacyPolicy, analyst: str, loss: Loss) -> None:
        """Raise `BudgetExceededError` when a loss would be more than is left; nothing is written."""
        _require(policy, analyst, loss, self.spent(policy), self.spent(policy, analyst))

    def history(self, dataset: str | None = None) -> list[Charge]:
        """All charges, oldest first, or those of one dataset; `verify` says whether they are what was written."""
        query = sa.select(_charges).order_by(_charges.c.number)
        if dataset is not None:
            query = query.where(_charges.c.dataset == dataset)
        with self._reading() as connection:
            return [] if connection is None else [self._read(row) for row in connection.execute(query)]

    def spent(self, policy: PrivacyPolicy, analyst: str | None = None) -> Loss:
        """What was spent of a policy's dataset, by everybody or by one analyst."""
        with self._reading() as connection:
            return Loss() if connection is None else self._spent(connection, policy, analyst)

    def remaining(self, policy: PrivacyPolicy, analyst: str | None = None) -> Loss:
        """What is left of the dataset's budget, or what an analyst may still spend of it."""
        left = Loss.of(policy.budget) - self.spent(policy)
        if analyst is None or policy.analyst_budget is None:
            return left
        own = Loss.of(policy.analyst_budget) - self.spent(policy, analyst)
        return Loss(min(left.epsilon, own.epsilon), min(left.delta, own.delta))

    def head(self) -> str | None:
        """The last line's hash, which stands for all lines up to it; None when nothing was charged."""
        with self._reading() as connection:
            last = None if connection is None else self._last(connection)
        return None if last is None else last.digest

    def verify(self, seen: str | None = None) -> int:
        """Check the chain and return how many lines it has.

        Parameters
        ----------
        seen : what `head` said before; it must still be in the chain.

        Raises `CorruptDataError`, which names the first line that does not fit, or a draw without a charge.
        """
        with self._reading() as connection:
            # Before the lines, so that a draw that is stored in between is not missed among them.
            draws = (
                []
                if connection is None
                else list(connection.execute(sa.select(_answers.c.charge, _answers.c.question)))
            )
        previous = _FIRST
        spent: dict[tuple[str, ...], Loss] = {}
        digests = {_FIRST} if seen is None else set()
        questions: dict[int, str] = {}
        for number, line in enumerate(self.history(), start=1):
            for whose in ((line.dataset,), (line.dataset, line.analyst)):
                spent[whose] = (spent.get(whose, Loss()) + line.loss).rounded()
            totals = spent[line.dataset,], spent[line.dataset, line.analyst]
            if (line.number, line.previous, line.digest) != (number, previous, line.computed_digest()) or (
                line.dataset_spent,
                line.analyst_spent,
            ) != totals:
                raise self._corrupt(
                    f"line {line.number} of the ledger is not what was written, or a line before it is missing"
                )
            previous = line.digest
            digests.add(line.digest)
            questions[line.number] = line.question
        for charge, question in draws:
            if questions.get(charge) != question:
                raise self._corrupt(f"an answer was kept for line {charge} of the ledger, which has no such charge")
        if seen is not None and seen not in digests:
            raise self._corrupt(f"no line of the ledger has the hash {seen}: it was cut or written anew")
        return len(questions)

    def answer(self, question: str) -> pa.Table | None:
        """The stored draw of a question; None when none was stored."""
        with self._reading() as connection:
            return None if connection is None else self._stored(connection, question)

    def store(self, charge: Charge, drawn: pa.Table) -> pa.Table:
        """Keep a draw and return the one that is kept: that of the first who stored, of callers who raced."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, drawn.schema) as stream:
            stream.write_table(drawn)
        row = {"question": charge.question, "charge": charge.number, "answer": sink.getvalue().to_pybytes()}
        with self._database.alone(_LOCK) as connection:
            kept = self._stored(connection, charge.question)
            if kept is None:
                connection.execute(sa.insert(_answers), row)
        return drawn if kept is None else kept

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection | None]:
        """A connection; None while nothing was ever written."""
        if not self._database.has(_charges) or not self._database.has(_answers):
            yield None
            return
        with self._database.reading() as connection:
            yield connection

    def _stored(self, connection: sa.Connection, question: str) -> pa.Table | None:
        row = connection.execute(sa.select(_answers.c.answer).where(_answers.c.question == question)).one_or_none()
        if row is None:
            return None
        try:
            with pa.ipc.open_stream(row.answer) as stream:
                return stream.read_all()
        except (pa.ArrowException, OSError) as error:
            raise self._corrupt("a stored answer cannot be read") from error

    def _last(self, connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> Charge | None:
        """The newest line under conditions, checked to be one that was written."""
        newest = sa.select(_charges).where(*conditions).order_by(_charges.c.number.desc()).limit(1)
        row = connection.execute(newest).one_or_none()
        if row is None:
            return None
        line = self._read(row)
        if line.digest != line.computed_digest():
            raise self._corrupt(f"line {line.number} of the ledger is not what was written")
        return line

    def _spent(self, connection: sa.Connection, policy: PrivacyPolicy, analyst: str | None = None) -> Loss:
        own = [] if analyst is None else [_charges.c.analyst == analyst]
        last = self._last(connection, _charges.c.dataset == dataset_of(policy), *own)
        if last is None:
            return Loss()
        return last.dataset_spent if analyst is None else last.analyst_spent

    def _check_answers(self, connection: sa.Connection, last: Charge | None) -> None:
        newest = connection.execute(sa.select(sa.func.max(_answers.c.charge))).scalar()
        if newest is not None and (last is None or newest > last.number):
            raise self._corrupt(f"an answer was kept for line {newest} of the ledger, which is gone")

    def _read(self, row: sa.Row[tuple[object, ...]]) -> Charge:
        values = dict(row._mapping)
        try:
            for name, start in _LOSSES.items():
                values[name] = Loss.read(values.pop(f"{start}epsilon"), values.pop(f"{start}delta"))
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise self._corrupt(f"line {row.number} of the ledger holds no amount") from error
        return Charge(**values)

    def _corrupt(self, what: str) -> CorruptDataError:
        fix = "Restore the ledger from a backup, and spend nothing until then"
        return CorruptDataError(what, where=self._database.shown, fix=fix)


def dataset_of(policy: PrivacyPolicy) -> str:
    """What a budget is of: the guarded source, whatever policy it is asked under."""
    assert policy.source is not None
    return policy.source.address


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
    sa.Index("mercury_privacy_charges_of_questions", "question", unique=True),
    sa.Index("mercury_privacy_charges_of_datasets", "dataset", "number"),
    sa.Index("mercury_privacy_charges_of_analysts", "dataset", "analyst", "number"),
)

_answers = sa.Table(
    "mercury_privacy_answers",
    _metadata,
    sa.Column("question", sa.Text, primary_key=True),
    sa.Column("charge", sa.BigInteger, nullable=False, unique=True),
    sa.Column("answer", sa.LargeBinary, nullable=False),
)
