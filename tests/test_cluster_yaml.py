"""cluster.yaml passes the checks that `ray up` makes before it touches a machine, and keeps the doors shut."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[1] / "cluster.yaml"


@pytest.fixture
def config() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


def commands(config: dict[str, Any]) -> list[str]:
    return [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]


def test_ray_accepts_it(config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    monkeypatch.setattr("ray.autoscaler._private.local.config.get_state_path", lambda name: str(tmp_path / name))
    prepared = prepare_config(config)
    validate_config(prepared)
    head = prepared["available_node_types"][prepared["head_node_type"]]
    assert head["max_workers"] == 0
    assert prepared["provider"]["head_ip"] == "127.0.0.1"


def test_a_misspelt_key_would_be_noticed(config: dict[str, Any]) -> None:
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(jsonschema.ValidationError, match="setup_comands"):
        validate_config(prepare_config({**config, "setup_comands": []}))


def test_the_token_is_asked_for_on_every_node(config: dict[str, Any]) -> None:
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    starts = [command for command in commands(config) if "ray start" in command]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/.ray/auth_token" in command for command in starts)


def test_nothing_listens_beyond_loopback(config: dict[str, Any]) -> None:
    assert config["provider"]["worker_ips"] == [] and config["max_workers"] == 0
    head = config["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head and "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0" in head
    # Serve's HAProxy opens its statistics to everybody.
    assert "RAY_SERVE_ENABLE_HA_PROXY" not in "".join(commands(config))
    assert "0.0.0.0" not in re.sub(r"#.*", "", FILE.read_text())


def test_options_of_ray_start_exist(config: dict[str, Any]) -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    for command in commands(config):
        words = shlex.split(command)
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= known, used - known


def test_the_install_is_the_projects_own(config: dict[str, Any]) -> None:
    install = config["setup_commands"][-1]
    assert "--constraint constraints.txt --editable ." in install
    assert (FILE.parent / "constraints.txt").is_file()
