"""`mercury quality` as a user runs it: output, files, exit codes, errors of one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from mercury.cli import LazyGroup, cli, main
from mercury.errors import MercuryError
from mercury.quality import load_contract
from mercury.quality.opening import open_source
from mercury.quality.run import check
from mercury.quality.source import Range
from tests.quality.contracts import contract_text
from tests.quality.history import history

HISTORY = "examples/flights/contracts/flights_history.odcs.yaml"

CONTRACT = """
- name: x
  logicalType: integer
  required: true
  logicalTypeOptions: {minimum: 0}
  quality:
    - {name: few, metric: nullValues, mustBe: 0, severity: warning}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(contract_text(CONTRACT))
    pq.write_table(pa.table({"x": [1, 2, 3]}), "good.parquet")
    pq.write_table(pa.table({"x": [1, -2, None]}), "bad.parquet")
    Path("warn.csv").write_text("x\n1\n")
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command, through the process's own entry point."""
    process = subprocess.run(
        [sys.executable, "-c", "from mercury.cli import main; main()", *arguments], capture_output=True, text=True
    )
    return process.returncode, process.stdout, process.stderr


def quick(*arguments: str) -> Any:
    """The same within this process: return value of the command, or the error it raised."""
    assert isinstance(cli, LazyGroup) and callable(main)
    result: Result = CliRunner().invoke(cli, ["quality", *arguments], standalone_mode=False)
    if result.exception:
        return result.exception
    return result


def test_good_data_passes_and_bad_data_exits_with_5(folder: Path) -> None:
    code, out, err = run("quality", "check", "good.parquet", "-c", "c.yaml")
    assert (code, err) == (0, "")
    assert "verdict: pass" in out and "3 rows" in out
    code, out, err = run("quality", "check", "bad.parquet", "-c", "c.yaml")
    assert code == 5
    assert "FAIL          x: range: 1 of 2 rows fail (demanded: ≥ 0)  [c.yaml:12]" in out
    assert "row 2: x=-2" in out and "verdict: FAIL" in out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["check", "none.parquet", "-c", "c.yaml"], 4, "none.parquet"),
        (["check", "good.parquet", "-c", "none.yaml"], 4, "none.yaml"),
        (["check", "good.parquet", "-c", "c.yaml", "--table", "u"], 4, "'u'"),
        (["check", "good.parquet", "-c", "c.yaml", "-o", "pdf=x"], 2, "html, json"),
        (["check", "good.parquet", "-c", "c.yaml", "-o", "html"], 2, "NAME=PATH"),
        (["check", "good.parquet", "-c", "c.yaml", "--now", "noon"], 2, "ISO 8601"),
        (["check", "c.yaml", "-c", "c.yaml"], 2, "neither CSV nor Parquet"),
        (["check", "good.parquet", "-c", "c.yaml", "-o", "html=c.yaml/r.html"], 6, "was not written"),
        (["profile", "none.csv"], 4, "none.csv"),
        (["lint", "broken.yaml"], 2, "Did you mean 'required'"),
    ],
)
def test_errors_are_one_exception_with_the_documented_code(
    folder: Path, arguments: list[str], code: int, told: str
) -> None:
    Path("broken.yaml").write_text(contract_text("- {name: a, requird: true}"))
    error = quick(*arguments)
    assert isinstance(error, MercuryError), error
    assert error.exit_code == code
    assert told in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("source", "fail_on", "code"),
    [("bad.parquet", "never", 0), ("bad.parquet", "warn", 5), ("good.parquet", "warn", 0), ("warn.csv", "error", 0)],
)
def test_fail_on(folder: Path, source: str, fail_on: str, code: int) -> None:
    assert quick("check", source, "-c", "c.yaml", "--fail-on", fail_on).return_value == code


def test_json_is_exactly_one_document_and_reports_go_to_files(folder: Path) -> None:
    outputs = [part for kind in ("html", "json", "junit", "sarif") for part in ("-o", f"{kind}=out/r.{kind}")]
    arguments = ["check", "bad.parquet", "-c", "c.yaml", "--format", "json", *outputs, "--quarantine", "q", "--good"]
    code, out, err = run("quality", *arguments)
    assert code == 5
    data = json.loads(out)
    assert data["verdict"] == "fail" and data["quarantine"]["bad_rows"] == 2
    assert json.loads(Path("out/r.json").read_text()) == data
    assert Path("out/r.html").read_text().startswith("<!doctype html>")
    assert {path.name for path in Path("out").iterdir()} == {"r.html", "r.json", "r.junit", "r.sarif"}
    assert pq.read_table("q/bad.parquet").num_rows == 2 and pq.read_table("q/good.parquet").num_rows == 1
    assert "2 bad rows" in err


def test_references_and_nulls(folder: Path) -> None:
    Path("f.yaml").write_text(contract_text("- name: code\n  relationships: [{to: codes.code}]"))
    Path("data.csv").write_text("code\na\nb\n-\n")
    Path("codes.csv").write_text("code\na\n")
    result = quick("check", "data.csv", "-c", "f.yaml", "--reference", "codes=codes.csv", "--null", "-")
    assert result.return_value == 5
    assert "1 of 2 rows fail" in result.stdout and "row 2: code='b'" in result.stdout


def test_profile_and_lint_write_text_or_json(folder: Path) -> None:
    head, line, *_ = quick("profile", "bad.parquet").stdout.splitlines()
    assert head.split()[:5] == ["column", "type", "nulls", "nan", "distinct"]
    assert line.split() == ["x", "int64", "1", "0", "2", "-2", "-0.5", "-0.5", "2.12132", "1"]
    data = json.loads(quick("profile", "bad.parquet", "--format", "json").stdout)
    assert (data["format"], data["rows"], data["columns"][0]["mean"]) == (1, 3, -0.5)
    assert "1 columns, 5 checks, 2 of them on rows" in quick("lint", "c.yaml").stdout
    assert json.loads(quick("lint", "c.yaml", "--format", "json").stdout)["tables"][0]["row_checks"] == 2


def test_a_small_check_starts_no_ray_and_imports_no_pandas(folder: Path) -> None:
    program = (
        "import sys; from mercury.cli import cli; cli.main(sys.argv[1:], standalone_mode=False); "
        "print([m for m in ('ray', 'pandas', 'pyspark') if m in sys.modules], file=sys.stderr)"
    )
    arguments = ["quality", "check", "good.parquet", "-c", "c.yaml"]
    process = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert process.stderr.strip() == "[]", process.stderr


def test_ninety_checks_of_the_history_are_one_pass(tmp_path: Path) -> None:
    pq.write_table(history(), tmp_path / "flights.parquet")
    source = open_source(str(tmp_path / "flights.parquet"))
    asked, read = list[tuple[str, ...]](), source.read

    def noted(part: Range, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        asked.append(tuple(columns))
        return read(part, columns)

    source.read = noted  # type: ignore[method-assign]
    report = check(source, load_contract(HISTORY))

    assert (report.verdict.value, len(report.results), report.rows) == ("pass", 90, history().num_rows)
    # Footers answer for the others. Two are read again: for a sample of rows that fail, and to count exactly.
    assert [len(columns) for columns in asked] == [12, 1, 1]
    assert asked[1:] == [("dep_time",), ("carrier",)]
