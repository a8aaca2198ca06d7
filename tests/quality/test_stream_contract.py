"""The contract of the flights stream: honest events pass, and each way to break it is caught and named."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mercury.errors import SchemaError
from mercury.quality import Contract, load_contract, stream_check
from mercury.quality.run import check as run_check
from tests.quality.events import batch, event

CONTRACT = Path("examples/flights/contracts/flights.odcs.yaml")


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(CONTRACT)


@pytest.mark.parametrize("kind", ["departure", "arrival", "cancellation"])
def test_honest_events_of_each_kind_pass(contract: Contract, kind: str) -> None:
    verdicts = contract.validate(batch(event(kind)))
    assert verdicts.good.to_pylist() == [True], verdicts.failures.to_pylist()


@pytest.mark.parametrize(
    "changes",
    [
        {"tailnum": None},
        {"dep_delay": None},
        {"dep_delay": -43.0},
        {"dep_delay": -120.0},
        {"dep_delay": 3000.0},
        {"distance": 0.5},
        {"air_time": None, "arr_delay": None},
    ],
)
def test_what_may_be_unknown_or_extreme_passes(contract: Contract, changes: dict[str, Any]) -> None:
    verdicts = contract.validate(batch(event("arrival", **changes)))
    assert verdicts.good.to_pylist() == [True], verdicts.failures.to_pylist()


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"carrier": "ZZ"}, "carrier"),
        ({"carrier": None}, "carrier"),
        ({"carrier": "ua"}, "carrier"),
        ({"origin": "BOS", "flight_id": "UA1545-BOS-20130101"}, "origin"),
        ({"distance": 0.0}, "distance"),
        ({"distance": -5.0}, "distance"),
        ({"distance": float("nan")}, "distance"),
        ({"distance": None}, "distance"),
        ({"dep_delay": -120.5}, "dep_delay"),
        ({"dep_delay": 3000.1}, "dep_delay"),
        ({"dep_delay": float("inf")}, "dep_delay"),
        ({"kind": "teleport"}, "kind"),
        ({"kind": ""}, "kind"),
        ({"event_id": "x"}, "event_id"),
        ({"event_id": None}, "event_id"),
        ({"ts": None}, "ts"),
        ({"dest": "EWR"}, "dest,origin"),
        ({"flight": 0}, "flight"),
        ({"tailnum": "N"}, "tailnum"),
    ],
)
def test_an_event_that_breaks_a_rule_is_bad_and_names_its_column(
    contract: Contract, changes: dict[str, Any], column: str
) -> None:
    verdicts = contract.validate(batch(event(), event("departure", **changes), event()))
    assert verdicts.good.to_pylist() == [True, False, True]
    assert verdicts.bad_rows == 1
    assert set(verdicts.failures["row"].to_pylist()) == {1}
    assert column in verdicts.failures["column"].to_pylist()


def test_reasons_say_what_was_demanded_and_are_null_for_good_rows(contract: Contract) -> None:
    good, reasons = stream_check(contract)(batch(event(), event("departure", carrier="ZZ", distance=0.0)))
    assert good.to_pylist() == [True, False]
    assert reasons.type == pa.string()
    assert reasons[0].as_py() is None
    told = reasons[1].as_py()
    assert "carrier is not one of 9E, AA" in told and "distance is not > 0 and ≤ 12500" in told
    assert "ZZ" not in told


def test_a_warning_does_not_make_an_event_bad(contract: Contract) -> None:
    verdicts = contract.validate(batch(event("cancellation", arr_delay=5.0)))
    assert verdicts.good.to_pylist() == [True]


def test_empty_and_chunked_and_sliced_batches_are_judged_alike(contract: Contract) -> None:
    rows = [event(), event("arrival", dep_delay=9999.0), event("cancellation"), event("departure", kind="?")]
    whole = batch(*rows)
    assert contract.validate(whole.slice(0, 0)).good.to_pylist() == []
    expected = contract.validate(whole).good.to_pylist()
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 3)])
    assert contract.validate(chunked).good.to_pylist() == expected == [True, False, True, False]
    assert contract.validate(chunked.slice(1, 2)).good.to_pylist() == expected[1:3]
    assert contract.validate(whole.to_batches()[0]).good.to_pylist() == expected


def test_a_batch_without_a_column_is_a_fault_of_the_pipeline(contract: Contract) -> None:
    with pytest.raises(SchemaError, match="carrier"):
        contract.validate(batch(event()).drop_columns(["carrier"]))


def test_a_batch_with_a_column_of_another_type_is_a_fault_of_the_pipeline(contract: Contract) -> None:
    table = batch(event())
    text = table.set_column(table.column_names.index("dep_delay"), "dep_delay", pa.array(["late"]))
    with pytest.raises(SchemaError, match=r"dep_delay: range.*line \d+"):
        contract.validate(text)


def test_the_check_can_be_sent_to_another_process(contract: Contract) -> None:
    check = pickle.loads(pickle.dumps(stream_check(contract)))
    assert check(batch(event(), event(carrier="ZZ")))[0].to_pylist() == [True, False]


def test_the_same_contract_judges_the_rows_as_a_table(contract: Contract) -> None:
    report = run_check(batch(event(), event("arrival"), event("cancellation", event_id="x")), contract)
    failed = {result.check: result.failed for result in report.results if result.verdict.value == "fail"}
    assert failed == {"event_id: pattern": 1, "the event belongs to its flight": 1}
    copies = run_check(batch(event(), event()), contract)
    assert [result.check for result in copies.results if result.verdict.value == "fail"] == ["event_id: primary key"]
