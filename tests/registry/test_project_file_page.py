"""The page on the project file: its example loads, its commands print what it shows, and its tables are complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from mercury import definitions as d
from mercury.projects import load_project

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "project-file.md").read_text()
KINDS = [d.Project, d.Stream, d.Kafka, d.Window, d.Entity, d.BatchTable, d.FeatureView, d.FeatureService, d.Model]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The folder of the page's example."""
    (project,), (contract,) = blocks("python"), blocks("yaml")
    (tmp_path / "contracts").mkdir()
    (tmp_path / "mercury_project.py").write_text(project)
    (tmp_path / "contracts" / "orders.odcs.yaml").write_text(contract)
    return tmp_path


def test_example_loads_and_holds_what_the_page_says(shop: Path) -> None:
    project = load_project(shop / "mercury_project.py")
    assert [part.address for part in project.definitions] == [
        "BatchTable/customers",
        "Entity/customer",
        "FeatureService/returns_v1",
        "FeatureView/habits",
        "FeatureView/profile",
        "Job/customers",
        "Model/returns",
        "Stream/orders",
        "Window/sales",
    ]
    assert list(project.contracts) == ["contracts/orders.odcs.yaml"]


def test_contract_of_the_example_is_one(shop: Path) -> None:
    from mercury.quality import load_contract

    assert len(load_contract(shop / "contracts" / "orders.odcs.yaml").row_checks) >= 2


def test_commands_print_what_the_page_shows(shop: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    # What the page's user runs is this Python and this Mercury, wherever another may be installed.
    command = f'mercury() {{ python -c "from mercury.cli import main; main()" "$@"; }}; exec 2>&1; cd {shop}; '
    for block in blocks("console"):
        for line, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            ended = subprocess.run(
                ["bash", "-c", command + line],
                capture_output=True,
                text=True,
                env={"PATH": path, "PYTHONPATH": f"{shop}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
                check=False,
            )
            assert ended.stdout.replace(str(shop), "/shop") == shown, line


@pytest.mark.parametrize("kind", [*KINDS, d.LightGBM, d.Job], ids=lambda kind: kind.__name__)
def test_every_field_of_a_definition_is_in_its_table(kind: type[d.Definition]) -> None:
    section = PAGE.split(f"\n## {kind.__name__}\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [field.name for field in fields(kind)]


def test_every_aggregate_and_type_is_on_the_page() -> None:
    section = PAGE.split("\n## Aggregates\n")[1].split("\n## ")[0]
    for kind in d.Aggregate.__subclasses__() + d.Variance.__subclasses__():
        row = next(line for line in section.splitlines() if f"`{kind.__name__}(" in line)
        for field in fields(kind):
            assert field.name in ("of", "where", "over") or field.name in row, (kind, field.name)
    types = PAGE.split("\n## Schemas\n")[1]
    assert [name for name in re.findall(r"`(\w+)`", types) if name in d.TYPES] == list(d.TYPES)
