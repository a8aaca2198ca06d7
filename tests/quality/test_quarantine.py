"""The quarantine splits rows into good and bad, with reasons and positions, and agrees with the row verdicts."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mercury.errors import DiskFullError, SchemaError
from mercury.quality import Contract, load_contract
from mercury.quality.opening import open_source
from mercury.quality.quarantine import quarantine
from mercury.quality.source import ArrowSource
from tests.quality.contracts import contract_of
from tests.quality.events import batch, event

RULES = """
- name: id
  primaryKey: true
- name: x
  logicalType: integer
  logicalTypeOptions: {minimum: 0}
- name: secret
  classification: restricted
  logicalType: string
  logicalTypeOptions: {maxLength: 3}
  quality:
    - {name: some, metric: nullValues, mustBeLessThan: 50, unit: percent}
"""


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    return contract_of(tmp_path, RULES)


@pytest.fixture
def table() -> pa.Table:
    return pa.table(
        {
            "id": [1, 2, 2, None, 5, 1, 7],
            "x": pa.array([0, -1, 3, 4, None, 6, 7]),
            "secret": ["a", "bb", "ccc", "dd", None, "f", "topsecret"],
        }
    )


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_bad_rows_carry_all_their_reasons_and_their_place(
    contract: Contract, table: pa.Table, tmp_path: Path, rows: int
) -> None:
    split = quarantine(ArrowSource(table, rows=rows), contract, tmp_path / "q", good=True)
    bad = pq.read_table(split.bad_path).to_pylist()
    assert [(row["_row"], row["_errors"]) for row in bad] == [
        (2, ["x is not ≥ 0"]),
        (3, ["id was there before"]),
        (4, ["id is null"]),
        (6, ["id was there before"]),
        (7, ["secret is not length ≤ 3"]),
    ]
    assert bad[0]["x"] == -1 and bad[0]["_file"] == "<table>"
    assert pq.read_schema(split.bad_path).metadata[b"mercury.quarantine.format"] == b"1"
    assert (split.bad_rows, split.good_rows, split.written_rows) == (5, 2, 5)
    assert split.good_path is not None
    assert pq.read_table(split.good_path).equals(table.take([0, 4]))


def test_the_cap_limits_what_is_written_and_never_the_count(contract: Contract, tmp_path: Path) -> None:
    table = pa.table({"id": range(100), "x": [-1] * 90 + [1] * 10, "secret": ["a"] * 95 + ["long!"] * 5})
    split = quarantine(ArrowSource(table, rows=7), contract, tmp_path / "q", cap=3)
    assert (split.bad_rows, split.written_rows) == (95, 6)
    assert split.per_check == {"x: range": 90, "secret: length": 5}


def test_good_and_bad_agree_with_the_stream_and_with_duckdb(tmp_path: Path) -> None:
    seed = 99
    print("seed", seed)
    random = np.random.default_rng(seed)
    carriers, delays = ["UA", "ZZ", "AA", None], [None, 5.0, 9000.0, -30.0]
    events = [
        event(
            carrier=carriers[a],
            dep_delay=delays[b],
            event_id=f"UA{n % 9999}-EWR-20130101/departure",
            flight_id=f"UA{n % 9999}-EWR-20130101",
        )
        for n, (a, b) in enumerate(random.integers(0, 4, (500, 2)).tolist(), 1)
    ]
    table = batch(*events)
    contract = load_contract("examples/flights/contracts/flights.odcs.yaml")
    pq.write_table(table, tmp_path / "events.parquet", row_group_size=64)
    split = quarantine(open_source(tmp_path / "events.parquet"), contract, tmp_path / "q", good=True)
    connection = duckdb.connect()
    connection.register("t", table)
    query = """SELECT count(*) FROM t WHERE NOT (carrier IS NOT NULL AND carrier IN ('UA', 'AA')
               AND (dep_delay IS NULL OR dep_delay BETWEEN -120 AND 3000))"""
    assert split.bad_rows == connection.execute(query).fetchall()[0][0] > 0
    assert split.good_path is not None
    good = contract.validate(table).good
    assert pq.read_table(split.good_path)["event_id"].equals(table.filter(good)["event_id"])


def test_reasons_hold_no_value_of_a_sensitive_column(contract: Contract, table: pa.Table, tmp_path: Path) -> None:
    split = quarantine(ArrowSource(table), contract, tmp_path / "q")
    reasons = [reason for row in pq.read_table(split.bad_path)["_errors"].to_pylist() for reason in row]
    assert not any("topsecret" in reason for reason in reasons)


def test_checks_that_cannot_judge_are_named(contract: Contract, tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2], "x": ["no", "number"]})
    split = quarantine(ArrowSource(table), contract, tmp_path / "q")
    assert sorted(split.not_applied) == ["secret: length", "x: range"]
    assert split.bad_rows == 0


def test_nothing_is_visible_when_it_fails_halfway(
    contract: Contract, table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ArrowSource(table, rows=2)
    read = ArrowSource.read

    def failing(self: ArrowSource, part, columns):  # type: ignore[no-untyped-def]
        if part.start >= 4 and len(columns) == 3:
            raise OSError(28, "No space left on device")
        return read(self, part, columns)

    monkeypatch.setattr(ArrowSource, "read", failing)
    with pytest.raises(DiskFullError, match="no room for the quarantine after 4 rows"):
        quarantine(source, contract, tmp_path / "q", good=True)
    assert list((tmp_path / "q").iterdir()) == []


def test_data_with_a_column_of_the_same_name_is_refused(contract: Contract, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="_errors"):
        quarantine(ArrowSource(pa.table({"_errors": [1]})), contract, tmp_path / "q")
