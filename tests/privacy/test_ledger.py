"""The ledger outlives crashes and races: never more is spent than there is, and no line can be changed unseen."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from mercury.definitions import Budget
from mercury.errors import BudgetExceededError, CorruptDataError, UnavailableError
from mercury.privacy import Charge, Ledger, Loss
from mercury.privacy.accounting import exact
from mercury.privacy.ledger import dataset_of
from tests.privacy.people import VISITS, policy

TENTH = Loss(Fraction(1, 10))
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'mercury.db'}"
    server: str = request.getfixturevalue("postgres_url")
    name = f"test_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)


def spender(url: str, name: str, epsilon: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.privacy.spender", url, name, str(epsilon)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_hundred_tenths_fit_a_budget_of_ten_and_no_more(url: str) -> None:
    ledger = Ledger(url)
    for number in range(100):
        ledger.charge(policy(), "ann", f"q{number}", TENTH)

    with pytest.raises(BudgetExceededError):
        ledger.charge(policy(), "ann", "one more", Loss(Fraction(1, 10**12)))
    assert ledger.remaining(policy()) == Loss(Fraction(0), exact(1e-6))
    assert ledger.verify() == 100


def test_budgets_are_of_a_dataset_and_of_each_analyst_whatever_the_policy(url: str) -> None:
    ledger = Ledger(url)
    shared = policy(budget=Budget(1.0), analyst_budget=Budget(0.6))
    ledger.charge(shared, "ann", "a", Loss(Fraction(6, 10)))

    with pytest.raises(BudgetExceededError, match="analyst 'ann' has epsilon 0 "):
        ledger.charge(shared, "ann", "b", TENTH)
    assert ledger.remaining(shared, "bob") == Loss(Fraction(4, 10), exact(1e-6))
    wider = policy(budget=Budget(2.0))
    assert ledger.remaining(wider) == Loss(Fraction(14, 10), exact(1e-6))
    assert ledger.spent(policy(), "ann") == Loss(Fraction(6, 10))


def test_delta_has_a_budget_too(url: str) -> None:
    ledger = Ledger(url)
    half = Loss(Fraction(1, 100), Fraction(6, 10**7))
    ledger.charge(policy(), "ann", "a", half)

    with pytest.raises(
        BudgetExceededError, match=r"delta 6e-07, and BatchTable/visits has epsilon 9\.99 and delta 4e-07"
    ):
        ledger.charge(policy(), "ann", "b", half)


@pytest.mark.parametrize("change", ["loss", "analyst", "question", "at", "gone", "total", "twice"])
def test_a_changed_ledger_is_found(tmp_path: Path, change: str) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger(url)
    for number in range(4):
        ledger.charge(policy(), "ann", f"q{number}", TENTH)
    assert ledger.verify() == 4

    statement = {
        "loss": "UPDATE mercury_privacy_charges SET epsilon = '0.01' WHERE number = 2",
        "analyst": "UPDATE mercury_privacy_charges SET analyst = 'bob' WHERE number = 2",
        "question": "UPDATE mercury_privacy_charges SET question = 'other' WHERE number = 2",
        "at": "UPDATE mercury_privacy_charges SET at = at + 1 WHERE number = 2",
        "gone": "DELETE FROM mercury_privacy_charges WHERE number = 2",
        "total": "UPDATE mercury_privacy_charges SET analyst_epsilon = '0' WHERE number = 4",
        "twice": "INSERT INTO mercury_privacy_charges SELECT 5, dataset, policy, analyst, question, epsilon, delta, "
        "dataset_epsilon, dataset_delta, analyst_epsilon, analyst_delta, at, previous, digest "
        "FROM mercury_privacy_charges WHERE number = 2",
    }[change]
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text(statement))

    with pytest.raises(CorruptDataError, match=r"line [2345] of the ledger is not what was written"):
        ledger.verify()


def test_sixteen_spenders_at_once_spend_exactly_the_budget(url: str) -> None:
    processes = [spender(url, f"a{number}", 0.25) for number in range(16)]
    granted = [line for process in processes for line in process.communicate(timeout=120)[0].split()]

    assert [process.returncode for process in processes] == [0] * 16
    ledger = Ledger(url)
    assert len(granted) == 40
    assert sorted(line.question for line in ledger.history()) == sorted(granted)
    assert ledger.spent(policy()) == Loss(Fraction(10))
    assert ledger.verify() == 40


def test_a_spender_that_is_killed_loses_budget_and_never_privacy(url: str) -> None:
    """SIGKILL at random moments: whatever was granted is in the ledger, and the chain is whole."""
    seed = 17
    print(f"seed {seed}")
    rng = random.Random(seed)
    granted: list[str] = []
    ledger = Ledger(url)
    for number in range(6):
        process = spender(url, f"k{number}", 0.001)
        assert process.stdout is not None
        granted += [process.stdout.readline().strip()]
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        granted += process.communicate(timeout=30)[0].split()
        ledger.verify()

    charged = {line.question for line in ledger.history()}
    assert set(filter(None, granted)) <= charged
    assert len(charged) <= len(granted) + 6
    assert ledger.spent(policy()) == Loss(Fraction(len(charged), 1000))


def test_of_two_answers_to_one_question_the_first_is_kept(url: str) -> None:
    ledger = Ledger(url)
    first = ledger.charge(policy(), "ann", "q", TENTH)
    second = ledger.charge(policy(), "bob", "q", TENTH)

    assert ledger.store("q", second.number, pa.table({"n": [1]})) == (pa.table({"n": [1]}), second.number)
    assert ledger.store("q", first.number, pa.table({"n": [2]})) == (pa.table({"n": [1]}), second.number)
    assert ledger.answer("q") == (pa.table({"n": [1]}), second.number)
    assert ledger.answer("other") is None


def test_a_ledger_that_cannot_be_reached_answers_nothing() -> None:
    ledger = Ledger("postgresql+psycopg://nobody@127.0.0.1:1/none")

    with pytest.raises(UnavailableError, match="the privacy ledger cannot be used"):
        ledger.charge(policy(), "ann", "q", TENTH)


def test_a_total_that_was_rewritten_with_its_digest_is_found(tmp_path: Path) -> None:
    """Who sets totals back to spend again cannot hide it behind a digest that fits."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger(url)
    for number in range(3):
        ledger.charge(policy(), "ann", f"q{number}", TENTH)
    forged = replace(ledger.history()[-1], dataset_spent=TENTH, analyst_spent=TENTH)
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(
            sa.text(
                "UPDATE mercury_privacy_charges SET dataset_epsilon = '0.1', analyst_epsilon = '0.1', digest = :digest "
                "WHERE number = 3"
            ),
            {"digest": forged.computed_digest()},
        )

    with pytest.raises(CorruptDataError, match="line 3 of the ledger is not what was written"):
        ledger.verify()


def test_totals_are_the_sums_of_the_charges(url: str) -> None:
    seed = 23
    print(f"seed {seed}")
    rng = random.Random(seed)
    ledger = Ledger(url)
    policies = [policy(), policy(source=replace(VISITS, name="guests"))]
    charged: dict[tuple[str, str], Loss] = {}
    for number in range(40):
        which, analyst = rng.choice(policies), rng.choice(["ann", "bob"])
        loss = Loss(Fraction(rng.randrange(1, 100), 999), Fraction(rng.randrange(100), 7 * 10**10))
        ledger.charge(which, analyst, f"q{number}", loss)
        charged[dataset_of(which), analyst] = (
            charged.get((dataset_of(which), analyst), Loss()) + loss.rounded()
        ).rounded()

    for which in policies:
        each = [ledger.spent(which, analyst) for analyst in ("ann", "bob")]
        assert each == [charged[dataset_of(which), analyst] for analyst in ("ann", "bob")]
        spent = ledger.spent(which)
        assert float(spent.epsilon) == pytest.approx(float(sum(each, Loss()).epsilon), rel=1e-15)
    assert ledger.verify() == 40


def test_a_charge_costs_the_same_however_long_the_ledger_is(tmp_path: Path) -> None:
    """Counted in steps of SQLite's own machine, not in seconds."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    steps = 0

    def counted(connection: sqlite3.Connection, record: object) -> None:
        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        connection.set_progress_handler(step, 1)

    sa.event.listen(sa.pool.NullPool, "connect", counted)
    try:
        costs = []
        for number in range(300):
            before = steps
            ledger.charge(policy(), "ann", f"q{number}", Loss(Fraction(1, 1000)))
            costs.append(steps - before)
    finally:
        sa.event.remove(sa.pool.NullPool, "connect", counted)

    assert costs[10] > 100
    assert costs[-1] < 1.2 * costs[10]


def test_the_digest_of_a_line_is_golden() -> None:
    tenth, zeros = Loss(Fraction(1, 10)), "0" * 64
    line = Charge(1, "BatchTable/visits", "00", "ann", "q", tenth, tenth, tenth, 1_700_000_000_000_000, zeros, "")

    assert line.computed_digest() == "855f4b35e37df547ec604a623a8670cff949b483a7028bc25e2819021c976330"
    assert line.computed_digest() != replace(line, loss=Loss(Fraction(1, 10), Fraction(1, 10**30))).computed_digest()


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), max_size=20))
def test_stored_amounts_are_never_less_than_what_was_spent(parts: list[tuple[int, int]]) -> None:
    losses = [Loss(Fraction(*part), Fraction(part[0], part[1] * 10**9)) for part in parts]

    read = sum((loss.rounded() for loss in losses), Loss())

    spent = sum(losses, Loss())
    assert read.epsilon >= spent.epsilon and read.delta >= spent.delta
    assert read.epsilon - spent.epsilon <= spent.epsilon * Fraction(1, 10**28)
