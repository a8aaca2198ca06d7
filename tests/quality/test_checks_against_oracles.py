"""Every type of check on the flights and on random data, against DuckDB, pandas and pandera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.quality import Report, Result, Verdict, load_contract
from mercury.quality.opening import open_source
from mercury.quality.run import check
from mercury.quality.source import ArrowSource
from tests.quality.contracts import contract_of
from tests.quality.history import history

HISTORY = Path("examples/flights/contracts/flights_history.odcs.yaml")


@pytest.fixture(scope="module")
def flights_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("history") / "flights.parquet"
    pq.write_table(history(), path, row_group_size=50_000)
    return str(path)


@pytest.fixture(scope="module")
def random_table() -> pa.Table:
    seed = 20130101
    print("seed", seed)
    random = np.random.default_rng(seed)
    n = 5_000
    floats = random.normal(10, 5, n)
    floats[random.random(n) < 0.05] = np.nan
    texts = np.array(["é", "日本", "", "N/A", "EWR", "a;b", "🛫"], dtype=object)[random.integers(0, 7, n)]
    return pa.table(
        {
            "id": pa.array(random.integers(0, 4_000, n), mask=random.random(n) < 0.02),
            "day": pa.array(random.integers(0, 9, n)),
            "x": pa.array(floats, mask=random.random(n) < 0.1),
            "text": pa.array(texts, pa.string(), mask=random.random(n) < 0.1),
            "y": pa.array(np.sort(random.integers(0, 2_000, n)), mask=random.random(n) < 0.1),
        }
    )


def one(report: Report, name: str) -> Result:
    (found,) = [result for result in report.results if result.check == name]
    return found


def sql(table: pa.Table, query: str) -> Any:
    connection = duckdb.connect()
    connection.register("t", table)
    return connection.execute(query).fetchall()[0][0]


def test_the_history_keeps_its_contract_with_the_known_numbers(flights_file: str) -> None:
    report = check(flights_file, load_contract(HISTORY))
    assert report.rows == 336_776
    assert {result.verdict for result in report.results} == {Verdict.PASS}
    assert one(report, "few cancellations").failed == 8_255
    assert one(report, "few cancellations").value == pytest.approx(100 * 8_255 / 336_776)
    assert one(report, "usual departure delay").value == pytest.approx(12.63907, abs=1e-5)
    assert one(report, "spread of arrival delays").value == pytest.approx(44.63329, abs=1e-5)
    assert one(report, "long delays are rare").value == 191
    assert one(report, "the aircraft is usually known").failed == 2_512
    assert one(report, "the delay is known for nearly all that landed").failed == 9_430 - 8_713
    assert one(report, "all carriers fly").value == 16


RULES = """
- name: id
  quality:
    - {name: nulls, metric: nullValues, mustBe: 0}
    - {name: duplicates, metric: duplicateValues, mustBe: 0}
    - {name: distinct, type: custom, engine: mercury, implementation: {check: distinct, mustBe: 1}}
- name: x
  logicalType: number
  logicalTypeOptions: {minimum: 0, maximum: 20}
  quality:
    - {name: mean, type: custom, engine: mercury, implementation: {check: mean, mustBe: 0}}
    - {name: std, type: custom, engine: mercury, implementation: {check: std, mustBe: 0}}
    - {name: sum, type: custom, engine: mercury, implementation: {check: sum, mustBe: 0}}
    - {name: min, type: custom, engine: mercury, implementation: {check: min, mustBe: 0}}
    - {name: max, type: custom, engine: mercury, implementation: {check: max, mustBe: 0}}
    - {name: q90, type: custom, engine: mercury, implementation: {check: quantile, q: 0.9, mustBe: 0}}
- name: text
  quality:
    - {name: set, metric: invalidValues, arguments: {validValues: [é, 日本, EWR]}, mustBe: 0}
    - {name: missing, metric: missingValues, arguments: {missingValues: ["", N/A]}, mustBe: 0}
    - {name: pattern, metric: invalidValues, arguments: {pattern: "^[A-Z]+$"}, mustBe: 0}
- name: y
  quality:
    - {name: order, type: custom, engine: mercury, implementation: {check: monotonic, column: x, mustBe: 0}}
    - {name: rising, type: custom, engine: mercury, implementation: {check: monotonic}}
    - {name: strictly, type: custom, engine: mercury, implementation: {check: monotonic, strict: true}}
"""

TABLE_RULES = """
- {name: compound, metric: duplicateValues, arguments: {properties: [id, day]}, mustBe: 0}
- {name: condition, type: custom, engine: mercury, implementation: "x < 15 OR day = 3"}
"""


@pytest.fixture(scope="module")
def random_report(random_table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Report:
    contract = contract_of(tmp_path_factory.mktemp("c"), RULES, TABLE_RULES)
    return check(ArrowSource(random_table, rows=700), contract)


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("nulls", "SELECT count(*) FILTER (id IS NULL) FROM t"),
        ("duplicates", "SELECT count(id) - count(DISTINCT id) FROM t"),
        ("distinct", "SELECT count(DISTINCT id) FROM t"),
        ("x: range", "SELECT count(*) FILTER (NOT (x BETWEEN 0 AND 20)) FROM t"),
        ("set", "SELECT count(*) FILTER (text NOT IN ('é', '日本', 'EWR')) FROM t"),
        ("missing", "SELECT count(*) FILTER (text IS NULL OR text IN ('', 'N/A')) FROM t"),
        ("pattern", "SELECT count(*) FILTER (NOT regexp_matches(text, '^[A-Z]+$')) FROM t"),
        (
            "compound",
            "SELECT count(id) - count(DISTINCT CASE WHEN id IS NOT NULL THEN (id, day) END) FROM t",
        ),
        ("condition", "SELECT count(*) FILTER (NOT (x < 15 OR day = 3)) FROM t"),
    ],
)
def test_counts_agree_with_duckdb(random_report: Report, random_table: pa.Table, name: str, query: str) -> None:
    assert one(random_report, name).value == sql(random_table, query) > 0


def test_statistics_agree_with_pandas_which_leaves_out_nulls_and_nan(
    random_report: Report, random_table: pa.Table
) -> None:
    x = random_table["x"].to_pandas()
    for name, expected in {
        "mean": x.mean(),
        "std": x.std(),
        "sum": x.sum(),
        "min": x.min(),
        "max": x.max(),
        "q90": x.quantile(0.9),
    }.items():
        assert one(random_report, name).value == pytest.approx(expected, rel=1e-12), name


def test_order_agrees_with_pandas(random_report: Report, random_table: pa.Table) -> None:
    for name, column, strict in [("order", "x", False), ("rising", "y", False), ("strictly", "y", True)]:
        steps = random_table[column].to_pandas().dropna().diff().dropna()
        expected = int((steps <= 0).sum() if strict else (steps < 0).sum())
        assert one(random_report, name).failed == expected
    assert one(random_report, "rising").verdict is Verdict.PASS
    assert one(random_report, "strictly").verdict is Verdict.FAIL


def test_row_verdicts_agree_with_pandera_on_the_flights(flights_file: str, tmp_path: Path) -> None:
    frame = pq.read_table(flights_file).to_pandas()
    schema = pandera.DataFrameSchema(
        {
            "origin": pandera.Column(checks=pandera.Check.isin(["EWR", "JFK"])),
            "distance": pandera.Column(checks=pandera.Check.in_range(100, 2500)),
            "tailnum": pandera.Column(nullable=False, checks=pandera.Check.str_matches("^N")),
            "flight": pandera.Column(unique=True),
        }
    )
    with pytest.raises(pandera.errors.SchemaErrors) as caught:
        schema.validate(frame, lazy=True)
    cases: pd.DataFrame = caught.value.failure_cases
    expected = cases.groupby(["column", "check"]).size()
    contract = contract_of(
        tmp_path,
        """
- name: origin
  quality: [{name: isin, metric: invalidValues, arguments: {validValues: [EWR, JFK]}, mustBe: 0}]
- name: distance
  logicalType: integer
  logicalTypeOptions: {minimum: 100, maximum: 2500}
- name: tailnum
  required: true
  quality: [{name: matches, metric: invalidValues, arguments: {pattern: "^N"}, mustBe: 0}]
""",
    )
    report = check(flights_file, contract)
    assert one(report, "isin").failed == expected["origin", "isin(['EWR', 'JFK'])"]
    assert one(report, "distance: range").failed == expected["distance", "in_range(100, 2500)"]
    assert one(report, "tailnum: required").failed == expected["tailnum", "not_nullable"]
    assert one(report, "matches").failed == expected["tailnum", "str_matches('^N')"]
    assert expected["flight", "field_uniqueness"] > 0


def test_foreign_keys_agree_with_duckdb(flights_file: str, tmp_path: Path) -> None:
    from tests import flights_data

    planes = flights_data.table("planes")
    contract = contract_of(tmp_path, "- name: tailnum\n  relationships: [{to: planes.tailnum}]")
    without = check(flights_file, contract)
    assert one(without, "tailnum: foreign key").verdict is Verdict.NOT_EVALUATED
    report = check(flights_file, contract, references={"planes": planes})
    flights = pq.read_table(flights_file, columns=["tailnum"])
    connection = duckdb.connect()
    connection.register("flights", flights)
    connection.register("planes", planes)
    query = "SELECT count(*) FROM flights WHERE tailnum IS NOT NULL AND tailnum NOT IN (SELECT tailnum FROM planes)"
    expected = connection.execute(query).fetchall()[0][0]
    assert one(report, "tailnum: foreign key").failed == expected == 50_094


def test_composite_foreign_keys(tmp_path: Path) -> None:
    weather = pa.table({"origin": ["EWR", "JFK"], "hour": [1, 2]})
    table = pa.table({"o": ["EWR", "EWR", None, "JFK"], "h": [1, 2, 7, 2]})
    text = "    relationships:\n      - {from: [t.o, t.h], to: [weather.origin, weather.hour]}\n"
    contract = contract_of(tmp_path, "- {name: o}\n- {name: h}", more=text)
    result = one(check(table, contract, references={"weather": weather}), "o, h: foreign key")
    assert (result.tested, result.failed) == (3, 1)
    assert result.sample[0].position.row == 1


def test_freshness_uses_the_given_clock(flights_file: str, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    contract = contract_of(
        tmp_path,
        "- {name: time_hour}",
        more="slaProperties:\n  - {property: freshness, value: 36, unit: h, element: t.time_hour}\n",
    )
    for hour, verdict in [(15, Verdict.PASS), (17, Verdict.FAIL)]:
        report = check(flights_file, contract, now=datetime(2014, 1, 2, hour, tzinfo=UTC))
        result = one(report, "time_hour: freshness")
        assert result.verdict is verdict
        assert result.value == (datetime(2014, 1, 2, hour) - datetime(2014, 1, 1, 4)).total_seconds()
        assert result.evidence == "metadata"


def test_one_failing_check_does_not_touch_the_others(random_table: pa.Table, tmp_path: Path) -> None:
    contract = contract_of(
        tmp_path,
        "- name: text\n  quality:\n    - {name: mean, type: custom, engine: mercury, "
        "implementation: {check: mean, mustBe: 1}}\n    - {name: nulls, metric: nullValues, mustBe: 0}\n- {name: gone}",
        "- {name: condition, type: custom, engine: mercury, implementation: 'nowhere > 1'}\n"
        "- {name: wrong, type: custom, engine: mercury, implementation: 'x + 1'}\n"
        "- {name: fine, type: custom, engine: mercury, implementation: 'x < 1000 OR isnan(x)'}",
    )
    verdicts = {result.check: result.verdict for result in check(random_table, contract).results}
    assert verdicts == {
        "text: present": Verdict.PASS,
        "mean": Verdict.ERROR,
        "nulls": Verdict.FAIL,
        "gone: present": Verdict.FAIL,
        "condition": Verdict.NOT_EVALUATED,
        "wrong": Verdict.ERROR,
        "fine": Verdict.PASS,
    }


@pytest.mark.parametrize(
    ("logical", "good", "bad"),
    [
        ("string", [pa.string(), pa.large_string()], [pa.int64()]),
        ("integer", [pa.int8(), pa.uint64(), pa.decimal128(9, 0)], [pa.float64(), pa.string()]),
        ("number", [pa.int64(), pa.float32(), pa.decimal128(9, 2)], [pa.string(), pa.bool_()]),
        ("boolean", [pa.bool_()], [pa.int8()]),
        ("date", [pa.date32()], [pa.timestamp("us")]),
        ("timestamp", [pa.timestamp("ns"), pa.timestamp("us", "UTC")], [pa.date32(), pa.string()]),
        ("array", [pa.list_(pa.int8())], [pa.int8()]),
        ("object", [pa.struct({"a": pa.int8()})], [pa.string()]),
    ],
)
def test_logical_types(tmp_path: Path, logical: str, good: list[pa.DataType], bad: list[pa.DataType]) -> None:
    contract = contract_of(tmp_path, f"- {{name: a, logicalType: {logical}}}")
    for kind, verdict in [*((k, Verdict.PASS) for k in good), *((k, Verdict.FAIL) for k in bad)]:
        report = check(pa.table({"a": pa.array([], kind)}), contract)
        assert one(report, "a: type").verdict is verdict, kind


def test_an_empty_table_has_nothing_to_fail_but_its_row_count(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, RULES, TABLE_RULES + "\n- {name: rows, metric: rowCount, mustBeGreaterThan: 0}")
    schema = {"id": pa.int64(), "day": pa.int64(), "x": pa.float64(), "text": pa.string(), "y": pa.int64()}
    report = check(pa.schema(schema).empty_table(), contract)
    failed = {result.check for result in report.results if result.verdict is Verdict.FAIL}
    # A statistic of nothing has no value that could be within bounds.
    assert failed == {"rows", "distinct", "mean", "std", "sum", "min", "max", "q90"}


def test_a_csv_file_is_judged_like_the_table(random_table: pa.Table, random_report: Report, tmp_path: Path) -> None:
    import pyarrow.csv as csv

    table = random_table.drop_columns(["text"])
    csv.write_csv(table, tmp_path / "t.csv")
    contract = contract_of(tmp_path, RULES, TABLE_RULES)
    report = check(open_source(tmp_path / "t.csv", column_types={"x": "number"}), contract)
    for name in ("nulls", "duplicates", "distinct", "x: range", "mean", "q90", "order", "compound", "condition"):
        assert one(report, name).value == pytest.approx(one(random_report, name).value, rel=1e-9), name
