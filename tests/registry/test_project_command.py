"""`mercury plan` and `mercury apply`: documents, exit codes, and project files that cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROJECT = """\
from mercury import Count, Kafka, Project, Stream, Window

flights = Stream("flights", source=Kafka("flights"), schema={"id": "string", "ts": "timestamp", "delay": "float64"},
                 event_time="ts", key="id", contract="flights.odcs.yaml")
late = Window("late", source=flights, aggregates={"n": Count()}, where="delay > 15")
project = Project("flights", [late])
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mercury_project.py"
    path.write_text(PROJECT)
    (tmp_path / "flights.odcs.yaml").write_text("kind: DataContract\n")
    return path


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = "import sys; from mercury.cli import main; sys.argv = ['mercury', *sys.argv[1:]]; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin", "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_plan_writes_nothing_and_apply_makes_it_so(file: Path) -> None:
    planned = run("plan", folder=file.parent)
    assert (planned.returncode, planned.stdout.splitlines()[0]) == (0, "Project flights: revision 0 → 1")
    assert not (file.parent / ".mercury").exists()
    applied = run("apply", folder=file.parent)
    assert (applied.returncode, applied.stdout.splitlines()[-1]) == (0, "Applied as revision 1")
    assert run("plan", folder=file.parent).stdout == "Project flights: revision 1, no changes\n"


def test_changed_contract_shows_up_in_the_plan(file: Path) -> None:
    run("apply", folder=file.parent)
    (file.parent / "flights.odcs.yaml").write_text("kind: DataContract\nversion: 2\n")
    document = json.loads(run("plan", "--format", "json", folder=file.parent).stdout)
    assert [(change["action"], change["address"]) for change in document["changes"]] == [
        ("change", "Stream/flights"),
        ("follow", "Window/late"),
    ]
    assert document["changes"][0]["fields"][0]["path"] == "contract_sha256"
    assert all(change["before"] != change["after"] for change in document["changes"])


def test_apply_prints_one_document(file: Path) -> None:
    document = json.loads(run("apply", "--format", "json", folder=file.parent).stdout)
    assert (document["revision"], document["applied"], document["base"]) == (1, True, 0)
    again = json.loads(run("apply", "--format", "json", folder=file.parent).stdout)
    assert (again["revision"], again["applied"], again["changes"]) == (1, False, [])


def test_apply_against_another_revision_ends_with_the_code_of_a_conflict(file: Path) -> None:
    result = run("apply", "--revision", "4", folder=file.parent)
    assert result.returncode == 8
    assert result.stderr.count("\n") == 1
    assert "is at revision 0, not 4" in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("delay > 15", "delya > 15", "the table has no column 'delya' (Window/late.where, expression 'delya > 15'). D"),
        ('aggregates={"n": Count()}', "aggregates={}", "the window keeps nothing ({file}:5, Window/late.aggregates)"),
        (
            "where=",
            "were=",
            "fails with TypeError: Window.__init__() got an unexpected keyword argument 'were' ({file}:5)",
        ),
        ("Project(", "Project(,", "the project file is not Python: invalid syntax ({file}:6)"),
        ("project =", "other = [", "is not Python: '[' was never closed ({file}:6)"),
        ('project = Project("flights", [late])', "", "the file holds no project ({file})"),
        ("project =", 'other = Project("other")\nproject =', "the file holds 2 projects (other, flights) ({file})"),
        ("import Count", "import Cuont", "fails with ImportError: cannot import name 'Cuont'"),
        ("flights.odcs.yaml", "nothing.yaml", "the contract 'nothing.yaml' of Stream/flights cannot be read"),
        (
            "flights.odcs.yaml",
            "../nothing.yaml",
            "contract='../nothing.yaml' is no file in the project's folder ({file}:3",
        ),
        (
            'contract="flights.odcs.yaml"',
            'contract="flights.odcs.yaml", contract_sha256="' + "0" * 64 + '"',
            "the contract 'flights.odcs.yaml' of Stream/flights has the SHA-256 ",
        ),
        ("[late]", '"late"', "definitions='late' is not a list ({file}:6, Project/flights.definitions)"),
        ("from mercury", "raise SystemExit(0)\nfrom mercury", "fails with SystemExit: 0 ({file}:1)"),
    ],
)
def test_project_file_that_cannot_be_used_is_one_line_with_its_place(
    file: Path, old: str, new: str, message: str
) -> None:
    file.write_text(PROJECT.replace(old, new, 1))
    result = run("plan", folder=file.parent)
    assert result.returncode == 2, result.stderr
    assert message.format(file=file) in result.stderr.splitlines()[0]
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_missing_project_file_names_the_option(tmp_path: Path) -> None:
    result = run("plan", "--project", "nothing.py", folder=tmp_path)
    assert result.returncode == 2
    assert "there is no project file" in result.stderr
    assert "--project" in result.stderr


def test_modules_beside_the_project_file_can_be_imported(file: Path) -> None:
    (file.parent / "sizes.py").write_text("LATE = 'delay > 15'\n")
    file.write_text(PROJECT.replace('where="delay > 15"', "where=sizes.LATE").replace("from", "import sizes\nfrom", 1))
    assert run("plan", "--project", str(file), folder=ROOT).returncode == 0
