"""Rules and dashboard as files, for Prometheus and Grafana to load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from mercury.definitions import Monitor
from mercury.files.writing import write_text
from mercury.observability.publishing.dashboard import dashboard
from mercury.observability.publishing.rules import rules

RULES, DASHBOARD = "rules.yml", "dashboard.json"


def write_rules(monitors: Sequence[Monitor], folder: Path) -> list[Path]:
    """Write ``rules.yml`` and ``dashboard.json`` into a folder, which is made; equal monitors give equal files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / RULES, folder / DASHBOARD
    write_text(written[0], yaml.safe_dump(rules(monitors), sort_keys=False, width=120))
    write_text(written[1], json.dumps(dashboard(), indent=2) + "\n")
    return list(written)
