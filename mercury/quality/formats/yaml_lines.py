"""YAML as plain Python values, with the line of every part, so that an error can say where it is.

Dates stay text, as the JSON Schemas of contracts expect, and a key that stands twice in a mapping is an error: YAML
itself would silently keep the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mercury.errors import DefinitionError, NotFoundError

Key = str | int

MAX_PARTS = 200_000
"""A document of more parts is refused: aliases can make a short file expand without bound."""


@dataclass(frozen=True)
class Document:
    """Plain values of a YAML file, and the line (from 1) of each part by its path of keys and list indices."""

    path: str
    data: Any
    lines: dict[tuple[Key, ...], int]

    def line(self, path: tuple[Key, ...]) -> int:
        """The line of a part, or of the nearest part around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def where(self, path: tuple[Key, ...]) -> str:
        """``file:line`` of a part."""
        return f"{self.path}:{self.line(path)}"


def read_yaml(path: str | Path) -> Document:
    """Read a YAML file; `NotFoundError` when there is none, `DefinitionError` with the line when it is not YAML."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFoundError(f"there is no file {str(path)!r}", fix="Give the path of a contract") from error
    except UnicodeDecodeError as error:
        raise DefinitionError("the file is not UTF-8 text", where=str(path), fix="Save it as UTF-8") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, path: str = "<contract>") -> Document:
    """Parse YAML text; `path` is only shown in errors."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
        raise DefinitionError(
            f"not YAML: {error.problem or error.context}", where=where, fix="Mend the line"
        ) from error
    except yaml.YAMLError as error:
        raise DefinitionError(f"not YAML: {error}", where=path, fix="Save it as UTF-8 text") from error
    if node is None:
        raise DefinitionError("the file is empty", where=path, fix="Write a contract in it")
    lines: dict[tuple[Key, ...], int] = {}
    return Document(path, _build(node, (), lines, loader, path), lines)


class _Loader(yaml.SafeLoader):
    """The safe loader without dates: they stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _build(node: yaml.Node, at: tuple[Key, ...], lines: dict[tuple[Key, ...], int], loader: _Loader, path: str) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
    if len(lines) > MAX_PARTS or len(at) > 100:
        raise DefinitionError("the document is too large or too deep", where=path, fix="Split it, or drop its aliases")
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*at, index), lines, loader, path) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        out: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int)):
                where = f"{path}:{key_node.start_mark.line + 1}"
                raise DefinitionError("a key of a mapping is not text", where=where, fix="Quote it")
            if key in out:
                raise DefinitionError(
                    f"the key {key!r} stands twice (first on line {lines[(*at, key)]})",
                    where=f"{path}:{key_node.start_mark.line + 1}",
                    fix="Keep one of them",
                )
            lines[(*at, key)] = key_node.start_mark.line + 1
            out[key] = _build(value_node, (*at, key), lines, loader, path)
        return out
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, yaml.YAMLError) as error:
        where = f"{path}:{node.start_mark.line + 1}"
        raise DefinitionError(f"{node.value!r} cannot be read", where=where, fix="Quote it") from error
