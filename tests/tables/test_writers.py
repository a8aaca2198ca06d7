"""Several writers at once, and writers that are killed: every transaction at most once, the table always readable."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pyarrow as pa
import pytest

from mercury.tables import Table, Transaction

SCHEMA = pa.schema([("app", pa.string()), ("n", pa.int64())])

WRITER = textwrap.dedent(
    """
    import sys
    import pyarrow as pa
    from mercury.errors import MercuryError
    from mercury.tables import Table, Transaction

    uri, app, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    print("ready", flush=True)
    sys.stdin.readline()
    table = Table.open(uri)
    done = 0
    for n in range(first, last):
        rows = pa.table({"app": [app] * 3, "n": [n] * 3})
        try:
            commit = table.append(rows, transaction=Transaction(app, n))
        except MercuryError as error:
            print(type(error).__name__, flush=True)
            break
        done += not commit.skipped
    print(done, flush=True)
    """
)


def writer(uri: str, app: str, first: int, last: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, uri, app, str(first), str(last)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process


def start(*processes: subprocess.Popen[str]) -> None:
    """Let them go at the same moment, once all have imported what they need."""
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def answers(*processes: subprocess.Popen[str]) -> list[list[str]]:
    return [process.communicate(timeout=120)[0].split() for process in processes]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table.create(tmp_path / "t", SCHEMA)


def counts(table: Table) -> dict[tuple[str, int], int]:
    got = table.query("SELECT app, n, count(*) AS c FROM self GROUP BY ALL").to_pylist()
    return {(row["app"], row["n"]): row["c"] for row in got}


def test_writers_of_their_own_all_land_once(table: Table) -> None:
    writers = [writer(table.uri, f"app{i}", 0, 15) for i in range(4)]
    start(*writers)

    assert answers(*writers) == [["15"]] * 4
    assert counts(table) == {(f"app{i}", n): 3 for i in range(4) for n in range(15)}
    assert table.version == 60


def test_of_two_incarnations_each_transaction_is_applied_once(table: Table) -> None:
    twins = [writer(table.uri, "job", 0, 25) for _ in range(2)]
    start(*twins)

    words = answers(*twins)

    assert counts(table) == {("job", n): 3 for n in range(25)}
    assert sum(int(answer[-1]) for answer in words) == 25


def test_appends_go_on_beside_compaction_and_overwrites(table: Table) -> None:
    table.append(pa.table({"app": ["old"], "n": [0]}))
    writers = [writer(table.uri, f"app{i}", 0, 15) for i in range(2)]
    start(*writers)
    while any(process.poll() is None for process in writers):
        table.compact()
        table.overwrite(pa.table({"app": ["old"], "n": [1]}), where="app = 'old'")

    assert answers(*writers) == [["15"]] * 2
    expected = {(f"app{i}", n): 3 for i in range(2) for n in range(15)}
    assert counts(table) == {**expected, ("old", 1): 1}


@pytest.mark.slow
def test_killed_writers_leave_the_table_readable_and_nothing_twice(table: Table) -> None:
    seed = int(os.environ.get("MERCURY_TEST_SEED", time.time_ns() % 10**6))
    print("seed", seed)
    chance = random.Random(seed)
    until = time.monotonic() + 12
    kills = 0
    spare = writer(table.uri, "job", 0, 10_000)
    while time.monotonic() < until or kills < 5:
        process, spare = spare, writer(table.uri, "job", 0, 10_000)
        start(process)
        before = table.refresh().version
        moment = time.monotonic() + chance.uniform(0.0, 0.15)
        while time.monotonic() < moment or table.refresh().version == before:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
        seen = counts(table)
        applied = table.transaction_version("job")
        assert applied is not None
        assert seen == {("job", n): 3 for n in range(applied + 1)}
        assert counts(Table.open(table.uri)) == seen
    spare.kill()
    spare.communicate()

    table.vacuum("0s")
    files = {path.relative_to(table.uri).as_posix() for path in Path(table.uri).rglob("*.parquet*")}
    assert {Path(path).relative_to(table.uri).as_posix() for path in table.files()} == {
        name for name in files if not name.startswith("_delta_log/")
    }
    assert not table.append(pa.table({"app": ["job"], "n": [-1]}), transaction=Transaction("job", 10_000)).skipped
    print("kills", kills)
