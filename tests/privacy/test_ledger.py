"""The ledger outlives crashes and races: never more is spent than there is, and no line can be changed unseen."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from mercury.definitions import Budget
from mercury.errors import BudgetExceededError, CorruptDataError, DiskFullError, UnavailableError, UsageError
from mercury.privacy import Charge, Ledger, Loss
from mercury.privacy.accounting import exact
from mercury.privacy.ledger import dataset_of
from mercury.runtime import database
from mercury.runtime.database import Database
from tests.privacy.people import VISITS, policy

TENTH = Loss(Fraction(1, 10))
ROOT = Path(__file__).parents[2]


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


def charges(url: str, count: int) -> Ledger:
    """A ledger with this many charges of a tenth by ann, each with its answer."""
    ledger = Ledger(url)
    for number in range(count):
        line, _ = ledger.charge(policy(), "ann", f"q{number}", TENTH)
        ledger.store(line, pa.table({"n": [number]}))
    return ledger


def tamper(url: str, *statements: str) -> None:
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


@pytest.mark.parametrize("change", ["loss", "analyst", "question", "at", "gone", "total", "moved", "inserted"])
def test_a_changed_ledger_is_found(url: str, change: str) -> None:
    ledger = charges(url, 4)
    assert ledger.verify() == 4

    statements = {
        "loss": ["UPDATE mercury_privacy_charges SET epsilon = '0.01' WHERE number = 2"],
        "analyst": ["UPDATE mercury_privacy_charges SET analyst = 'bob' WHERE number = 2"],
        "question": ["UPDATE mercury_privacy_charges SET question = 'other' WHERE number = 2"],
        "at": ["UPDATE mercury_privacy_charges SET at = at + 1 WHERE number = 2"],
        "gone": ["DELETE FROM mercury_privacy_charges WHERE number = 2"],
        "total": ["UPDATE mercury_privacy_charges SET analyst_epsilon = '0' WHERE number = 4"],
        "moved": [
            "UPDATE mercury_privacy_charges SET number = 20 WHERE number = 2",
            "UPDATE mercury_privacy_charges SET number = 2 WHERE number = 3",
            "UPDATE mercury_privacy_charges SET number = 3 WHERE number = 20",
        ],
        "inserted": [
            "INSERT INTO mercury_privacy_charges SELECT 5, dataset, policy, analyst, 'new', epsilon, delta, "
            "dataset_epsilon, dataset_delta, analyst_epsilon, analyst_delta, at, previous, digest "
            "FROM mercury_privacy_charges WHERE number = 2"
        ],
    }[change]
    tamper(url, *statements)

    with pytest.raises(CorruptDataError, match=r"line [2345] of the ledger is not what was written"):
        ledger.verify()


@pytest.mark.parametrize("amount", ["0", "-5", "abc", "NaN", ""])
def test_a_total_that_was_set_back_buys_nothing(url: str, amount: str) -> None:
    """Seen at the next charge, and not at the next audit only."""
    ledger = charges(url, 3)
    tamper(url, f"UPDATE mercury_privacy_charges SET dataset_epsilon = '{amount}' WHERE number = 3")

    for spend in (
        lambda: ledger.charge(policy(), "bob", "new", TENTH),
        lambda: ledger.allows(policy(), "bob", TENTH),
        lambda: ledger.remaining(policy()),
    ):
        with pytest.raises(CorruptDataError, match="line 3 of the ledger"):
            spend()


def test_an_end_that_was_cut_off_is_found_by_its_answers_or_by_the_hash_that_was_kept(url: str) -> None:
    """Cut with its answers it fits by itself: only what is kept elsewhere shows it."""
    ledger = charges(url, 4)
    head = ledger.head()
    assert head == ledger.history()[-1].digest and ledger.verify(head) == 4

    tamper(url, "DELETE FROM mercury_privacy_charges WHERE number >= 3")
    with pytest.raises(CorruptDataError, match="an answer was kept for line 3 of the ledger"):
        ledger.verify()
    with pytest.raises(CorruptDataError, match="an answer was kept for line 4 of the ledger, which is gone"):
        ledger.charge(policy(), "ann", "new", TENTH)

    tamper(url, "DELETE FROM mercury_privacy_answers WHERE charge >= 3")
    assert ledger.verify() == 2
    with pytest.raises(CorruptDataError, match=f"no line of the ledger has the hash {head}"):
        ledger.verify(head)


def test_a_hash_that_was_kept_stays_good_while_the_ledger_grows(url: str) -> None:
    ledger = charges(url, 2)
    head = ledger.head()
    charges(url, 5)

    assert ledger.verify(head) == 5
    assert Ledger(url).head() != head


def test_an_empty_ledger_has_no_lines(url: str) -> None:
    ledger = Ledger(url)

    assert (ledger.verify(), ledger.head(), ledger.history(), ledger.answer("q")) == (0, None, [], None)
    assert not ledger.charged("q")
    with pytest.raises(CorruptDataError, match="no line of the ledger has the hash"):
        ledger.verify("0" * 64)


def test_an_answer_that_cannot_be_read_is_an_error_and_no_new_draw(url: str) -> None:
    ledger = charges(url, 1)
    tamper(url, "UPDATE mercury_privacy_answers SET answer = question::bytea" if url.startswith("post") else
           "UPDATE mercury_privacy_answers SET answer = x'00'")  # fmt: skip

    with pytest.raises(CorruptDataError, match="a stored answer cannot be read"):
        ledger.answer("q0")


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


def test_a_question_is_charged_once_and_its_first_draw_is_kept(url: str) -> None:
    ledger = Ledger(url)
    first, new = ledger.charge(policy(), "ann", "q", TENTH)
    second, again = ledger.charge(policy(), "bob", "q", TENTH)

    assert (new, again) == (True, False) and second == first
    assert ledger.store(second, pa.table({"n": [1]})) == pa.table({"n": [1]})
    assert ledger.store(first, pa.table({"n": [2]})) == pa.table({"n": [1]})
    assert ledger.answer("q") == pa.table({"n": [1]})
    assert ledger.answer("other") is None
    assert ledger.spent(policy()) == TENTH


def test_a_question_that_was_charged_is_so_past_the_budget(url: str) -> None:
    ledger = Ledger(url)
    tight = policy(budget=Budget(0.1))
    first, _ = ledger.charge(tight, "ann", "q", TENTH)

    assert ledger.charge(tight, "bob", "q", TENTH) == (first, False)


@pytest.mark.parametrize("loss", [Loss(Fraction(-1)), Loss(Fraction(1), Fraction(-1, 10))])
def test_nothing_gives_budget_back(url: str, loss: Loss) -> None:
    with pytest.raises(UsageError, match="would give budget back"):
        Ledger(url).charge(policy(), "ann", "q", loss)
    assert Ledger(url).history() == []


def test_a_clock_that_goes_backwards_changes_no_order(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(url)
    for number in range(3):
        monkeypatch.setattr(time, "time_ns", lambda number=number: (10 - number) * 10**15)
        ledger.charge(policy(), "ann", f"q{number}", TENTH)

    assert [line.question for line in ledger.history()] == ["q0", "q1", "q2"]
    assert [line.at for line in ledger.history()] == sorted((line.at for line in ledger.history()), reverse=True)
    assert ledger.verify() == 3
    assert ledger.spent(policy()) == Loss(Fraction(3, 10))


def test_a_spend_that_is_almost_nothing_is_spent(url: str) -> None:
    """A hundred of 10^-300 are 10^-298, and after the budget is used up not one of them is granted."""
    ledger, least = Ledger(url), Loss(Fraction(1, 10**300))
    tight = policy(budget=Budget(1.0))
    for number in range(3):
        ledger.charge(tight, "ann", f"q{number}", least)
    assert ledger.spent(tight) == Loss(Fraction(3, 10**300))

    rest = Loss(Fraction(1) - Fraction(3, 10**20))
    ledger.charge(tight, "ann", "rest", rest)
    assert ledger.spent(tight).epsilon > rest.epsilon
    ledger.charge(tight, "ann", "more", Loss(Fraction(2, 10**20)))
    with pytest.raises(BudgetExceededError):
        ledger.charge(tight, "ann", "too much", Loss(Fraction(1, 10**20)))


def test_a_full_disk_charges_nothing_and_leaves_the_ledger_whole(tmp_path: Path) -> None:
    ledger = charges(f"sqlite:///{tmp_path / 'ledger.db'}", 2)

    def full(connection: sqlite3.Connection, record: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(sa.pool.NullPool, "connect", full)
    try:
        with pytest.raises(DiskFullError, match="the privacy ledger cannot be written: database or disk is full"):
            for number in range(200):
                ledger.charge(policy(), "a" * 200, f"more{number}", Loss(Fraction(1, 1000)))
    finally:
        sa.event.remove(sa.pool.NullPool, "connect", full)

    lines = ledger.verify()
    assert ledger.charge(policy(), "ann", "last", TENTH)[0].number == lines + 1


def test_a_ledger_that_somebody_holds_answers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.05)
    ledger = charges(f"sqlite:///{tmp_path / 'ledger.db'}", 1)
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UnavailableError, match="the privacy ledger cannot be used: database is locked"):
            ledger.charge(policy(), "ann", "q", TENTH)
        holder.execute("ROLLBACK")
    assert ledger.verify() == 1


@pytest.mark.parametrize("content", [b"no database, only text" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_file_that_is_no_ledger_answers_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger.db").write_bytes(content)
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")

    for use in (ledger.head, lambda: ledger.charge(policy(), "ann", "q", TENTH)):
        with pytest.raises((CorruptDataError, UnavailableError), match="the privacy ledger cannot be"):
            use()


def test_postgresql_waits_for_the_disk_though_its_server_would_not(postgres_url: str) -> None:
    """Asked of a session that was told not to wait, as a server's default may be."""
    asynchronous = sa.make_url(postgres_url).update_query_dict({"options": "-c synchronous_commit=off"})
    one = Database(asynchronous.render_as_string(hide_password=False), what="it", setting="url")

    with one.reading() as connection:
        assert connection.execute(sa.text("SHOW synchronous_commit")).scalar() == "off"
    with one.alone(1) as connection:
        assert connection.execute(sa.text("SHOW synchronous_commit")).scalar() == "on"


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
