"""Which way imports point between models and what watches them."""

from __future__ import annotations

import ast
from pathlib import Path

import mercury.models


def test_models_import_nothing_of_the_monitor_that_watches_them() -> None:
    """Imports within functions too: what is put off to a call points in the same direction."""
    wrong = []
    for path in sorted(Path(mercury.models.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            wrong += [f"{path.name}:{name}" for name in names if name.startswith("mercury.observability")]

    assert wrong == []
