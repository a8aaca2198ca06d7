"""The commands that documents show, against a real broker, and what they say when there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mercury.runtime import jars


def mercury(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from mercury.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=180, check=False)


@pytest.mark.kafka
def test_a_broker_from_start_to_stop(tmp_path: Path) -> None:
    state = ["--state", str(tmp_path / "state")]

    started = json.loads(mercury("kafka", "start", *state, "--format", "json", folder=tmp_path).stdout)
    made = mercury("kafka", "topics", *state, "create", "flights", "--partitions", "2", folder=tmp_path)
    status = json.loads(mercury("kafka", "status", *state, "--format", "json", folder=tmp_path).stdout)
    listed = json.loads(mercury("kafka", "topics", *state, "--format", "json", folder=tmp_path).stdout)
    stopped = mercury("kafka", "stop", *state, folder=tmp_path)

    assert made.stdout == "Made flights with 2 partitions\n"
    assert (status["bootstrap"], status["pid"]) == (started["bootstrap"], started["pid"])
    assert listed == [{"topic": "flights", "partition": number, "first": 0, "end": 0} for number in (0, 1)]
    assert stopped.stdout == "Kafka has stopped\n"


def test_without_a_broker_the_error_names_both_ways_out(tmp_path: Path) -> None:
    status = mercury("kafka", "status", "--state", str(tmp_path), folder=tmp_path)
    topics = mercury("kafka", "topics", "--state", str(tmp_path), folder=tmp_path)

    assert (status.returncode, status.stdout) == (7, "")
    assert "Kafka is not running" in status.stderr and "mercury kafka start" in status.stderr
    assert topics.returncode == 7
    assert "mercury kafka start" in topics.stderr and "mercury demo --source files" in topics.stderr


def test_jars_that_cannot_be_had_name_the_way_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "settings.xml"
    nowhere.write_text(
        '<ivysettings><settings defaultResolver="none"/><resolvers><filesystem name="none">'
        f'<artifact pattern="{tmp_path}/[artifact].jar"/></filesystem></resolvers></ivysettings>'
    )
    monkeypatch.setenv("MERCURY_IVY_SETTINGS", str(nowhere))

    with pytest.raises(Exception, match=r"could not be fetched: .*mercury demo --source files") as caught:
        jars.fetch("org.example:nothing:1.0", cache=tmp_path / "cache")

    assert caught.value.exit_code == 7
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["org.example_nothing_1.0.lock"]
