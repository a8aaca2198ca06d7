"""Footers answer what their statistics prove, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.quality import Report, Result, Verdict
from mercury.quality.run import check
from tests.quality.contracts import contract_of
from tests.quality.history import history

RANGE = """
- name: a
  logicalType: number
  required: true
  logicalTypeOptions: {minimum: 0, maximum: 100}
"""


def one(report: Report, name: str) -> Result:
    (found,) = [result for result in report.results if result.check == name]
    return found


def checked(folder: Path, table: pa.Table, properties: str = RANGE, **options: Any) -> Report:
    pq.write_table(table, folder / "t.parquet", **options)
    return check(str(folder / "t.parquet"), contract_of(folder, properties))


def test_ranges_of_integers_and_times_are_proven_without_reading(tmp_path: Path) -> None:
    properties = """
- {name: hour, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 23}}
- {name: time_hour, logicalType: timestamp, required: true, logicalTypeOptions: {minimum: "2013-01-01T00:00:00Z"}}
- {name: dep_delay, logicalType: integer, logicalTypeOptions: {minimum: -120, maximum: 3000}}
"""
    report = checked(tmp_path, history(), properties, row_group_size=100_000)
    assert {result.evidence for result in report.results} == {"metadata", "schema"}
    assert report.bytes_read == 0
    assert one(report, "dep_delay: range").tested == 336_776 - 8_255


def test_only_row_groups_that_may_fail_are_read(tmp_path: Path) -> None:
    values = np.arange(1_000) % 100
    values[950] = 777
    report = checked(tmp_path, pa.table({"a": values}), row_group_size=100)
    result = one(report, "a: range")
    assert (result.failed, result.tested, result.evidence) == (1, 1_000, "scan")
    assert result.sample[0].position.row == 950
    assert 800 <= report.bytes_read <= 900


@pytest.mark.parametrize("options", [{"write_statistics": False}, {"write_statistics": ["other"]}])
def test_without_statistics_the_data_is_read(tmp_path: Path, options: dict[str, Any]) -> None:
    table = pa.table({"a": pa.array([1, 200, None]), "other": [1, 2, 3]})
    report = checked(tmp_path, table, **options)
    assert (one(report, "a: range").failed, one(report, "a: range").evidence) == (1, "scan")
    assert (one(report, "a: required").failed, one(report, "a: required").evidence) == (1, "scan")


def test_statistics_of_floats_prove_no_range_because_they_leave_nan_out(tmp_path: Path) -> None:
    report = checked(tmp_path, pa.table({"a": [1.0, float("nan"), 99.0]}))
    assert (one(report, "a: range").failed, one(report, "a: range").evidence) == (1, "scan")
    assert one(report, "a: required").failed == 0


def test_zero_and_minus_zero_are_one_value(tmp_path: Path) -> None:
    properties = (
        RANGE
        + """  unique: true
  quality:
    - {name: set, metric: invalidValues, arguments: {validValues: [0.0]}, mustBe: 0}
    - {name: least, type: custom, engine: mercury, implementation: {check: min, mustBe: 0}}
"""
    )
    report = checked(tmp_path, pa.table({"a": [0.0, -0.0]}), properties)
    assert one(report, "a: range").failed == 0
    assert one(report, "set").failed == 0
    assert one(report, "least").verdict is Verdict.PASS
    assert one(report, "a: unique").failed == 1


def test_truncated_statistics_of_text_are_never_an_answer(tmp_path: Path) -> None:
    long = "z" * 500
    properties = """
- name: a
  quality:
    - {name: greatest, type: custom, engine: mercury, implementation: {check: distinct, mustBe: 2}}
    - {name: length, metric: invalidValues, arguments: {pattern: "^.{1,499}$"}, mustBe: 0}
"""
    report = checked(tmp_path, pa.table({"a": ["a", long]}), properties)
    assert (one(report, "length").failed, one(report, "length").evidence) == (1, "scan")
    from mercury.quality.metrics import Extremes
    from mercury.quality.parquet_source import ParquetSource

    source = ParquetSource("t", [str(tmp_path / "t.parquet")])
    footer = source.footer(source.ranges()[0])
    assert footer is not None and Extremes("a").from_footer(footer) is None


def test_null_counts_are_exact_and_failures_are_sampled_by_reading_their_groups(tmp_path: Path) -> None:
    values = [None if row in (350, 351, 990) else row for row in range(1_000)]
    properties = "- name: a\n  required: true"
    report = checked(tmp_path, pa.table({"a": values}), properties, row_group_size=100)
    result = one(report, "a: required")
    assert (result.failed, result.evidence) == (3, "metadata")
    assert [sample.position.row for sample in result.sample] == [350, 351, 990]


def test_an_all_null_group_has_no_bounds_and_nothing_to_fail(tmp_path: Path) -> None:
    report = checked(tmp_path, pa.table({"a": pa.array([None] * 10, pa.int64())}))
    assert (one(report, "a: range").tested, one(report, "a: range").failed) == (0, 0)
    assert one(report, "a: required").failed == 10


@pytest.mark.parametrize(
    ("unit", "version"), [("s", "2.6"), ("ms", "2.6"), ("us", "1.0"), ("ns", "2.6"), ("ns", "1.0")]
)
def test_times_are_bounded_rightly_however_they_are_stored(tmp_path: Path, unit: str, version: str) -> None:
    values = pa.array([1_356_998_400, 1_388_534_399, None]).cast(pa.timestamp("s")).cast(pa.timestamp(unit))
    options = '{minimum: "2013-01-01", exclusiveMaximum: "2014-01-01"}'
    properties = f"- name: a\n  logicalType: timestamp\n  logicalTypeOptions: {options}"
    report = checked(tmp_path, pa.table({"a": values}), properties, version=version)
    assert (one(report, "a: range").failed, one(report, "a: range").tested) == (0, 2)
    late = pa.array([1_388_534_400]).cast(pa.timestamp("s")).cast(pa.timestamp(unit))
    report = checked(tmp_path, pa.table({"a": late}), properties, version=version)
    assert one(report, "a: range").failed == 1


def test_legacy_96_bit_times_are_read(tmp_path: Path) -> None:
    values = pa.array([1_356_998_400]).cast(pa.timestamp("s")).cast(pa.timestamp("ns"))
    properties = '- name: a\n  logicalType: timestamp\n  logicalTypeOptions: {minimum: "2013-01-01"}'
    report = checked(tmp_path, pa.table({"a": values}), properties, use_deprecated_int96_timestamps=True)
    assert (one(report, "a: range").failed, one(report, "a: range").evidence) == (0, "scan")


@pytest.mark.parametrize("kind", [pa.uint8(), pa.uint32(), pa.uint64(), pa.int8(), pa.date32()])
def test_unsigned_and_small_integers(tmp_path: Path, kind: pa.DataType) -> None:
    great = {pa.uint8(): 255, pa.uint32(): 2**32 - 1, pa.uint64(): 2**64 - 1}.get(kind, 101)
    properties = RANGE
    if pa.types.is_date(kind):
        properties = '- name: a\n  logicalType: date\n  required: true\n  logicalTypeOptions: {maximum: "1970-03-01"}'
    report = checked(tmp_path, pa.table({"a": pa.array([1, great], kind)}), properties)
    assert one(report, "a: range").failed == 1


def test_nested_columns_do_not_lend_their_leaves_statistics(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([{"b": None}, {"b": 1}, None]), "b": [5, 6, 7]})
    report = checked(tmp_path, table, "- {name: a, required: true}\n- {name: b, required: true}")
    assert one(report, "a: required").failed == 1
    assert one(report, "b: required").failed == 0
