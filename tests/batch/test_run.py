"""A batch run: a function of input versions, committed once, whatever the engine."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.batch import Query, Scope, choose, run
from mercury.batch.ledger import Entry, entries
from mercury.batch.run import _commit_files, _staging
from mercury.config import Settings, load_settings
from mercury.definitions import Job
from mercury.errors import DataError, TableNotFoundError, UsageError
from mercury.lake import Lake
from mercury.runtime import RaySession
from mercury.tables import Table, Transaction

SALES = pa.schema([("shop", pa.string()), ("day", pa.int64()), ("amount", pa.float64())])
TOTALS = Query(
    pa.schema([("shop", pa.string()), ("day", pa.int64()), ("total", pa.float64())]),
    duckdb="SELECT shop, day, sum(amount) AS total FROM sales GROUP BY ALL",
    spark="SELECT shop, day, sum(amount) AS total FROM sales GROUP BY shop, day",
)
JOB = Job("totals", script="jobs/totals.py", inputs=["sales"], output="totals")


def day(number: int) -> Scope:
    return Scope(str(number), f"day = {number}", {"sales": f"day = {number}"})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(tmp_path / "mercury_project.py", env={})


@pytest.fixture
def sales(settings: Settings) -> Table:
    table = Table.create(Lake(settings.lake).table("sales"), SALES)
    table.append(pa.table([["a", "b", "a", None], [1, 1, 2, 2], [1.5, 2.0, 4.0, 8.0]], schema=SALES))
    return table


def totals(settings: Settings) -> list[tuple[Any, ...]]:
    rows = Table.open(Lake(settings.lake).table("totals")).read().to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=repr)


def test_a_run_writes_once_per_state_of_its_inputs(
    settings: Settings, sales: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(JOB, TOTALS, settings)
    assert (first.skipped, first.rows, first.engine, first.inputs) == (False, 4, "duckdb", {"sales": sales.version})
    expected = [("a", 1, 1.5), ("a", 2, 4.0), ("b", 1, 2.0), (None, 2, 8.0)]
    assert totals(settings) == sorted(expected, key=repr)

    with monkeypatch.context() as patched:
        patched.delattr(duckdb, "connect")  # The second run computes nothing.
        second = run(JOB, TOTALS, settings)
    assert (second.skipped, second.rows, second.version) == (True, 0, first.version)

    sales.append(pa.table([["b"], [2], [16.0]], schema=SALES))
    third = run(JOB, TOTALS, settings)
    assert not third.skipped
    assert totals(settings) == sorted([*expected, ("b", 2, 16.0)], key=repr)


def test_a_partition_replaces_only_its_own_rows(settings: Settings, sales: Table) -> None:
    assert [run(JOB, TOTALS, settings, scope=day(number)).rows for number in (1, 2)] == [2, 2]
    sales.append(pa.table([["a"], [1], [100.0]], schema=SALES))
    assert run(JOB, TOTALS, settings, scope=day(1)).rows == 2
    assert totals(settings) == sorted([("a", 1, 101.5), ("a", 2, 4.0), ("b", 1, 2.0), (None, 2, 8.0)], key=repr)
    assert run(JOB, TOTALS, settings, scope=day(1)).skipped
    assert [(entry.partition, entry.current) for entry in entries(JOB, Lake(settings.lake))] == [
        ("1", True),
        ("2", False),
    ]


def test_changed_code_and_force_run_again(settings: Settings, sales: Table, tmp_path: Path) -> None:
    code = tmp_path / "totals.py"
    code.write_text("one")
    assert not run(JOB, TOTALS, settings, code=code).skipped
    assert run(JOB, TOTALS, settings, code=code).skipped
    assert not run(JOB, TOTALS, settings, code=code, force=True).skipped
    code.write_text("two")
    assert not run(JOB, TOTALS, settings, code=code).skipped
    code.write_text("one")
    assert not run(JOB, TOTALS, settings, code=code).skipped
    assert len(totals(settings)) == 4


def test_an_input_that_was_made_anew_is_another_input(settings: Settings, sales: Table) -> None:
    first = run(JOB, TOTALS, settings)
    version = sales.version
    shutil.rmtree(sales.uri)
    anew = Table.create(sales.uri, SALES)
    anew.append(pa.table([["z"], [9], [1.0]], schema=SALES))
    assert anew.version == version

    assert [entry.current for entry in entries(JOB, Lake(settings.lake))] == [False]
    second = run(JOB, TOTALS, settings)
    assert (second.skipped, second.inputs) == (False, first.inputs)
    assert totals(settings) == [("z", 9, 1.0)]


def test_a_changed_query_or_scope_runs_again_without_code(settings: Settings, sales: Table) -> None:
    assert not run(JOB, TOTALS, settings).skipped
    other = Query(TOTALS.schema, duckdb="SELECT shop, day, max(amount) AS total FROM sales GROUP BY ALL")
    assert not run(JOB, other, settings).skipped
    assert run(JOB, other, settings).skipped
    part = Scope("all", inputs={"sales": "day = 1"})
    assert not run(JOB, other, settings, scope=part).skipped
    assert run(JOB, other, settings, scope=part).skipped


@pytest.mark.parametrize("change", ["emptied", "appended", "another job", "the whole table"])
def test_what_somebody_else_did_to_the_output_is_made_good(settings: Settings, sales: Table, change: str) -> None:
    for number in (1, 2):
        run(JOB, TOTALS, settings, scope=day(number))
    expected = totals(settings)
    output = Table.open(Lake(settings.lake).table("totals"))
    if change == "emptied":
        output.overwrite(output.read().slice(0, 0))
    elif change == "appended":
        output.append(output.read().slice(0, 1))
    elif change == "another job":
        run(Job("other", script="x.py", inputs=["sales"], output="totals"), TOTALS, settings, scope=day(1))
    else:
        run(JOB, Query(TOTALS.schema, duckdb="SELECT shop, day, -amount AS total FROM sales"), settings)

    assert not any(entry.current for entry in entries(JOB, Lake(settings.lake)) if entry.partition != "all")
    assert [run(JOB, TOTALS, settings, scope=day(number)).skipped for number in (1, 2)] == [False, False]
    assert totals(settings) == expected


def test_upkeep_of_the_output_changes_nothing(settings: Settings, sales: Table) -> None:
    for number in (1, 2):
        run(JOB, TOTALS, settings, scope=day(number))
    output = Table.open(Lake(settings.lake).table("totals"))
    output.compact()
    output.vacuum("0s")
    assert [run(JOB, TOTALS, settings, scope=day(number)).skipped for number in (1, 2)] == [True, True]


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.timestamp("us", tz="UTC"), [dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC), None]),
        (pa.float64(), [1.5, -0.1]),
        (pa.decimal128(10, 2), [Decimal("1.50"), None]),
    ],
)
def test_inputs_partitioned_by_any_type_are_read(settings: Settings, type_: pa.DataType, values: list[Any]) -> None:
    schema = pa.schema([("k", type_), ("n", pa.int64())])
    table = Table.create(Lake(settings.lake).table("sales"), schema, partition_by=["k"])
    table.append(pa.table({"k": pa.array(values, type_), "n": [1, 2]}))
    output = pa.schema([("k", type_), ("n", pa.int64())])

    run(JOB, Query(output, duckdb="SELECT k, n * 2 AS n FROM sales"), settings)

    rows = Table.open(Lake(settings.lake).table("totals")).read().sort_by("n")
    assert rows.to_pydict() == {"k": values, "n": [2, 4]}


def test_the_commit_says_what_it_was_made_from(settings: Settings, sales: Table) -> None:
    result = run(JOB, TOTALS, settings)
    made = Table.open(Lake(settings.lake).table("totals")).history()[0].provenance
    assert {name: made[name] for name in ("job", "partition", "inputs", "engine")} == {
        "job": "totals",
        "partition": "all",
        "inputs": {"sales": sales.version},
        "engine": "duckdb",
    }
    assert json.loads(json.dumps(result.to_dict()))["inputs"] == {"sales": sales.version}


def test_a_gate_that_refuses_leaves_the_table_as_it_was(settings: Settings, sales: Table) -> None:
    run(JOB, TOTALS, settings)
    before = Table.open(Lake(settings.lake).table("totals")).version
    sales.append(pa.table([["b"], [2], [-1.0]], schema=SALES))

    def gate(rows: Any) -> None:
        raise DataError("total is negative")

    with pytest.raises(DataError, match="negative"):
        run(JOB, TOTALS, settings, gate=gate)
    assert Table.open(Lake(settings.lake).table("totals")).version == before
    assert not run(JOB, TOTALS, settings).skipped


def test_files_of_an_engine_become_rows_in_one_commit(settings: Settings, tmp_path: Path) -> None:
    output = Table.create(Lake(settings.lake).table("totals"), TOTALS.schema)
    for sequence, total in ((1, 1.0), (2, 2.0)):
        with _staging(output.uri, "batch/totals/all", sequence) as folder:
            folder.mkdir()
            path = folder / "part-0.parquet"
            pq.write_table(pa.table([["a"], [1], [total]], schema=TOTALS.schema), path)
            commit = _commit_files(output, [str(path)], Scope(), Transaction("batch/totals/all", sequence), {})
            assert commit.rows == 1
        assert totals(settings) == [("a", 1, total)]
        # The first run's file is the table's; the second's rows were copied, so its folder is gone.
        assert folder.exists() == (sequence == 1)


def test_rows_outside_the_partition_are_refused(settings: Settings, sales: Table, tmp_path: Path) -> None:
    wrong = Query(TOTALS.schema, duckdb="SELECT shop, day + 1 AS day, amount AS total FROM sales")
    with pytest.raises(DataError):
        run(JOB, wrong, settings, scope=day(1))
    output = Table.open(Lake(settings.lake).table("totals"))
    file = Path(output.uri) / "part-0.parquet"
    pq.write_table(pa.table([["a", "a", "a"], [1, 2, None], [1.0, 2.0, 3.0]], schema=TOTALS.schema), file)
    with pytest.raises(DataError, match=r"2 rows of the result are not in the partition '1' \(day = 1\)"):
        _commit_files(output, [str(file)], day(1), Transaction("batch/totals/1", 1), {})
    assert totals(settings) == []


def test_files_of_a_run_that_failed_are_deleted(settings: Settings) -> None:
    output = Table.create(Lake(settings.lake).table("totals"), TOTALS.schema)
    with pytest.raises(DataError), _staging(output.uri, "batch/totals/all", 1) as folder:
        folder.mkdir()
        (folder / "part-0.parquet").touch()
        raise DataError("row 1")
    assert not folder.exists()


def test_empty_inputs(settings: Settings) -> None:
    Table.create(Lake(settings.lake).table("sales"), SALES)
    result = run(JOB, TOTALS, settings)
    assert (result.rows, totals(settings)) == (0, [])


def test_partitioned_inputs_keep_their_types(settings: Settings) -> None:
    table = Table.create(Lake(settings.lake).table("sales"), SALES, partition_by=["shop", "day"])
    table.append(pa.table([["01", "02"], [1, 2], [1.0, 2.0]], schema=SALES))
    run(JOB, TOTALS, settings)
    assert totals(settings) == [("01", 1, 1.0), ("02", 2, 2.0)]


def test_what_cannot_run_says_why(settings: Settings, sales: Table) -> None:
    with pytest.raises(UsageError, match="no query for duckdb"):
        run(JOB, Query(TOTALS.schema, spark="SELECT 1"), settings)
    with pytest.raises(UsageError, match="DuckDB cannot run the query"):
        run(JOB, Query(TOTALS.schema, duckdb="SELECT amuont FROM sales"), settings)
    with pytest.raises(UsageError, match="returns no column 'day'"):
        run(JOB, Query(TOTALS.schema, duckdb="SELECT shop FROM sales"), settings)
    with pytest.raises(UsageError, match="'ray' runs no SQL"):
        run(JOB, TOTALS, settings, engine="ray")
    with pytest.raises(TableNotFoundError):
        run(Job("x", script="x.py", inputs=["missing"], output="y"), TOTALS, settings)
    assert entries(JOB, Lake(settings.lake)) == [Entry("totals", "-")]


def test_the_engine_follows_the_bytes() -> None:
    assert choose(5 << 20).engine == "duckdb"
    assert choose(2 << 30).engine == "spark"
    assert choose(5 << 20, "spark").explain() == "spark for 5.0 MiB: asked for"
    assert choose(3 << 40, "auto").explain() == "spark for 3.0 TiB: 2.0 GiB or more go to the cluster"


@pytest.mark.ray
def test_duckdb_runs_in_a_task_where_ray_runs(ray_local: RaySession, settings: Settings, sales: Table) -> None:
    result = run(JOB, TOTALS, settings)
    assert (result.engine, result.rows) == ("duckdb", 4)
    assert ("a", 1, 1.5) in totals(settings)
    with pytest.raises(UsageError, match="DuckDB cannot run the query"):
        run(JOB, Query(TOTALS.schema, duckdb="SELECT amuont FROM sales"), settings, force=True)
