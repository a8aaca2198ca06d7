"""The Open Data Contract Standard v3.1.0 (and 3.0): read a contract, and say where each fault is and what to write.

A file is first validated against the standard's own JSON Schema, then turned into checks (`odcs_checks`). All faults
are found in one go. Nothing that the contract demands is silently left out: what cannot be evaluated here becomes an
`Unsupported` check with the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from mercury.definitions import canonical_json
from mercury.errors import DefinitionError, NotFoundError, did_you_mean
from mercury.quality.checks import Check
from mercury.quality.contract import Contract, ContractColumn
from mercury.quality.formats.faults import Fault, raise_faults
from mercury.quality.formats.odcs_checks import TableReader
from mercury.quality.formats.yaml_lines import Document, Key, read_yaml

SCHEMAS = {"v3.0.0": "v3.0.2", "v3.0.1": "v3.0.2", "v3.0.2": "v3.0.2", "v3.1.0": "v3.1.0"}
"""The versions of the standard that are read, and whose JSON Schema each is validated with."""


def read_contract(path: str | Path, table: str | None = None) -> Contract:
    """Read one table of a contract file; see `mercury.quality.load_contract`."""
    document = read_yaml(path)
    raise_faults(list(schema_faults(document)))
    tables = [entry["name"] for entry in document.data.get("schema", [])]
    index = _table_index(document, tables, table)
    return _compile(document, index)


def table_names(path: str | Path) -> list[str]:
    """The tables that a contract file describes."""
    document = read_yaml(path)
    raise_faults(list(schema_faults(document)))
    return [entry["name"] for entry in document.data.get("schema", [])]


def schema_faults(document: Document) -> Iterator[Fault]:
    """Where a document departs from the JSON Schema of the standard, each fault once, in the order of lines."""
    from jsonschema import Draft201909Validator

    data = document.data
    if not isinstance(data, dict):
        yield Fault(document.where(()), "the file is not a mapping", "Begin with apiVersion: v3.1.0")
        return
    version = data.get("apiVersion")
    if not isinstance(version, str) or version not in SCHEMAS:
        what = f"apiVersion {version!r} cannot be read"
        yield Fault(document.where(("apiVersion",)), what, f"Write one of {', '.join(SCHEMAS)}")
        return
    schema = _schema(SCHEMAS[version])
    errors = list(Draft201909Validator(schema).iter_errors(data))
    leaves = [leaf for error in errors for leaf in _leaves(error)]
    faults = dict.fromkeys(_fault(document, schema, leaf) for leaf in leaves)
    yield from sorted(faults, key=lambda fault: int(fault.where.rpartition(":")[2]))


@cache
def _schema(version: str) -> dict[str, Any]:
    name = f"odcs-{version}.schema.json"
    text = resources.files("mercury.quality.formats").joinpath(name).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _leaves(error: Any) -> Iterable[Any]:
    """The errors that say something precise: those of the alternative that the author most likely meant."""
    if error.validator in ("oneOf", "anyOf") and error.context:
        required = [leaf for leaf in error.context if leaf.validator == "required"]
        if len(required) == len(error.context):
            # No operator was written at all; the alternatives would each say that theirs is missing.
            return [error]
        deepest = max(len(leaf.absolute_path) for leaf in error.context)
        return [leaf for leaf in error.context if len(leaf.absolute_path) == deepest][:1]
    if error.validator in ("allOf", "if", "$ref") and error.context:
        return [leaf for part in error.context for leaf in _leaves(part)]
    return [error]


def _what(schema: dict[str, Any], error: Any) -> str:
    """The fault in words, with the offending value."""
    name = ".".join(str(part) for part in error.absolute_path if not isinstance(part, int)) or "the contract"
    if error.validator in ("unevaluatedProperties", "additionalProperties"):
        return f"{name} does not have the key {', '.join(map(repr, _unknown_keys(schema, error)))}"
    if error.validator == "required":
        return f"{name}: {error.message}"
    if error.validator == "oneOf" and isinstance(error.instance, dict):
        written = [key for key in error.instance if key.startswith("must")]
        return f"{name} has {'no operator' if not written else 'the operators ' + ' and '.join(written)}"
    value = json.dumps(error.instance, ensure_ascii=False, default=str)
    return f"{name}: {value if len(value) <= 60 else value[:57] + '…'} {_complaint(error)}"


def _complaint(error: Any) -> str:
    match error.validator:
        case "type":
            return f"is not of type {error.validator_value}"
        case "enum":
            return "is not known"
        case "pattern":
            return f"does not match {error.validator_value}"
        case "oneOf" | "anyOf":
            return "fits none of the forms that the standard allows"
        case _:
            return error.message.rpartition("' ")[2] if len(error.message) > 120 else error.message


def _untyped_options(document: Document, path: tuple[Key, ...]) -> bool:
    """Whether a path leads into options without a logical type, which the schema then holds against every type."""
    if "logicalTypeOptions" not in path:
        return False
    part = document.data
    for key in path[: path.index("logicalTypeOptions")]:
        part = part[key]
    return "logicalType" not in part


def _fault(document: Document, schema: dict[str, Any], error: Any) -> Fault:
    path: tuple[Key, ...] = tuple(error.absolute_path)
    if _untyped_options(document, path):
        where = document.where(path[: path.index("logicalTypeOptions") + 1])
        return Fault(where, "logicalTypeOptions stands without a logicalType", "Write logicalType: integer, string, …")
    fix: str | None = None
    if error.validator in ("unevaluatedProperties", "additionalProperties"):
        unknown = _unknown_keys(schema, error)
        path = (*path, unknown[0]) if unknown else path
        fix = did_you_mean(unknown[0], _known_keys(schema, error)) if unknown else None
    elif error.validator == "enum":
        fix = did_you_mean(str(error.instance), [str(word) for word in error.validator_value])
    elif error.validator == "oneOf":
        fix = "Write exactly one of mustBe, mustBeLessThan, mustBeBetween, …"
    elif error.validator == "type":
        fix = (
            "Quote the value if it is text" if error.validator_value == "string" else f"Write a {error.validator_value}"
        )
    return Fault(document.where(path), _what(schema, error), fix or "See the standard at bitol-io.github.io")


def _unknown_keys(schema: dict[str, Any], error: Any) -> list[str]:
    known = set(_known_keys(schema, error))
    return [str(key) for key in error.instance if key not in known]


def _known_keys(schema: dict[str, Any], error: Any) -> list[str]:
    """The keys that a schema allows, with those of the schemas that it refers to."""
    found: set[str] = set()

    def collect(part: Any) -> None:
        if not isinstance(part, dict):
            return
        found.update(part.get("properties", {}))
        if "$ref" in part:
            collect(schema["$defs"][part["$ref"].rpartition("/")[2]])
        for word in ("allOf", "anyOf", "oneOf"):
            for inner in part.get(word, []):
                collect(inner)
        for word in ("if", "then", "else"):
            collect(part.get(word))

    collect(error.schema)
    return sorted(found)


def _table_index(document: Document, tables: list[str], table: str | None) -> int:
    if not tables:
        raise DefinitionError(
            "the contract describes no table", where=document.where(("schema",)), fix="Add a schema with its properties"
        )
    if table is None:
        if len(tables) > 1:
            raise DefinitionError(
                f"the contract describes {len(tables)} tables",
                where=document.path,
                fix=f"Name one: {', '.join(tables)}",
            )
        return 0
    if table not in tables:
        raise NotFoundError(
            f"the contract has no table {table!r}", where=document.path, fix=did_you_mean(table, tables)
        )
    return tables.index(table)


def _compile(document: Document, index: int) -> Contract:
    data = document.data
    reader = TableReader(document, index)
    checks = _with_names_apart(list(reader.checks()))
    columns: tuple[ContractColumn, ...] = tuple(reader.columns())
    raise_faults(reader.faults)
    return Contract(
        id=str(data["id"]),
        version=str(data["version"]),
        table=str(data["schema"][index]["name"]),
        file=document.path,
        sha256=hashlib.sha256(canonical_json(data)).hexdigest(),
        columns=columns,
        checks=checks,
    )


def _with_names_apart(checks: list[Check]) -> tuple[Check, ...]:
    """Checks whose names differ: a name that stands before is told apart by its line, and by a number on one line."""
    taken: set[str] = set()
    found: list[Check] = []
    for check in checks:
        name, number = check.name, 1
        while name in taken:
            name = f"{check.name} (line {check.line}{f', {number}' if number > 1 else ''})"
            number += 1
        taken.add(name)
        found.append(check if name == check.name else replace(check, name=name))
    return tuple(found)
