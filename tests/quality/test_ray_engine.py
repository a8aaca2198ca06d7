"""Plain Ray tasks over ranges give the results of one process, and never import ray.data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mercury.quality import load_contract
from mercury.quality.engines.arrow import scan
from mercury.quality.engines.ray_tasks import groups, scan_on_ray
from mercury.quality.opening import open_source
from mercury.quality.plan import plan
from mercury.quality.run import check
from mercury.quality.source import Range
from tests.quality.history import history

HISTORY = "examples/flights/contracts/flights_history.odcs.yaml"


def test_groups_are_consecutive_and_bounded() -> None:
    ranges = [Range(0, number, number, 1, size) for number, size in enumerate([5, 5, 20, 1, 1, 9, 9])]
    found = groups(ranges, 10)
    assert [part for group in found for part in group] == ranges
    assert [sum(part.size for part in group) for group in found] == [10, 20, 2, 9, 9]
    assert groups([], 10) == []


@pytest.mark.ray
def test_ray_tasks_agree_with_one_process(tmp_path: Path, ray_local: Any) -> None:
    pq.write_table(history(), tmp_path / "flights.parquet", row_group_size=20_000)
    contract = load_contract(HISTORY)
    source = open_source(tmp_path / "flights.parquet")
    wanted = plan(contract.checks, source.schema)
    here = scan(wanted, source, source.ranges())
    there = scan_on_ray(wanted, source, source.ranges(), task_bytes=4 << 20)
    assert (there.rows, there.scanned, there.size) == (here.rows, here.scanned, here.size)
    for metric, state in here.states.items():
        if type(state).__name__ == "MomentsState":
            assert there.states[metric].mean == pytest.approx(state.mean, rel=1e-12)
            assert there.states[metric].m2 == pytest.approx(state.m2, rel=1e-12)
        else:
            assert there.states[metric] == state, metric
    report = check(source, contract, engine="ray")
    assert (report.engine, report.verdict.value, report.rows) == ("ray", "pass", 336_776)
