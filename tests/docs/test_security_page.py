"""The page on security says what the code does: addresses, ports, limits, and variables that are really read."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml

from mercury.cli import cli
from mercury.config import load_settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def row(start: str) -> list[str]:
    """Cells of the table's row that begins so."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_addresses_and_ports_are_those_of_the_code(tmp_path: Path) -> None:
    from mercury.runtime import loopback
    from mercury.runtime.kafka import broker
    from mercury.runtime.metrics import endpoint

    def port(name: str) -> object:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        return next(option.default for option in command.params if option.name == "port")

    assert "Loopback is `127.0.0.1`." in PAGE
    default = load_settings(tmp_path / "mercury_project.py", {}).host
    assert {broker.HOST, endpoint.HOST, loopback.LOOPBACK, default} == {"127.0.0.1"}
    assert f"the setting `host` (loopback), port {port('serve')} or `--port`" in row("models, features and metrics")
    assert f"the setting `host` (loopback), port {port('live')} or `--port`" in row("metrics and live page")
    assert "`MERCURY_HOST`" in PAGE


def test_ports_of_the_cluster_are_those_of_its_file() -> None:
    head = yaml.safe_load((ROOT / "cluster.yaml").read_text())["head_start_ray_commands"][-1]
    (port,) = re.findall(r"(\d+) by `cluster.yaml`", row("Ray dashboard")[2])

    assert f"--dashboard-port={port}" in head
    assert "RAY_SERVE_ENABLE_HA_PROXY" not in head and "off in `cluster.yaml`" in PAGE


def test_limits_of_requests_are_those_of_the_services() -> None:
    import mercury.analytics.http as analytics
    from mercury.features import http
    from mercury.models import inference, protocol

    text = " ".join(PAGE.split())
    assert f"more than {inference.MAX_BYTES >> 20} MiB (models), {http.MAX_BODY_BYTES >> 20} MiB (features)" in text
    assert f"{analytics.MAX_BODY_BYTES >> 20} MiB (metrics)" in text
    assert f"more than {http.MAX_ROWS:,} rows" in text
    assert protocol.MAX_ROWS == http.MAX_ROWS


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:MERCURY|RAY|OPENLINEAGE|MLFLOW)_[A-Z_]+)", PAGE))))
def test_variables_are_read_by_somebody(name: str) -> None:
    import mlflow
    import ray

    if name.removeprefix("MERCURY_").lower() in load_settings(ROOT / "mercury_project.py", {}).names():
        return
    packages = [ROOT / "mercury", ROOT / "serve"]
    packages += [Path(ray.__file__).parent / part for part in ("_common", "_private", "serve/_private")]
    packages += [Path(mlflow.__file__).parent / part for part in ("environment_variables.py", "telemetry")]
    files = [file for place in packages for file in ([place] if place.is_file() else place.rglob("*.py"))]
    binary = Path(ray.__file__).parent / "_raylet.so"

    assert any(name in file.read_text(encoding="utf-8") for file in files) or name.encode() in binary.read_bytes()
