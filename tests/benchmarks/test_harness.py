"""The harness counts what it says it counts; nothing here asserts on speed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import harness, report
from benchmarks.harness import BenchmarkError, Contender, Task
from benchmarks.summaries import benchmark, data

SPIN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_cpu_of_a_grandchild_is_counted() -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN.format(seconds=0.8)!r}])"

    measured = harness.measure(python(child))

    assert measured.returncode == 0
    assert 0.75 < measured.cpu < 1.6


def test_cpu_of_a_child_that_nobody_waits_for_is_counted() -> None:
    child = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', {SPIN.format(seconds=0.8)!r} + 'import time; time.sleep(0.6)'])\n"
        "time.sleep(2.5)\n"
    )

    assert 0.75 < harness.measure(python(child)).cpu < 1.6


def test_sleeping_costs_wall_clock_and_no_cpu() -> None:
    measured = harness.measure(python("import time; time.sleep(0.7)"))

    assert measured.wall > 0.7
    assert measured.cpu < 0.4


def test_the_peak_holds_what_was_allocated_for_a_moment() -> None:
    measured = harness.measure(python("x = b'x' * (200 << 20); import time; time.sleep(0.4); del x; time.sleep(0.2)"))

    assert 200 << 20 < measured.memory < 300 << 20


def _contender(name: str, value: int, *, compared: bool = True) -> Contender:
    code = (
        "import sys, json, pathlib\n"
        f"pathlib.Path(sys.argv[1]).write_text('{value}')\n"
        "pathlib.Path(sys.argv[2]).write_text(json.dumps({'wall_seconds': 2.0, 'cpu_seconds': 1.0}))\n"
    )
    return Contender(name, python(code), compared=compared)


def _same(one: Path, other: Path) -> str | None:
    return None if one.read_text() == other.read_text() else f"{one.read_text()} and {other.read_text()}"


def test_contenders_alternate_and_their_figures_are_spread(tmp_path: Path) -> None:
    said: list[str] = []
    task = Task("t", 500, [_contender("a", 1), _contender("b", 1)], _same)

    rows = harness.run(task, tmp_path, repeat=2, say=said.append)

    assert [line.split()[2].rstrip(":") for line in said] == ["a", "b", "a", "b"]
    assert [(row["contender"], row["rows_per_cpu_second"], row["cpu_ratio"]) for row in rows] == [
        ("a", 500, 1.0),
        ("b", 500, 1.0),
    ]
    assert rows[0]["work_wall_seconds"] == {"min": 2.0, "median": 2.0, "max": 2.0}


def test_another_answer_than_the_baselines_fails_the_run(tmp_path: Path) -> None:
    task = Task("t", 1, [_contender("a", 1), _contender("b", 2)], _same)
    with pytest.raises(BenchmarkError, match="t: b and a differ: 1 and 2"):
        harness.run(task, tmp_path, repeat=1, say=str)

    apart = Task("t", 1, [_contender("a", 1), _contender("b", 2, compared=False)], _same)
    assert len(harness.run(apart, tmp_path, repeat=1, say=str)) == 2


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
    file = data.write(tmp_path / "rows.parquet", 30_000)
    script = str(benchmark.HERE / "mercury_run.py")
    duckdb = str(benchmark.HERE / "duckdb_run.py")
    for task in ("exact", "sketches"):
        contenders = [
            Contender(engine, [sys.executable, script, engine, task, str(file)], benchmark.ONE_THREAD)
            for engine in ("arrow", "duckdb")
        ]
        contenders.append(
            Contender("peer", [sys.executable, duckdb, task, str(file)], benchmark.ONE_THREAD, task == "exact")
        )
        rows = harness.run(Task(task, 30_000, contenders, benchmark.compare), tmp_path, repeat=1, say=str)
        assert [row["contender"] for row in rows] == ["arrow", "duckdb", "peer"]
    truth = benchmark._truth(sys.executable, file, tmp_path)
    errors = benchmark._errors(truth, pq.read_table(tmp_path / "sketches-arrow.parquet"))
    benchmark._check_bounds("mercury-arrow", errors)
    assert errors["p50"] > 0
    with pytest.raises(BenchmarkError, match=r"p99 is off by 0\.0200"):
        benchmark._check_bounds("mercury-arrow", {**errors, "p99": 0.02})


def test_results_are_kept_as_json_and_as_a_table(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"# Own text\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n")
    spread = {"min": 1.0, "median": 2.0, "max": 3.0}
    row = {
        "task": "exact",
        "contender": "duckdb",
        "rows_per_cpu_second": 5_000_000,
        "cpu_ratio": 1.0,
        **dict.fromkeys(("work_cpu_seconds", "process_cpu_seconds", "peak_memory_mib"), spread),
    }

    report.save(tmp_path, {"rows": 10_000_000, "threads": 1, "figures": [row], "versions": {"duckdb": "2"}}, "cmd")

    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# Own text\n") and text.endswith("\n\nafter\n") and "old" not in text
    assert "| duckdb | 5,000,000 | 2.00 (1.00 to 3.00) | 1.00 | 2.00 | 2 |" in text
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["figures"] == [row]
    assert document["machine"]["cores"] >= 1
