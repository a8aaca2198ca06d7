"""One form for the spellings of an expression, so that a question that was answered is known again.

Blanks, parentheses and case of words are gone with the parsing; here the order of operands goes where it says nothing:
``x = 1`` and ``1 = x``, ``a AND b`` and ``b AND (a)``, ``x > 1`` and ``1 < x``, ``NOT x = 1`` and ``x <> 1``,
``x IN (2, 1)`` and ``x IN (1, 2, 2)``. All of it holds with NULL and NaN (`mercury.expressions`). Two spellings that
are not brought together are two questions, each of which is charged: that wastes budget and gives nothing away.
"""

from __future__ import annotations

import json
from typing import Any

from mercury.expressions import Expression
from mercury.expressions.syntax import Node
from mercury.expressions.types import Kind

_SYMMETRIC = {"=", "<>", "distinct", "not_distinct", "+", "*"}
_TURNED = {">": "<", ">=": "<="}
_OPPOSITE = {"=": "<>", "<>": "=", "distinct": "not_distinct", "not_distinct": "distinct"}


def canonical(text: str) -> str:
    """JSON of an expression in its one form.

    >>> canonical("a > 1 AND b = 'x'") == canonical("('x' = b) and 1 < a")
    True
    """
    return _json(_normal(Expression.parse(text).tree))


def conjuncts(text: str) -> frozenset[str]:
    """The canonical forms of all conditions that must hold for this one to hold."""
    tree = _normal(Expression.parse(text).tree)
    return frozenset(map(_json, tree[3:] if tree[0] == "and" else [tree]))


def _normal(node: Node) -> list[Any]:
    """``[operation, value, escape, operand, …]``."""
    op = node.op
    value = node.value.name if isinstance(node.value, Kind) else node.value
    args = []
    for part in _chain(node) if op in ("and", "or") else node.args:  # a loop, since each frame counts in deep trees
        args.append(_normal(part))
    if op in ("and", "or"):
        args = _sorted(args)
        return args[0] if len(args) == 1 else [op, None, "", *args]
    if op == "not":
        return _negated(args[0])
    if op in _TURNED:
        return [_TURNED[op], None, "", args[1], args[0]]
    if op == "in":
        listed = _sorted(args[1:])
        return ["=", None, "", *_ordered([args[0], *listed])] if len(listed) == 1 else [op, None, "", args[0], *listed]
    return [op, value, node.escape, *(_ordered(args) if op in _SYMMETRIC else args)]


def _negated(test: list[Any]) -> list[Any]:
    op, _, _, *args = test
    if op == "not":
        inner: list[Any] = args[0]
        return inner
    if op in _OPPOSITE:
        return [_OPPOSITE[op], None, "", *args]
    if op in ("<", "<="):
        return ["<=" if op == "<" else "<", None, "", args[1], args[0]]
    return ["not", None, "", test]


def _chain(node: Node) -> list[Node]:
    """The operands of nested ANDs, or of nested ORs."""
    found, pending = [], [node]
    while pending:
        part = pending.pop()
        if part.op == node.op:
            pending.extend(part.args)
        else:
            found.append(part)
    return found


def _ordered(parts: list[Any]) -> list[Any]:
    return sorted(parts, key=_json)


def _sorted(parts: list[Any]) -> list[Any]:
    """In order, each once."""
    return list({_json(part): part for part in _ordered(parts)}.values())


def _json(tree: Any) -> str:
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False)
