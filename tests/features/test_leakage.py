"""The leakage audit on planted leaks and on the honest columns of real flights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from mercury.errors import DataError, SchemaError
from mercury.features.gain import GainOptions, roc_auc
from mercury.features.instants import UTC_MICROSECONDS
from mercury.features.leakage import AuditReport, History, audit
from tests import flights_data

SEED = 3


def examples(count: int = 4_000) -> pa.Table:
    print(f"seed {SEED}")
    random = np.random.default_rng(SEED)
    signal = random.normal(size=count)
    label = signal + 1.5 * random.normal(size=count) > 0
    return pa.table(
        {
            "at": pa.array(np.arange(count) * 1_000_000, UTC_MICROSECONDS),
            "y": label,
            "signal": signal,
            "noise": random.normal(size=count),
            "code": pa.array([f"c{number}" for number in random.integers(0, 5, count)]),
            "leak": np.where(label, 1.0, 0.0) + random.normal(size=count) * 0.6,
        }
    )


def leaks(report: AuditReport) -> dict[str, str]:
    return {finding.column: finding.check for finding in report.findings if finding.severity == "leak"}


def times(values: list[int | None]) -> pa.Array:
    return pa.array(values, UTC_MICROSECONDS)


def test_values_known_after_the_label_are_counted_cell_by_cell() -> None:
    training = pa.table(
        {
            "at": times([10, 20, 30, None]),
            "y": [0, 1, 0, 1],
            "a__ts": times([10, 21, None, 5]),
            "a__created": times([10, 21, None, 5]),
            "b__ts": times([9, 19, 29, 5]),
            "b__created": times([9, 26, 36, 5]),
        }
    )
    report = audit(training, label="y", event_time="at", columns=[], gain=None)
    assert leaks(report) == {"a": "availability", "b": "availability"}
    evidence = {finding.column: finding.evidence for finding in report.findings}
    assert (evidence["a"]["rows"], evidence["a"]["share"]) == (1, 0.5)
    assert (evidence["b"]["rows"], evidence["b"]["max_seconds"]) == (2, 6e-6)


def test_the_embargo_is_part_of_the_invariant() -> None:
    training = pa.table({"at": times([10, 20]), "y": [0, 1], "a__ts": times([5, 16]), "b__ts": times([5, 16])})
    for embargo, wrong in ((4, set()), (5, {"a", "b"}), ({"a": 9}, {"a"})):
        report = audit(training, label="y", event_time="at", columns=[], embargo=embargo, gain=None)
        assert set(leaks(report)) == wrong


def test_a_rebuilt_set_shows_what_differs() -> None:
    training = pa.table({"at": times([1, 2, 3]), "y": [0, 1, 0], "x": [1.0, None, float("nan")], "z": [1, 2, 3]})
    rebuilt = training.set_column(3, "z", pa.array([1, 2, None], pa.int64()))
    assert not audit(training, label="y", event_time="at", rebuilt=training, gain=None).findings
    report = audit(training, label="y", event_time="at", rebuilt=rebuilt, gain=None)
    assert leaks(report) == {"z": "rebuild"}
    assert report.findings[0].evidence == {"rows": 1, "share": pytest.approx(1 / 3), "first_row": 2}
    short = audit(training, label="y", event_time="at", rebuilt=training.slice(1), gain=None)
    assert leaks(short) == {"*": "rebuild"}


def test_columns_that_come_or_change_after_the_event_are_found() -> None:
    count = 200
    planned = [{"id": row, "at": 10, "known": 1, "gate": "A", "arrived": None, "plan": 5} for row in range(count)]
    ended = [
        {"id": row, "at": 10, "known": 50, "gate": "B" if row < 10 else "A", "arrived": row, "plan": 5}
        for row in range(count)
    ]
    rows = pa.Table.from_pylist(planned + ended)
    for name in ("at", "known"):
        rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(UTC_MICROSECONDS))
    history = History(rows, ["id"], "known", "at")
    training = pa.table({"at": times([10] * 2), "y": [0, 1], "gate": ["A"] * 2, "arrived": [1, 2], "plan": [5, 5]})
    report = audit(training, label="y", event_time="at", history=history, gain=None)
    found = {finding.column: (finding.severity, finding.evidence["changed_after"]) for finding in report.findings}
    assert found == {"arrived": ("leak", 1.0), "gate": ("warning", 0.05)}
    assert report.findings[0].evidence["null_before"] == 1.0


def test_a_column_that_gives_the_label_away_is_found_and_honest_ones_are_not() -> None:
    honest = ["signal", "noise", "code"]
    training = examples()
    options = GainOptions(trusted=honest, rounds=30)
    report = audit(training, label="y", event_time="at", columns=[*honest, "leak"], gain=options)
    assert leaks(report) == {"leak": "gain"}
    assert float(report.findings[0].evidence["gain"]) > 0.1
    assert audit(training, label="y", event_time="at", columns=honest, gain=options).findings == ()
    assert (
        audit(training, label="y", event_time="at", columns=["noise", "code"], gain=GainOptions(rounds=30)).findings
        == ()
    )


def test_two_harmless_columns_that_tell_together_are_found() -> None:
    training = examples()
    random = np.random.default_rng(SEED)
    mask = random.integers(0, 2, training.num_rows)
    training = training.append_column("mask", pa.array(mask))
    training = training.append_column("masked", pa.array(training["y"].cast(pa.int64()).to_numpy() ^ mask))
    columns = ["signal", "noise", "mask", "masked"]
    options = GainOptions(trusted=["signal", "noise"], rounds=30)
    report = audit(training, label="y", event_time="at", columns=columns, gain=options)
    assert leaks(report) == {"mask": "gain", "masked": "gain"}
    assert report.findings[0].evidence["with"] in ("mask", "masked")


def test_without_trusted_columns_a_perfect_set_is_a_finding_of_its_own() -> None:
    training = examples()
    training = training.append_column("copy", training["y"].cast(pa.int64()))
    report = audit(training, label="y", event_time="at", gain=GainOptions(rounds=10))
    assert leaks(report) == {"*": "gain", "copy": "gain"}
    assert report.columns == ("signal", "noise", "code", "leak", "copy")


def test_two_audits_give_the_same_report() -> None:
    options = GainOptions(trusted=["signal"], rounds=10, rows=1_000)
    first, second = (audit(examples(), label="y", event_time="at", gain=options).to_dict() for _ in range(2))
    assert first == second


def test_assert_clean_names_the_columns() -> None:
    training = pa.table({"at": times([10]), "y": [0], "a__ts": times([11])})
    report = audit(training, label="y", event_time="at", gain=None)
    assert report.has_leakage
    with pytest.raises(DataError, match="1 of 0 columns leak: a"):
        report.assert_clean()
    audit(training.drop_columns(["a__ts"]), label="y", event_time="at", gain=None).assert_clean()


def test_what_is_wrong_is_named() -> None:
    training = examples(100)
    with pytest.raises(SchemaError, match="no column 'yy'"):
        audit(training, label="yy", event_time="at")
    with pytest.raises(DataError, match="too few"):
        audit(training.slice(0, 20), label="y", event_time="at")
    with pytest.raises(DataError, match="other than 0 and 1"):
        audit(training.append_column("z", pa.array(range(100))), label="z", event_time="at")


def test_auc_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(SEED)
    target = random.integers(0, 2, 500).astype(bool)
    score = np.round(random.normal(size=500) + target, 1)
    assert roc_auc(target, score) == pytest.approx(roc_auc_score(target, score), abs=1e-12)


HONEST = [
    *("carrier", "origin", "dest", "hour", "dow", "month", "distance"),
    *("plane_age", "seats", "temp", "wind_speed", "precip", "visib"),
]
PLANTED = ["arr_time", "air_time", "dep_delay", "dep_time"]


@pytest.fixture(scope="module")
def flight_examples(flights: pa.Table) -> pa.Table:
    """Each flight at its scheduled departure, with the plane and the hour's weather."""
    planes = (
        flights_data.table("planes").select(["tailnum", "year", "seats"]).rename_columns(["tailnum", "built", "seats"])
    )
    names = ["temp", "wind_speed", "precip", "visib"]
    weather = flights_data.table("weather").group_by(["origin", "time_hour"])
    hourly = weather.aggregate([(name, "max") for name in names]).rename_columns(["origin", "time_hour", *names])
    table = flights.join(planes, "tailnum").join(hourly, ["origin", "time_hour"])
    minutes = pc.multiply(table["minute"], 60_000_000).cast(pa.duration("us"))
    columns: dict[str, Any] = {
        "sched_dep": pc.add(table["time_hour"], minutes),
        "late": pc.greater(table["arr_delay"], 15),
        "dow": pc.day_of_week(table["time_hour"]),
        "plane_age": pc.subtract(2013, table["built"].cast(pa.int64())),
    }
    for name, column in columns.items():
        table = table.append_column(name, column)
    # A join gives its rows in any order.
    return table.sort_by([(name, "ascending") for name in ("sched_dep", "carrier", "flight")])


@pytest.mark.slow
def test_every_planted_leak_in_real_flights_is_found_and_no_honest_column(flight_examples: pa.Table) -> None:
    report = audit(
        flight_examples,
        label="late",
        event_time="sched_dep",
        columns=HONEST + PLANTED,
        gain=GainOptions(trusted=HONEST),
    )
    assert set(report.leaking) == set(PLANTED)
    with pytest.raises(DataError, match="4 of 17 columns leak"):
        report.assert_clean()
    honest = audit(flight_examples, label="late", event_time="sched_dep", columns=HONEST)
    assert honest.findings == ()
    mixed = audit(flight_examples, label="late", event_time="sched_dep", columns=HONEST + PLANTED)
    # Without knowing whom to trust it cannot say which columns leak, but that the set is too good to be true.
    assert [finding.column for finding in mixed.findings] == ["*"]
