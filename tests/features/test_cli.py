"""`mercury features` from the command line: what is printed, what is written, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mercury.cli.features import features
from mercury.errors import DataError, NotFoundError, UsageError
from mercury.features.instants import UTC_MICROSECONDS
from mercury.tables import Table

PROJECT = """
from mercury import BatchTable, Entity, FeatureService, FeatureView, Project

rows = BatchTable("rows", schema={"k": "string", "x": "float64", "ts": "timestamp"}, event_time="ts")
view = FeatureView("v", Entity("e", "k"), rows, {"x": "x", "twice": "x * 2"})
project = Project("p", [FeatureService("s", [view])])
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose table has two rows, and labels beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mercury_project.py").write_text(PROJECT)
    rows = pa.table({"k": ["a", "b"], "x": [1.0, 2.0], "ts": pa.array([10, 20], UTC_MICROSECONDS)})
    Table.create(str(tmp_path / ".mercury/lake/tables/rows"), rows.schema).append(rows)
    labels = pa.table({"k": ["a", "b", "c"], "at": pa.array([15, 15, 15], UTC_MICROSECONDS), "y": [0, 1, 0]})
    pq.write_table(labels, tmp_path / "labels.parquet")
    return tmp_path


def run(*arguments: str) -> str:
    outcome = CliRunner().invoke(features, arguments, catch_exceptions=False, standalone_mode=False)
    if outcome.exception is not None:
        raise outcome.exception
    return outcome.stdout


def told(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--format", "json"))


def test_materialize_backfill_and_training_set(project: Path) -> None:
    first = told("materialize")
    assert [(each["view"], each["offline"], each["online"]) for each in first] == [("v", 2, 2)]
    assert run("materialize", "v").strip() == "v: 0 rows added offline, 0 changed online"
    assert run("backfill", "v").startswith("v: 2 rows made anew offline")
    done = told("training-set", "s", "labels.parquet", "--event-time", "at", "-o", "out/train.parquet")
    assert done == {"rows": 3, "output": "out/train.parquet", "values": {"x": 1, "twice": 1}}
    joined = pq.read_table(project / "out/train.parquet")
    assert joined["twice"].to_pylist() == [2.0, None, None]
    assert b"mercury.provenance" in joined.schema.metadata


def test_until_serves_what_was_known_then(project: Path) -> None:
    assert told("materialize", "--until", "1970-01-01T00:00:00.000015Z")[0]["online"] == 1
    assert told("materialize", "--offline-only")[0]["online"] == 0
    assert told("materialize")[0]["online"] == 1


def test_audit_fails_on_a_set_that_the_join_would_not_give(project: Path) -> None:
    run("materialize")
    run("training-set", "s", "labels.parquet", "--event-time", "at", "-o", "train.parquet")
    clean = ("audit", "train.parquet", "--label", "y", "--event-time", "at", "--service", "s", "--no-gain")
    assert told(*clean)["has_leakage"] is False
    leaky = pq.read_table("train.parquet")
    leaky = leaky.set_column(leaky.column_names.index("x"), "x", pa.array([1.0, 2.0, None]))
    pq.write_table(leaky, "train.parquet")
    with pytest.raises(DataError, match="1 of 3 columns leak: x"):
        run(*clean, "-o", "report.json")
    assert json.loads(Path("report.json").read_text())["findings"][0]["check"] == "rebuild"


def test_audit_of_a_bare_file_needs_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    delay = random.normal(size=3_000) * 30
    data = pa.table(
        {
            "at": pa.array(np.arange(3_000) * 1_000_000, UTC_MICROSECONDS),
            "delay": delay,
            "almost": delay + random.normal(size=3_000),
            "noise": random.normal(size=3_000),
        }
    )
    csv.write_csv(data, "data.csv")
    arguments = ("audit", "data.csv", "--label", "delay > 15", "--event-time", "at", "--trusted", "noise")
    with pytest.raises(DataError, match="1 of 2 columns leak: almost"):
        run(*arguments)
    assert "no finding in 1 columns" in run(*arguments, "--columns", "noise")


def test_what_is_wrong_is_named(project: Path) -> None:
    with pytest.raises(NotFoundError, match="no FeatureView is named 'w'"):
        run("materialize", "w")
    Path("labels.txt").write_text("k")
    with pytest.raises(UsageError, match="no known form"):
        run("training-set", "s", "labels.txt", "--event-time", "at", "-o", "x.parquet")


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from mercury.cli.features import features; "
        "print([name for name in ('ray', 'pandas', 'pyarrow', 'lightgbm', 'duckdb', 'lmdb') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
