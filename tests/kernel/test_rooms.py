"""Imports run down: a room knows the rooms below it, and no module is reached again by what it imports."""

from __future__ import annotations

import ast
from pathlib import Path

import mercury

PACKAGE = Path(mercury.__file__).parent

FLOORS = (
    ("errors",),
    ("time", "equality", "lake", "config", "files"),
    ("expressions", "definitions", "charts"),
    ("summaries", "tables"),
    ("runtime",),
    ("registry",),
    ("streaming", "features", "quality", "forecasting", "privacy", "batch"),
    ("models",),
    ("observability",),
    ("analytics",),
    ("projects",),
    ("serving",),
    ("cli",),
)
"""Rooms from the ground up. Rooms of one floor do not know each other."""

LEVEL = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, anywhere in it; a name taken from a package may be its module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {part.name for part in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = {f"{node.module}.{part.name}" for part in node.names}
            modules = inner & set(MODULES)
            found |= modules if len(modules) == len(inner) else modules | {node.module}
    return found & set(MODULES)


ARROWS = {name: imports(path) - {name} for name, path in MODULES.items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def test_every_room_has_a_floor() -> None:
    assert {room(name) for name in MODULES} - {"mercury"} == set(LEVEL)


def test_rooms_know_only_what_is_below_them() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in ARROWS.items()
        for target in targets
        if "mercury" not in (name, target) and room(name) != room(target) and LEVEL[room(target)] >= LEVEL[room(name)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_by_way_of_others() -> None:
    state: dict[str, int] = {}
    circles: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        state[name] = 1
        for target in sorted(ARROWS[name]):
            # What a package's __init__ takes from its own modules is its front door, not a need of theirs.
            if MODULES[target].name == "__init__.py" and name.startswith(f"{target}."):
                continue
            if state.get(target) == 1:
                circles.append(" → ".join([*path[path.index(target) :], name, target] if target in path else [name]))
            elif target not in state:
                visit(target, (*path, name))
        state[name] = 2

    for name in MODULES:
        if name not in state:
            visit(name, ())
    assert not circles, "\n".join(circles)
