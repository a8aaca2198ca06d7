"""`mercury private` in a project: ask, ask again, look at the budget, be refused, audit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.privacy.people import settings, visits

PROJECT = """
from mercury import BatchTable, Bounds, Budget, PrivacyPolicy, Project

visits = BatchTable(
    "visits",
    schema={"person": "string", "ts": "timestamp", "shop": "string", "spent": "float64", "items": "int64"},
    event_time="ts",
)
people = PrivacyPolicy(
    "people", source=visits, unit="person", budget=Budget(2.0), epsilon=1.0, max_groups=2, max_rows=3,
    bounds={"spent": Bounds(0, 50)}, public_keys={"shop": ["north", "south", "west"]},
)
project = Project("shops", [people])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mercury_project.py").write_text(PROJECT)
    found = settings(tmp_path, visits(3_000, 9))
    (tmp_path / "mercury.toml").write_text(f'state = "{found.state}"\n')
    return tmp_path


def mercury(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("mercury"))
    return subprocess.run([program, "private", *arguments], cwd=folder, capture_output=True, text=True)


def test_ask_again_and_past_the_budget(folder: Path) -> None:
    aggregates = ["-a", "n=count", "-a", "big=count:spent > 10", "-a", "paid=mean:spent", "-a", "who=units"]
    asked = ["query", "people", *aggregates, "--by", "shop", "--analyst", "ann", "--format", "json"]

    dry = json.loads(mercury(folder, *asked, "--dry-run").stdout)
    first = json.loads(mercury(folder, *asked).stdout)
    again = json.loads(mercury(folder, *asked).stdout)
    assert dry["rows"] is None and dry["spent"]["epsilon"] == 0
    assert [row["shop"] for row in first["rows"]] == ["north", "south", "west"]
    assert set(first["rows"][0]) == {"shop", *(f"{name}{end}" for name in ("n", "big", "paid", "who")
                                               for end in ("", "_error"))}  # fmt: skip
    assert again["cached"] and again["rows"] == first["rows"]
    assert again["remaining"]["epsilon"] == 1.0

    human = mercury(folder, "query", "people", "--analyst", "bob", "--by", "shop")
    assert human.returncode == 0 and "±" in human.stdout
    assert "bob may still spend epsilon 0 and delta 1e-06" in human.stderr
    refused = mercury(folder, "query", "people", "--analyst", "bob", "--where", "items > 3")
    assert refused.returncode == 9
    assert refused.stderr.startswith(
        "mercury: the answer costs epsilon 1 and delta 0, and BatchTable/visits has epsilon 0"
    )

    budget = json.loads(mercury(folder, "budget", "people", "--format", "json").stdout)
    assert budget["charges"] == 2
    assert {name: spent["epsilon"] for name, spent in budget["analysts"].items()} == {"ann": 1.0, "bob": 1.0}
    audited = json.loads(mercury(folder, "audit", "people", "--draws", "2000", "--format", "json").stdout)
    assert audited["ledger_lines"] == 2
    again = mercury(folder, "audit", "people", "--draws", "2000", "--seen", audited["ledger_head"])
    assert again.returncode == 0
    assert again.stdout.startswith(
        f"the ledger's 2 lines are as they were written, up to {audited['ledger_head']}\n"
        "noise for a sensitivity of 2 keeps"
    )
    cut = mercury(folder, "audit", "people", "--seen", "0" * 64)
    assert cut.returncode == 5 and "no line of the ledger has the hash 000" in cut.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["query", "peopel", "--analyst", "a"], 4, "no PrivacyPolicy is named 'peopel'"),
        (
            ["query", "people", "--analyst", "a", "-a", "n=cout"],
            2,
            "'n=cout' is no aggregate (--aggregate). Did you mean",
        ),
        (
            ["query", "people", "--analyst", "a", "-a", "n"],
            2,
            "'n' is no aggregate (--aggregate). Write delay=mean:dep",
        ),
        (["query", "people"], 2, "--analyst"),
        (["query", "people", "--analyst", "a", "--epsilon", "nan"], 2, "epsilon=nan allows no answer"),
    ],
)
def test_mistakes(folder: Path, arguments: list[str], code: int, message: str) -> None:
    done = mercury(folder, *arguments)

    assert done.returncode == code
    assert message in done.stderr
