"""`serve deploy serve/config.yaml` works whatever folder the head of the cluster was started in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from mercury.errors import NotFoundError
from mercury.runtime.head import ray_head
from mercury.runtime.loopback import free_ports
from mercury.runtime.session import prepare_environment
from mercury.serving.applications import project_file
from tests.models.conftest import Risk, risk

__all__ = ["risk"]

ROOT = Path(__file__).parents[2]


def test_a_project_file_is_looked_for_in_the_folder_of_the_head_and_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = "examples/flights/mercury_project.py"
    assert project_file(shipped) == ROOT / shipped

    (tmp_path / "mine.py").write_text("")
    assert project_file("mine.py") == tmp_path / "mine.py"
    assert project_file(str(tmp_path / "mine.py")) == tmp_path / "mine.py"
    with pytest.raises(
        NotFoundError, match=rf"no project file 'yours\.py': it was looked for in {tmp_path} and {ROOT}"
    ):
        project_file("yours.py")
    with pytest.raises(NotFoundError, match=r"no project file '/nowhere/yours\.py' \("):
        project_file("/nowhere/yours.py")


@pytest.mark.ray
def test_the_shipped_configuration_is_deployed_on_a_head_that_was_started_elsewhere(
    risk: Risk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_environment()
    config = yaml.safe_load((ROOT / "serve" / "config.yaml").read_text())
    port = config["http_options"]["port"] = free_ports(1)[0]
    for part in config["applications"]:
        part["args"] = {"project": str(risk.settings.project), "state": str(risk.settings.state)}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    monkeypatch.chdir(elsewhere)
    with ray_head(4, 128 << 20, {}) as (_, dashboard):
        environment = {**os.environ, "RAY_AUTH_MODE": "token"}
        program = str(Path(sys.executable).with_name("serve"))
        deployed = subprocess.run(
            [program, "deploy", str(file), "-a", dashboard],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert deployed.returncode == 0, deployed.stderr
        running = _running(program, dashboard, environment)
        assert running == {"models": "RUNNING", "features": "RUNNING", "analytics": "RUNNING"}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/risk/ready", timeout=60) as answer:
            assert answer.status == 200


def _running(program: str, dashboard: str, environment: dict[str, str]) -> dict[str, str]:
    """The state of each application once none of them is on its way."""
    until = time.monotonic() + 240
    while True:
        told = subprocess.run(
            [program, "status", "-a", dashboard], env=environment, capture_output=True, text=True, check=True
        )
        applications = yaml.safe_load(told.stdout)["applications"]
        states = {name: each["status"] for name, each in applications.items()}
        if not {"DEPLOYING", "NOT_STARTED"} & set(states.values()) and states:
            failed = {name: each.get("message") for name, each in applications.items() if each["status"] != "RUNNING"}
            assert not failed, json.dumps(failed, indent=2)
            return states
        assert time.monotonic() < until, states
        threading.Event().wait(0.5)
