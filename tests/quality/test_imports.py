"""The modules of the package import each other in one direction only, lazy and type-checking imports included."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import mercury.quality

ROOT = Path(mercury.quality.__file__).parent
PACKAGE = "mercury.quality"


def modules() -> dict[str, Path]:
    """Every module of the package but `mercury.quality` itself, which only gathers the public names."""
    found = {}
    for path in ROOT.rglob("*.py"):
        name = ".".join((PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        if name != PACKAGE:
            found[name] = path
    return found


def imports(path: Path, known: set[str]) -> set[str]:
    """The modules of the package that a module imports, wherever in it the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & known
            names |= inner or {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith(PACKAGE)}
    return names


def test_no_module_imports_what_imports_it() -> None:
    found = modules()
    graph = {name: imports(path, set(found)) - {name} for name, path in found.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None
    assert PACKAGE not in order, "a module imports the public names instead of the module that has them"
    assert order.index(f"{PACKAGE}.source") < order.index(f"{PACKAGE}.opening")
    assert order.index(f"{PACKAGE}.contract") < order.index(f"{PACKAGE}.loading")
