"""Loading a project: every expression is checked against its source, and contracts are read into the streams."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mercury import Stream, Window
from mercury.errors import ExpressionError, ProjectError
from mercury.projects import load_project

PROJECT = """\
from mercury import *

flights = Stream("flights", Kafka("flights"), {"id": "string", "ts": "timestamp", "delay": "float64", "late": "bool"},
                 "ts", "id", contract="flights.odcs.yaml", heartbeat="id IS NULL")
planes = BatchTable("planes", {"id": "string", "ts": "timestamp", "seats": "int64"}, "ts")
hourly = Window("hourly", flights, aggregates={"n": Count(where="delay > 1"), "d": Mean("delay * 2")}, where="late")
plane = Entity("plane", "id")
live = FeatureView("live", plane, flights, {"m": Mean("delay + 3", over="1d", where="NOT late")}, where="delay < 9")
still = FeatureView("still", plane, planes, ["seats"], where="seats > 4")
model = Model("risk", FeatureService("s", [live, still]), flights, label="delay > 5", event_time="ts", where="id <> ''")
project = Project("flights", [hourly, model])
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "flights.odcs.yaml").write_text("kind: DataContract\n")
    path = tmp_path / "mercury_project.py"
    path.write_text(PROJECT)
    return path


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("id IS NULL", "idd IS NULL", "Stream/flights.heartbeat"),
        ("delay > 1", "delya > 1", "Window/hourly.aggregates.n.where"),
        ("delay * 2", "delya * 2", "Window/hourly.aggregates.d.of"),
        ('where="late"', 'where="lat"', "Window/hourly.where"),
        ("delay + 3", "delya + 3", "FeatureView/live.features.m.of"),
        ("NOT late", "NOT lat", "FeatureView/live.features.m.where"),
        ("delay < 9", "delya < 9", "FeatureView/live.where"),
        ('["seats"]', '["seat"]', "FeatureView/still.features.seat"),
        ("seats > 4", "seat > 4", "FeatureView/still.where"),
        ("delay > 5", "delya > 5", "Model/risk.label"),
        ("id <> ''", "idd <> ''", "Model/risk.where"),
    ],
)
def test_unknown_column_is_told_with_its_field_and_the_nearest_spelling(
    file: Path, old: str, new: str, place: str
) -> None:
    assert PROJECT.count(old) == 1
    file.write_text(PROJECT.replace(old, new))
    with pytest.raises(ExpressionError, match="has no column") as caught:
        load_project(file)
    assert caught.value.where is not None and caught.value.where.startswith(f"{place}, ")
    assert str(caught.value.fix).startswith("Did you mean ")


def test_condition_that_is_none_is_told(file: Path) -> None:
    file.write_text(PROJECT.replace("delay > 1", "delay + 1"))
    with pytest.raises(ExpressionError) as caught:
        load_project(file)
    assert caught.value.where == "Window/hourly.aggregates.n.where"


def test_contract_is_read_into_its_stream(file: Path) -> None:
    project = load_project(file)
    digest = hashlib.sha256(b"kind: DataContract\n").hexdigest()
    flights, hourly = project.get(Stream, "flights"), project.get(Window, "hourly")
    assert (flights.contract_sha256, project.contracts) == (digest, {"flights.odcs.yaml": digest})
    assert hourly.source == flights
    (file.parent / "flights.odcs.yaml").write_text("kind: DataContract\n\n")
    changed = load_project(file)
    assert changed.get(Stream, "flights").version != flights.version
    assert changed.get(Window, "hourly").version != hourly.version
    assert load_project(file).version == changed.version


def test_pinned_contract_must_be_the_one_that_lies_there(file: Path) -> None:
    digest = hashlib.sha256(b"kind: DataContract\n").hexdigest()
    file.write_text(PROJECT.replace("heartbeat", f'contract_sha256="{digest}", heartbeat'))
    assert load_project(file).get(Stream, "flights").contract_sha256 == digest
    (file.parent / "flights.odcs.yaml").write_text("kind: other\n")
    with pytest.raises(
        ProjectError, match=r"has the SHA-256 [0-9a-f]{64} \(.*Stream/flights.contract_sha256\). Write that"
    ):
        load_project(file)


def test_contract_that_is_a_folder_is_told(file: Path) -> None:
    (file.parent / "flights.odcs.yaml").unlink()
    (file.parent / "flights.odcs.yaml").mkdir()
    with pytest.raises(
        ProjectError, match=r"the contract 'flights.odcs.yaml' of Stream/flights cannot be read: Is a dir"
    ):
        load_project(file)
