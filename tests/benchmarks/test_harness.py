"""The harness counts what it says it counts; nothing here asserts on speed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import harness, report
from benchmarks.harness import BenchmarkError, Contender, Task
from benchmarks.launcher import TIMED_OUT
from benchmarks.summaries import benchmark, data

SPIN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_cpu_of_a_grandchild_is_counted() -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN.format(seconds=0.8)!r}])"

    measured = harness.measure(python(child))

    assert measured.returncode == 0
    assert 0.75 < measured.cpu < 1.6


def test_cpu_of_what_outlives_its_parent_is_counted_and_nothing_is_left(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    daemon = f"import os, pathlib; pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\n{SPIN.format(seconds=0.8)}"
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {daemon!r}], start_new_session=True)"

    measured = harness.measure(python(child))

    assert 0.75 < measured.cpu < 1.6
    assert not Path(f"/proc/{pid.read_text()}").exists()


def test_a_command_past_its_time_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    sleeper = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)"
    child = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {sleeper!r}]); time.sleep(60)"

    measured = harness.measure(python(child), timeout=3)

    assert measured.returncode == TIMED_OUT
    assert measured.wall < 30
    assert not Path(f"/proc/{pid.read_text()}").exists()


def test_sleeping_costs_wall_clock_and_no_cpu() -> None:
    measured = harness.measure(python("import time; time.sleep(0.7)"))

    assert measured.wall > 0.7
    assert measured.cpu < 0.4


def test_the_peak_holds_what_was_allocated_for_a_moment() -> None:
    measured = harness.measure(python("x = b'x' * (200 << 20); import time; time.sleep(0.4); del x; time.sleep(0.2)"))

    assert 200 << 20 < measured.memory < 300 << 20


def _contender(name: str, value: int, kind: str | None = "exact") -> Contender:
    code = (
        "import sys, json, pathlib\n"
        f"pathlib.Path(sys.argv[1]).write_text('{value}')\n"
        "pathlib.Path(sys.argv[2]).write_text(json.dumps({'wall_seconds': 2.0, 'cpu_seconds': 1.0}))\n"
    )
    return Contender(name, python(code), kind=kind)


def _same(one: Path, other: Path) -> str | None:
    return None if one.read_text() == other.read_text() else f"{one.read_text()} and {other.read_text()}"


def test_contenders_alternate_and_their_figures_are_spread(tmp_path: Path) -> None:
    said: list[str] = []
    task = Task("t", 500, [_contender("a", 1), _contender("b", 1)], _same)

    rows = harness.run(task, tmp_path, repeat=2, say=said.append)

    assert [line.split()[2].rstrip(":") for line in said] == ["a", "b", "a", "b"]
    assert [(row["contender"], row["rows_per_cpu_second"], row["rows_per_wall_second"]) for row in rows] == [
        ("a", 500, 250),
        ("b", 500, 250),
    ]
    assert rows[0]["work_wall_seconds"] == {"min": 2.0, "median": 2.0, "max": 2.0}
    assert rows[1]["cpu_ratio"] == {"min": 1.0, "median": 1.0, "max": 1.0}


def test_another_answer_of_the_same_kind_fails_the_run(tmp_path: Path) -> None:
    task = Task("t", 1, [_contender("a", 1), _contender("b", 2)], _same)
    with pytest.raises(BenchmarkError, match="t: a and b differ: 1 and 2"):
        harness.run(task, tmp_path, repeat=1, say=str)

    apart = Task("t", 1, [_contender("a", 1), _contender("b", 2, None), _contender("c", 3, "other")], _same)
    assert len(harness.run(apart, tmp_path, repeat=1, say=str)) == 3


def test_an_answer_beyond_its_bounds_fails_the_run(tmp_path: Path) -> None:
    def below_two(name: str, answer: Path) -> str | None:
        return None if answer.read_text() < "2" else f"{name} says {answer.read_text()}"

    task = Task("t", 1, [_contender("a", 1), _contender("b", 2, None)], _same, below_two)
    with pytest.raises(BenchmarkError, match="t: b: b says 2"):
        harness.run(task, tmp_path, repeat=1, say=str)


def test_a_command_that_fails_is_told_with_its_output(tmp_path: Path) -> None:
    task = Task("t", 1, [Contender("a", python("raise SystemExit('no such file')"))], _same)

    with pytest.raises(BenchmarkError, match="a failed\nno such file"):
        harness.run(task, tmp_path, repeat=1, say=str)


def test_answers_are_compared_by_value(tmp_path: Path) -> None:
    def written(name: str, mean: float, miles: int) -> Path:
        table = pa.table({"carrier": ["A", "B"], "mean": [1.0, mean], "miles": [3, miles]})
        pq.write_table(table, tmp_path / name)
        return tmp_path / name

    first = written("first", 2.0, 5)
    assert benchmark.compare(first, written("close", 2.0 + 1e-12, 5)) is None
    assert benchmark.compare(first, written("far", 2.0 + 1e-6, 5)) == "row 1, mean: 2.0 and 2.000001"
    assert benchmark.compare(first, written("miles", 2.0, 6)) == "row 1, miles: 5 and 6"


def test_our_engines_agree_on_the_benchmarks_own_work(tmp_path: Path) -> None:
    rows = 30_000
    file = data.write(tmp_path / "rows.parquet", rows)
    truth = benchmark.exact_answer(sys.executable, file, tmp_path)
    pythons = {"duckdb": sys.executable}
    for name in benchmark.TASKS:
        contenders = [
            benchmark._contender(contender, name, file, 1, pythons)
            for contender in ("duckdb", "mercury-arrow", "mercury-duckdb")
        ]
        task = Task(name, rows, contenders, benchmark.compare)
        assert len(harness.run(task, tmp_path, repeat=1, say=str)) == 3

    found = pq.read_table(harness.answer_path(tmp_path, task, "mercury-arrow"))
    assert benchmark.beyond_bounds("mercury-arrow", truth, found) is None
    assert benchmark.sketch_errors(truth, found)["p50"] > 0
    far = found.set_column(found.schema.get_field_index("p99"), "p99", pc.multiply(found["p99"], 1.02))
    assert (benchmark.beyond_bounds("mercury-arrow", truth, far) or "").startswith("p99 is off by 0.0")
    other = pc.multiply(found["p50"], 2.0)
    assert benchmark.beyond_bounds("polars", truth, found.set_column(2, "p50", other)) is not None
    assert benchmark.beyond_bounds("polars", truth, found.slice(1)) is not None


def test_results_are_kept_as_json_and_as_a_table(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"# Own text\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n")
    row = harness._figures(
        Task("exact", 10_000_000, [], _same),
        "duckdb",
        [harness._Run(harness.Measured(4.0, 3.0, 5 << 20, 0, ""), 2.0, 2.5)],
        [harness._Run(harness.Measured(4.0, 3.0, 5 << 20, 0, ""), 4.0, 2.5)],
    )
    document = report.about("cmd") | {"rows": 10_000_000, "figures": [row], "versions": {"duckdb": "2"}}

    report.save(tmp_path, document)

    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# Own text\n") and text.endswith("\n\nafter\n") and "old" not in text
    half, one = "0.50 (0.50 to 0.50)", "2.00 (2.00 to 2.00)"
    assert f"| duckdb | 5,000,000 | 4,000,000 | {one} | 2.50 (2.50 to 2.50) | {half} | 1.00 | 1.00 | 1.50 | 5 |" in text
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["figures"] == [row]
    assert kept["machine"]["cores"] >= 1
