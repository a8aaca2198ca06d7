"""One spec, one state: Arrow with numba, DuckDB and Spark agree, on the flights and on rows where engines differ."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from mercury.definitions import (
    Count,
    CountDistinct,
    First,
    Histogram,
    Last,
    Max,
    Mean,
    Min,
    Quantile,
    StdDev,
    Sum,
    TopK,
)
from mercury.errors import DataError
from mercury.summaries import Summary, SummarySpec, empty, finish, merge, partial, to_ipc
from tests.summaries.awkward import (
    NO_KEYS,
    SCHEMA,
    SPEC,
    TWO_KEYS,
    UTC,
    assert_agree,
    assert_same,
    random_rows,
    tables,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ALL = pytest.mark.parametrize("spec", [SPEC, TWO_KEYS, NO_KEYS], ids=["everything", "several keys", "no keys"])

FLIGHTS = SummarySpec(
    {"carrier": "carrier", "month": "month"},
    {
        "flights": Count(),
        "flown": Count("air_time"),
        "miles": Sum("distance"),
        "late_share": Mean("dep_delay > 15"),
        "delay": Mean("cast(dep_delay AS double)"),
        "delay_std": StdDev("dep_delay"),
        "earliest": Min("dep_delay"),
        "latest": Max("dep_delay"),
        "first_plane": First("tailnum"),
        "last_plane": Last("tailnum", where="origin = 'JFK'"),
        "planes": CountDistinct("tailnum", exact=True),
        "planes_about": CountDistinct("tailnum"),
        "delay_p90": Quantile("dep_delay", 0.9),
        "delays": Histogram("dep_delay", edges=[0, 15, 60]),
        "routes": TopK("origin || '-' || dest", 5),
    },
    time="time_hour",
    where="dest <> 'LEX'",
)


@ALL
@settings(max_examples=15, deadline=None)
@given(tables())
def test_duckdb_agrees_on_awkward_rows(spec: SummarySpec, rows: pa.Table) -> None:
    assert_agree(partial(spec, rows, engine="duckdb"), partial(spec, rows))


@ALL
@pytest.mark.parametrize("seed", [1, 2])
def test_duckdb_agrees_on_random_rows(spec: SummarySpec, seed: int) -> None:
    rows = random_rows(20_000, seed)

    assert_agree(partial(spec, rows, engine="duckdb"), partial(spec, rows))


@ALL
def test_duckdb_gives_empty_of_no_rows(spec: SummarySpec) -> None:
    assert partial(spec, SCHEMA.empty_table(), engine="duckdb").equals(empty(spec, SCHEMA))


def test_duckdb_agrees_on_the_flights(flights: pa.Table, tmp_path: Path) -> None:
    files = [str(tmp_path / f"{half}.parquet") for half in (0, 1)]
    for place, file in enumerate(files):
        pq.write_table(flights.slice(place * 170_000, 170_000), file)

    state = partial(FLIGHTS, flights)

    assert state.groups == 185
    assert_flights_agree(partial(FLIGHTS, flights, engine="duckdb"), state)
    assert_flights_agree(partial(FLIGHTS, files, engine="duckdb"), state)
    assert_flights_agree(merge([partial(FLIGHTS, [file], engine="duckdb") for file in files]), state)


def test_a_record_batch_is_rows_too() -> None:
    rows = random_rows(100, seed=4)
    (batch,) = rows.combine_chunks().to_batches()

    assert partial(SPEC, batch).equals(partial(SPEC, rows))
    assert_agree(partial(SPEC, batch, engine="duckdb"), partial(SPEC, rows))


def test_chunks_and_encodings_of_the_rows_do_not_matter() -> None:
    rows = random_rows(300, seed=5)
    pieces = pa.concat_tables([rows.slice(0, 7), rows.slice(7, 0), rows.slice(7)])
    encoded = rows.set_column(0, "g", rows["g"].dictionary_encode()).set_column(8, "s", rows["s"].cast("large_string"))

    assert partial(SPEC, pieces).equals(partial(SPEC, rows))
    assert partial(SPEC, encoded).equals(partial(SPEC, rows))
    assert_agree(partial(SPEC, encoded, engine="duckdb"), partial(SPEC, rows))


def test_narrow_columns_are_widened_alike(engine_of: Callable[[SummarySpec, pa.Table], list[Summary]]) -> None:
    rows = pa.table({"k": pa.array([1, 1, 2], pa.int16()), "x": pa.array([0.1, 0.2, None], pa.float32())})
    spec = SummarySpec(["k"], {"sum": Sum("x"), "top": Max("x"), "keys": Sum("k")})

    arrow, *others = engine_of(spec, rows)

    assert arrow.tables["scalars"].schema == pa.schema(
        {"k": pa.int64(), "sum": pa.float64(), "top": pa.float64(), "keys": pa.int64()}
    )
    for other in others:
        assert_same(finish(other), finish(arrow))


def test_sums_at_the_edge_of_64_bits(engine_of: Callable[[SummarySpec, pa.Table], list[Summary]]) -> None:
    greatest, least = 2**63 - 1, -(2**63)
    rows = pa.table({"k": [1, 1, 1, 2, 2], "x": [greatest, 1, -1, least + 1, -1]})

    for state in engine_of(SummarySpec(["k"], {"s": Sum("x")}), rows):
        assert finish(state)["s"].to_pylist() == [greatest, least]


@pytest.mark.parametrize("aggregate", [Sum("x"), Mean("x")])
@pytest.mark.parametrize("values", [[2**63 - 1, 1], [-(2**63), -1], [2**62] * 4 + [2**62] * 4])
def test_sums_beyond_64_bits_are_one_clear_error(aggregate: Sum | Mean, values: list[int]) -> None:
    spec, rows = SummarySpec([], {"s": aggregate}), pa.table({"x": values})

    for engine in ("arrow", "duckdb"):
        with pytest.raises(DataError, match=r"the sum of integers 's' is beyond 64 bits\. Make it one of floats"):
            partial(spec, rows, engine=engine)
    with pytest.raises(DataError, match="beyond 64 bits"):
        merge([partial(spec, rows.slice(row, 1)) for row in range(rows.num_rows)])


def test_infinities_are_summed(engine_of: Callable[[SummarySpec, pa.Table], list[Summary]]) -> None:
    inf, nan = float("inf"), float("nan")
    rows = pa.table({"k": [1, 1, 2, 2, 3], "x": [inf, 1.0, inf, -inf, -inf]})
    spec = SummarySpec(["k"], {"s": Sum("x"), "m": Mean("x"), "d": StdDev("x", ddof=0), "n": Count("x")})

    for state in engine_of(spec, rows):
        assert repr([tuple(row.values()) for row in finish(state).to_pylist()]) == repr(
            [(1, inf, inf, nan, 2), (2, nan, nan, nan, 2), (3, -inf, -inf, nan, 1)]
        )


def test_what_has_no_time_is_neither_first_nor_last(
    engine_of: Callable[[SummarySpec, pa.Table], list[Summary]],
) -> None:
    rows = pa.table({"t": pa.array([None, 5, -5, None], UTC), "x": [1, 2, 3, 9], "k": ["a", "a", "a", "b"]})
    spec = SummarySpec(["k"], {"first": First("x"), "last": Last("x"), "n": Count("x")}, time="t")

    for state in engine_of(spec, rows):
        assert [tuple(row.values()) for row in finish(state).to_pylist()] == [("a", 3, 2, 3), ("b", None, None, 1)]


def test_names_that_engines_take_for_their_own(engine_of: Callable[[SummarySpec, pa.Table], list[Summary]]) -> None:
    rows = pa.table(
        {
            "k0": ["x", "y", "x"],
            "t": pa.array([1, 2, 3], UTC),
            "a0": [1, 2, 3],
            "Dep Delay": [4, 5, 6],
            "select": [True, True, False],
            "value": [7, 7, 8],
            "count": [0, 0, 0],
        }
    )
    keys = ["k0", "Dep Delay", "select", "value", "count"]
    spec = SummarySpec(keys, {"A0": Sum("a0"), "a1": Last("a0"), "bin": TopK("value"), "K": Max("a0")}, time="t")

    for state in engine_of(spec, rows):
        assert finish(state).to_pylist() == [
            {
                **{name: rows[name][row].as_py() for name in keys},
                "A0": row + 1,
                "a1": row + 1,
                "K": row + 1,
                "bin": [{"value": rows["value"][row].as_py(), "count": 1}],
            }
            for row in (0, 2, 1)
        ]


def test_a_state_is_the_same_in_every_time_zone() -> None:
    program = """
import hashlib, pyarrow as pa
from mercury.definitions import Count, CountDistinct, Max, Last
from mercury.summaries import SummarySpec, partial, to_ipc
rows = pa.table({"t": pa.array([-1, 0, 86_400_000_000 * 80 + 3_600_000_000, None], pa.timestamp("us", tz="UTC")),
                 "u": pa.array([-1, 0, 86_400_000_000 * 80 + 3_600_000_000, None], pa.timestamp("us"))})
spec = SummarySpec({"day": "cast(t AS date)", "hour": "date_trunc('hour', u)"},
    {"n": Count(), "kinds": CountDistinct("t"), "top": Max("u"), "last": Last("u")}, time="t")
print(*(hashlib.sha256(to_ipc(partial(spec, rows, engine=engine))).hexdigest() for engine in ("arrow", "duckdb")))
"""
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for zone in ("UTC", "America/New_York")
    }

    (answer,) = answers
    assert len(set(answer.split())) == 1


@pytest.mark.parametrize("engine", ["arrow", "duckdb"])
def test_several_threads_may_summarise_at_once(engine: str) -> None:
    parts = [random_rows(500, seed) for seed in range(8)]
    alone = [to_ipc(partial(SPEC, rows, engine=engine)) for rows in parts]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda rows: to_ipc(partial(SPEC, rows, engine=engine)), parts))

    assert together == alone


@pytest.mark.spark
def test_spark_agrees_on_awkward_rows(spark_local: SparkSession) -> None:
    rows = random_rows(3_000, seed=6)
    frame = spark_local.createDataFrame(rows.to_pylist(), schema=SPARK_SCHEMA)

    for spec in (SPEC, TWO_KEYS, NO_KEYS):
        assert_agree(partial(spec, frame, engine="spark"), partial(spec, rows))


@pytest.mark.spark
def test_spark_agrees_on_the_flights(flights: pa.Table, spark_local: SparkSession, tmp_path: Path) -> None:
    pq.write_table(flights, tmp_path / "flights.parquet")

    state = partial(FLIGHTS, spark_local.read.parquet(str(tmp_path / "flights.parquet")), engine="spark")

    assert_flights_agree(state, partial(FLIGHTS, flights))


@pytest.mark.spark
def test_spark_gives_empty_of_no_rows_and_refuses_what_does_not_fit(spark_local: SparkSession) -> None:
    nothing = spark_local.createDataFrame([], schema=SPARK_SCHEMA)
    large = spark_local.createDataFrame([(2**63 - 1,), (1,)], "x BIGINT")

    assert partial(NO_KEYS, nothing, engine="spark").equals(empty(NO_KEYS, SCHEMA))
    with pytest.raises(DataError, match="the sum of integers 's' is beyond 64 bits"):
        partial(SummarySpec([], {"s": Sum("x")}), large, engine="spark")


SPARK_SCHEMA = "g STRING, h TINYINT, f DOUBLE, i BIGINT, big BIGINT, b BOOLEAN, d DATE, t TIMESTAMP, s STRING"


@pytest.fixture(params=["in process", pytest.param("with Spark", marks=pytest.mark.spark)])
def engine_of(request: pytest.FixtureRequest) -> Callable[[SummarySpec, pa.Table], list[Summary]]:
    """The states by Arrow and by another engine."""
    if request.param == "in process":
        return lambda spec, rows: [partial(spec, rows), partial(spec, rows, engine="duckdb")]
    spark = request.getfixturevalue("spark_local")

    def both(spec: SummarySpec, rows: pa.Table) -> list[Summary]:
        return [partial(spec, rows), partial(spec, spark.createDataFrame(rows.to_pandas()), engine="spark")]

    return both


def assert_flights_agree(left: Summary, right: Summary) -> None:
    """Counts, extremes, integer sums and sketches to the bit; means and moments of floats to 1e-9."""
    mine, theirs = left.sorted().tables, right.sorted().tables
    for name in mine:
        for column in mine[name].column_names:
            if column in ("delay__sum", "delay_std__mean", "delay_std__m2"):
                assert mine[name][column].to_pylist() == pytest.approx(theirs[name][column].to_pylist(), rel=1e-9)
            else:
                assert_same(mine[name][column], theirs[name][column])
