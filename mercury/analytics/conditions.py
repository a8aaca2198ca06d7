"""Conditions as checked expressions: values become literals of a syntax tree, and never part of a text by hand.

A condition is a tree of `mercury.expressions`. It is written out again by `text_of`, which reads back what it wrote and
compares the trees: so what reaches an engine is the tree that was checked, whatever characters a value holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mercury.errors import MercuryError, UsageError, did_you_mean
from mercury.expressions import Expression
from mercury.expressions.syntax import Node
from mercury.time import to_iso

OPERATORS = ("=", "<>", "<", "<=", ">", ">=", "in", "not in", "like", "between", "is null", "is not null")
"""What a filter of a JSON query may do."""

_INFIX = {"+", "-", "*", "/", "//", "%", "=", "<>", "<", "<=", ">", ">=", "and", "or"}
_WORDS = {"distinct": "IS DISTINCT FROM", "not_distinct": "IS NOT DISTINCT FROM", "and": "AND", "or": "OR"}
_AFTER = {"is_null": "IS NULL", "is_true": "IS TRUE", "is_false": "IS FALSE"}
_TYPES = {"BOOL": "boolean", "INT": "bigint", "FLOAT": "double", "TEXT": "varchar", "DATE": "date", "TIME": "timestamp"}


def column(name: str) -> Node:
    """The node of a column."""
    return Node("column", value=name)


def comparison(field: str, operator: str, values: Sequence[object]) -> Node:
    """The condition that a filter of a JSON query stands for; `UsageError` for one that is none."""
    op = operator.strip().lower()
    if op not in OPERATORS:
        raise UsageError(f"{operator!r} is not an operator", where="filters", fix=did_you_mean(op, OPERATORS))
    wanted = {"is null": 0, "is not null": 0, "between": 2}.get(op, 1)
    if op in ("in", "not in"):
        if not values:
            raise UsageError(f"the list of {field!r} is empty", where="filters", fix="Give at least one value")
    elif len(values) != wanted:
        raise UsageError(f"{op!r} takes {wanted} values, not {len(values)}", where=f"filter of {field!r}")
    operands = tuple(_literal(value, field) for value in values)
    if op in ("is null", "is not null"):
        test = Node("is_null", (column(field),))
    elif op == "like":
        if not isinstance(values[0], str):
            raise UsageError("LIKE takes a text", where=f"filter of {field!r}", fix="Write 'N%'")
        test = Node("like", (column(field),), values[0])
    elif op in ("in", "not in", "between"):
        test = Node("between" if op == "between" else "in", (column(field), *operands))
    else:
        return Node(op, (column(field), *operands))
    return Node("not", (test,)) if " not" in f" {op}" and op != "in" else test


def conjuncts(node: Node) -> list[Node]:
    """The conditions that must all hold."""
    return [part for arg in node.args for part in conjuncts(arg)] if node.op == "and" else [node]


def conjunction(parts: Sequence[str]) -> str | None:
    """SQL of all conditions together; None when there are none."""
    return " AND ".join(f"({part})" for part in parts) if parts else None


def disjunction(parts: Sequence[str | None]) -> str | None:
    """SQL of at least one of some conditions; None, which always holds, when one of them is."""
    known = [part for part in parts if part is not None]
    return " OR ".join(f"({part})" for part in known) if len(known) == len(parts) else None


def text_of(node: Node, columns: Mapping[str, str] | None = None) -> str:
    """SQL of a tree, with some columns replaced by other expressions; it is known to be read back as the same tree."""
    trees = {name: Expression.parse(text).tree for name, text in (columns or {}).items()}
    wanted = _substituted(node, trees)
    text = _write(wanted)
    try:
        same = _plain(Expression.parse(text).tree) == _plain(wanted)
    except MercuryError as error:
        raise UsageError(f"this condition cannot be written: {error.what}", fix="Write it with fewer parts") from error
    if not same:
        raise UsageError(f"this condition cannot be written: {text}", fix="Write it in another way")
    return text


def _substituted(node: Node, trees: Mapping[str, Node]) -> Node:
    if node.op == "column" and node.value in trees:
        return trees[str(node.value)]
    return replace(node, args=tuple(_substituted(part, trees) for part in node.args))


def _plain(node: Node) -> Node:
    """The tree without places in a text; an escape that is the same for all engines is kept."""
    return replace(node, args=tuple(_plain(part) for part in node.args), start=0, end=0)


def _literal(value: object, field: str) -> Node:
    if value is None or not isinstance(value, (bool, int, float, str)):
        fix = "Use 'is null'" if value is None else "Send a text, a number, true or false"
        raise UsageError(f"{value!r} cannot be compared with", where=f"filter of {field!r}", fix=fix)
    return Node("literal", value=value)


def _write(node: Node) -> str:
    op, value = node.op, node.value
    if op == "column":
        return '"' + str(value).replace('"', '""') + '"'
    if op == "literal":
        return _write_literal(value)
    if op == "literal_moment":
        assert isinstance(value, int)
        text = to_iso(value)
        return f"DATE '{text[:10]}'" if node.escape == "DATE" and text.endswith("T00:00:00Z") else _moment(node, text)
    if op == "interval":
        return f"INTERVAL '{value} microseconds'"
    args = [_write(part) for part in node.args]
    if op in _INFIX or op in _WORDS:
        return f"({args[0]} {_WORDS.get(op, op)} {args[1]})"
    if op in _AFTER:
        return f"({args[0]} {_AFTER[op]})"
    if op == "not":
        return f"(NOT {args[0]})"
    if op == "neg":
        return f"(-({args[0]}))"
    if op == "like":
        escape = f" ESCAPE {_text(node.escape)}" if node.escape else ""
        return f"({args[0]} LIKE {_text(str(value))}{escape})"
    if op == "in":
        return f"({args[0]} IN ({', '.join(args[1:])}))"
    if op == "between":
        return f"({args[0]} BETWEEN {args[1]} AND {args[2]})"
    if op == "case":
        tests = " ".join(f"WHEN {test} THEN {then}" for test, then in zip(args[:-1:2], args[1::2], strict=False))
        return f"CASE {tests} ELSE {args[-1]} END"
    if op == "cast":
        return f"cast({args[0]} AS {_TYPES[getattr(value, 'name', '')]})"
    if op == "extract":
        return f"extract({value} FROM {args[0]})"
    if op == "date_trunc":
        return f"date_trunc('{value}', {args[0]})"
    return f"{value}({', '.join(args)})"


def _write_literal(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
    if isinstance(value, str):
        return _text(value)
    return f"({value!r})" if isinstance(value, (int, float)) and value < 0 else repr(value)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _moment(node: Node, text: str) -> str:
    return f"cast('{text}' AS {_TYPES[node.escape]})"
