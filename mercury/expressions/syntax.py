"""From text to a small syntax tree, by sqlglot and a whitelist: what is not listed here is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from mercury.errors import ExpressionError, UsageError, did_you_mean
from mercury.expressions.functions import DATE_PARTS, FUNCTIONS, INSTEAD, TRUNCATIONS
from mercury.expressions.types import Kind
from mercury.time import duration, parse_instant

MAX_LENGTH = 10_000
"""Longest expression, in characters."""
MAX_DEPTH = 60
"""Deepest nesting of parentheses, and of the tree apart from chains of AND, OR, + and the like."""

Value = None | bool | int | float | str | Kind


@dataclass(frozen=True)
class Node:
    """One operation: its name, its operands, a value (name, literal, target kind) and the text ``[start, end)``."""

    op: str
    args: tuple[Node, ...] = ()
    value: Value = None
    escape: str = ""
    start: int = 0
    end: int = 0

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(node.args)


def parse(text: str) -> Node:
    """The syntax tree of an expression; `ExpressionError` with an excerpt when it is not one, or not allowed."""
    if not isinstance(text, str) or not text.strip():
        raise ExpressionError("the expression is empty", fix="Write a SQL expression such as 'dep_delay > 15'")
    if len(text) > MAX_LENGTH or _depth(text) > MAX_DEPTH:
        raise ExpressionError(
            f"the expression is too long or too deep ({len(text)} characters)",
            fix=f"Keep it under {MAX_LENGTH} characters and {MAX_DEPTH} levels of parentheses; split it into columns",
        )
    try:
        trees = sqlglot.parse(text, read="duckdb")
        if len(trees) != 1 or trees[0] is None or isinstance(trees[0], exp.Block):
            raise fault(text, "this is not one expression", 0, len(text), "Remove the semicolon")
        return _Reader(text).read(trees[0], 0)
    except ParseError as error:
        raise _parse_fault(text, error) from None
    except SqlglotError as error:
        reason = "a quote is not closed" if "Missing" in str(error) else "the expression cannot be read"
        raise fault(text, reason, 0, len(text), "Check quotes and odd characters") from None
    except RecursionError:
        raise fault(text, "the expression is nested too deeply", 0, len(text), "Split it into columns") from None


def fault(text: str, what: str, start: int, end: int, fix: str | None = None) -> ExpressionError:
    """An error about ``text[start:end]``, with an excerpt that has carets under it.

    >>> print(fault("1 + dealy", "no column 'dealy'", 4, 9).excerpt)
        1 + dealy
            ^^^^^
    """
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    line = text[line_start : line_end if line_end >= 0 else len(text)]
    width = max(1, min(end, line_start + len(line)) - start)
    excerpt = f"    {line}\n    {' ' * (start - line_start)}{'^' * width}".replace("\t", " ")
    return ExpressionError(what, where=f"expression {_short(text)!r}", fix=fix, excerpt=excerpt)


_BINARY: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "not_distinct",
    exp.NullSafeNEQ: "distinct",
    exp.And: "and",
    exp.Or: "or",
}

_CALLS: dict[type[exp.Expr], str] = {
    exp.Abs: "abs",
    exp.Round: "round",
    exp.Floor: "floor",
    exp.Ceil: "ceil",
    exp.Trunc: "trunc",
    exp.Sign: "sign",
    exp.Sqrt: "sqrt",
    exp.Ln: "ln",
    exp.Exp: "exp",
    exp.Pow: "power",
    exp.Least: "least",
    exp.Greatest: "greatest",
    exp.Lower: "lower",
    exp.Upper: "upper",
    exp.Length: "length",
    exp.Substring: "substr",
    exp.Concat: "concat",
    exp.DPipe: "concat",
    exp.Replace: "replace",
    exp.StartsWith: "starts_with",
    exp.EndsWith: "ends_with",
    exp.Contains: "contains",
    exp.Coalesce: "coalesce",
    exp.Nullif: "nullif",
    exp.IsNan: "isnan",
    exp.IsInf: "isinf",
    exp.TimeToUnix: "epoch",
    exp.Year: "year",
    exp.Quarter: "quarter",
    exp.Month: "month",
    exp.Week: "week",
    exp.Day: "day",
    exp.Hour: "hour",
    exp.Minute: "minute",
    exp.Second: "second",
}

_CASTS = {
    "BOOLEAN": Kind.BOOL,
    "INT": Kind.INT,
    "BIGINT": Kind.INT,
    "FLOAT": Kind.FLOAT,
    "DOUBLE": Kind.FLOAT,
    "TEXT": Kind.TEXT,
    "VARCHAR": Kind.TEXT,
    "DATE": Kind.DATE,
    "TIMESTAMP": Kind.TIME,
    "TIMESTAMPTZ": Kind.TIME,
    "TIMESTAMPNTZ": Kind.TIME,
}

_INTERVAL_UNITS = {
    "MICROSECOND": "us",
    "MILLISECOND": "ms",
    "SECOND": "s",
    "MINUTE": "m",
    "HOUR": "h",
    "DAY": "d",
    "WEEK": "w",
}


class _Reader:
    """Turns sqlglot's tree into ours, and refuses every node and argument that it does not know."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, tree: exp.Expr, depth: int) -> Node:
        if depth > MAX_DEPTH * 8:
            raise RecursionError
        start, end = self._span(tree)
        node = self._read(tree, depth + 1)
        return Node(node.op, node.args, node.value, node.escape, start, end)

    def _read(self, tree: exp.Expr, depth: int) -> Node:
        kind = type(tree)
        if kind is exp.Paren:
            return self.read(tree.this, depth)
        if kind is exp.Column:
            return self._column(tree)
        if kind is exp.Literal:
            return Node("literal", value=tree.this if tree.is_string else self._number(tree, tree.this))
        if kind is exp.Boolean:
            return Node("literal", value=bool(tree.this))
        if kind is exp.Null:
            return Node("literal", value=None)
        if kind in _BINARY:
            return Node(_BINARY[kind], self._all(depth, tree.this, tree.expression))
        if kind is exp.Not:
            return Node("not", self._all(depth, tree.this))
        if kind is exp.Neg:
            if isinstance(tree.this, exp.Literal) and not tree.this.is_string:
                return Node("literal", value=self._number(tree, "-" + tree.this.this))
            return Node("neg", self._all(depth, tree.this))
        if kind is exp.Is:
            return self._is(tree, depth)
        if kind in (exp.Like, exp.Escape):
            return self._like(tree, depth)
        if kind is exp.In:
            if not tree.expressions or any(tree.args.get(key) for key in ("query", "unnest", "field", "is_global")):
                raise self._refuse(tree, "IN takes a list of values", "Write x IN ('a', 'b')")
            return Node("in", self._all(depth, tree.this, *tree.expressions))
        if kind is exp.Between:
            if tree.args.get("symmetric"):
                raise self._refuse(tree, "BETWEEN SYMMETRIC is not known", "Write the lesser bound first")
            return Node("between", self._all(depth, tree.this, tree.args["low"], tree.args["high"]))
        if kind in (exp.Case, exp.If):
            return self._case(tree, depth)
        if kind in (exp.Cast, exp.TryCast):
            return self._cast(tree, depth)
        if kind is exp.Interval:
            return self._interval(tree)
        if kind is exp.Extract:
            part = str(tree.this.name).lower()
            if part not in DATE_PARTS:
                raise self._refuse(tree, f"{part!r} cannot be extracted", did_you_mean(part, DATE_PARTS))
            return Node("extract", self._all(depth, tree.expression), part)
        if kind in (exp.TimestampTrunc, exp.DateTrunc):
            return self._truncation(tree, depth)
        if kind is exp.Trim:
            return self._trim(tree, depth)
        return self._call(tree, depth)

    def _column(self, tree: exp.Expr) -> Node:
        if any(tree.args.get(key) for key in ("table", "db", "catalog")) or not isinstance(tree.this, exp.Identifier):
            raise self._refuse(tree, f"{tree.sql()} is not a plain column", 'Name a column only; quote a dot: "a.b"')
        return Node("column", value=tree.this.this)

    def _number(self, tree: exp.Expr, digits: str) -> int | float:
        if re.fullmatch(r"-?\d+", digits):
            whole = int(digits)
            if not -(2**63) <= whole < 2**63:
                raise self._refuse(tree, f"{digits} does not fit into 64 bits", f"Write it as a float: {digits}.0")
            return whole
        number = float(digits)
        if not math.isfinite(number):
            raise self._refuse(tree, f"{digits} is too great for a float")
        return number

    def _is(self, tree: exp.Expr, depth: int) -> Node:
        right = tree.expression
        if isinstance(right, exp.Null):
            return Node("is_null", self._all(depth, tree.this))
        if isinstance(right, exp.Boolean):
            return Node("is_true" if right.this else "is_false", self._all(depth, tree.this))
        raise self._refuse(tree, "IS takes NULL, TRUE or FALSE", "Compare values with =")

    def _like(self, tree: exp.Expr, depth: int) -> Node:
        escape = ""
        like = tree
        if isinstance(tree, exp.Escape):
            like = tree.this
            escape = tree.expression.this if self._is_text(tree.expression) else ""
            if type(like) is not exp.Like or len(escape) != 1:
                raise self._refuse(tree, "ESCAPE takes one character after LIKE", "Write x LIKE 'a!%' ESCAPE '!'")
        if not self._is_text(like.expression):
            raise self._refuse(like, "LIKE takes a pattern in quotes", "Write x LIKE 'N%'")
        pattern = like.expression.this
        if escape and pattern.replace(escape * 2, "").endswith(escape):
            raise self._refuse(like, f"the pattern {pattern!r} ends in its escape character")
        node = Node("like", self._all(depth, like.this), pattern, escape)
        return Node("not", (node,)) if like.args.get("negate") else node

    def _case(self, tree: exp.Expr, depth: int) -> Node:
        branches = [tree] if isinstance(tree, exp.If) else tree.args["ifs"]
        subject = self.read(tree.this, depth) if isinstance(tree, exp.Case) and tree.this else None
        parts: list[Node] = []
        for branch in branches:
            test = self.read(branch.this, depth)
            if subject is not None:
                test = Node("=", (subject, test), start=test.start, end=test.end)
            parts += [test, self.read(branch.args["true"], depth)]
        other = tree.args.get("false" if isinstance(tree, exp.If) else "default")
        parts.append(self.read(other, depth) if other is not None else Node("literal", value=None))
        return Node("case", tuple(parts))

    def _cast(self, tree: exp.Expr, depth: int) -> Node:
        target = tree.args["to"]
        name = target.this.name if isinstance(target.this, exp.DType) else str(target.this)
        kind = _CASTS.get(name)
        if kind is None or target.expressions:
            raise self._refuse(
                tree,
                f"{target.sql().lower()} is not a type that a cast can have",
                "Types: bool, bigint, double, text, date, timestamp",
            )
        if self._is_text(tree.this) and kind in (Kind.DATE, Kind.TIME):
            return Node("literal_moment", value=self._moment(tree, tree.this.this), escape=kind.name)
        return Node("cast", self._all(depth, tree.this), kind)

    def _moment(self, tree: exp.Expr, text: str) -> int:
        try:
            return read_moment(text)
        except UsageError:
            raise self._refuse(tree, f"{text!r} is not a time", "Write it as '2013-01-31 12:00:00'") from None

    def _interval(self, tree: exp.Expr) -> Node:
        unit = str(tree.args["unit"].name).upper().rstrip("S") if tree.args.get("unit") else ""
        amount = str(tree.this.name) if isinstance(tree.this, exp.Literal) else ""
        if unit not in _INTERVAL_UNITS or not re.fullmatch(r"-?\d{1,12}", amount):
            raise self._refuse(
                tree, "this is not an interval of fixed length", "Write INTERVAL '90 minutes'; months have no length"
            )
        size = duration(amount.lstrip("-") + _INTERVAL_UNITS[unit])
        if size >= 2**62:
            raise self._refuse(tree, "the interval is too long")
        return Node("interval", value=-size if amount.startswith("-") else size)

    def _truncation(self, tree: exp.Expr, depth: int) -> Node:
        unit = str(tree.args["unit"].name).lower() if tree.args.get("unit") else ""
        if unit not in TRUNCATIONS or tree.args.get("zone"):
            raise self._refuse(tree, f"date_trunc does not know {unit!r}", did_you_mean(unit, TRUNCATIONS))
        return Node("date_trunc", self._all(depth, tree.this), unit)

    def _trim(self, tree: exp.Expr, depth: int) -> Node:
        if tree.args.get("expression") or tree.args.get("collation"):
            raise self._refuse(tree, "trim removes blanks and takes one argument", "Use replace for other characters")
        side = str(tree.args.get("position") or "").upper()
        name = {"": "trim", "BOTH": "trim", "LEADING": "ltrim", "TRAILING": "rtrim"}[side]
        return Node("call", self._all(depth, tree.this), name)

    def _call(self, tree: exp.Expr, depth: int) -> Node:
        kind = type(tree)
        name = str(tree.this).lower() if kind is exp.Anonymous else _CALLS.get(kind, "")
        if kind is exp.Log and isinstance(tree.this, exp.Literal) and tree.this.this == "10" and tree.expression:
            name = "log10"
        if name not in FUNCTIONS:
            raise self._unknown(tree, name)
        if kind is exp.Log:
            operands = [tree.expression]
        elif kind is exp.Anonymous:
            operands = list(tree.expressions)
        elif kind is exp.Substring:
            operands = [tree.this, tree.args.get("start"), tree.args.get("length")]
        else:
            operands = [tree.this, tree.args.get("expression"), tree.args.get("replacement")]
            operands += [tree.args.get("decimals"), *tree.expressions]
        present = [operand for operand in operands if isinstance(operand, exp.Expr)]
        given = sum(len(v) if isinstance(v, list) else isinstance(v, exp.Expr) for v in tree.args.values())
        least, most = FUNCTIONS[name].arity
        if given != len(present) + (kind is exp.Log) or not least <= len(present) <= most:
            wanted = str(least) if least == most else f"{least} to {most}" if most < 99 else f"{least} or more"
            raise self._refuse(tree, f"{name} takes {wanted} arguments", FUNCTIONS[name].usage)
        return Node("call", self._all(depth, *present), name)

    def _unknown(self, tree: exp.Expr, name: str) -> ExpressionError:
        if isinstance(tree, exp.Alias):
            start, end = self._own_span(tree.args["alias"]) or self._span(tree)
            word = self.text[start:end]
            return fault(
                self.text, f"{word!r} is not expected here", start, end, "Put an operator between, or quote it"
            )
        if isinstance(tree, (exp.Query, exp.Subquery, exp.Exists)):
            return self._refuse(tree, "a query is not an expression", "Join the data in a batch job first")
        if isinstance(tree, (exp.AggFunc, exp.Window)):
            word = tree.sql_name().lower() if isinstance(tree, exp.Func) else "a window function"
            return self._refuse(tree, f"{word} aggregates rows", "Use Sum(…), Mean(…), … of mercury.definitions")
        word = name or (tree.sql_name().lower() if isinstance(tree, exp.Func) else tree.key)
        hint = INSTEAD.get(word) or did_you_mean(word, FUNCTIONS)
        return self._refuse(tree, f"{word!r} is not allowed in an expression", hint)

    def _all(self, depth: int, *trees: exp.Expr) -> tuple[Node, ...]:
        return tuple(self.read(tree, depth) for tree in trees)

    def _is_text(self, tree: object) -> bool:
        return isinstance(tree, exp.Literal) and bool(tree.is_string)

    def _refuse(self, tree: exp.Expr, what: str, fix: str | None = None) -> ExpressionError:
        return fault(self.text, what, *self._span(tree), fix)

    def _own_span(self, tree: exp.Expr) -> tuple[int, int] | None:
        meta = tree.meta
        return (meta["start"], meta["end"] + 1) if "start" in meta else None

    def _span(self, tree: exp.Expr) -> tuple[int, int]:
        spans = [span for part in tree.walk() if (span := self._own_span(part))]
        if not spans:
            return 0, len(self.text)
        return min(start for start, _ in spans), max(end for _, end in spans)


def read_moment(text: str) -> int:
    """Microseconds UTC of ISO text; without a zone it is UTC. `UsageError` when it is not a time."""
    compact = text.strip()
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?", compact):
        compact += "Z"
    elif re.search(r"\d[+-]\d{2}$", compact) and ":" in compact:
        compact += ":00"
    return parse_instant(compact)


def _depth(text: str) -> int:
    deepest = level = 0
    for character in text:
        level += (character in "([{") - (character in ")]}")
        deepest = max(deepest, level)
    return deepest


def _parse_fault(text: str, error: ParseError) -> ExpressionError:
    details = error.errors[0] if error.errors else {}
    token = str(details.get("highlight") or "")
    line, column = int(details.get("line") or 1), int(details.get("col") or 1)
    line_start = 0
    for _ in range(line - 1):
        line_start = text.find("\n", line_start) + 1
    end = min(len(text), line_start + column)
    start = max(0, end - max(1, len(token)))
    if "Required keyword" in str(details.get("description")) or "Expecting" in str(details.get("description")):
        return fault(text, f"something is missing after {token!r}", start, end, "Complete the expression")
    return fault(text, f"{token!r} is not expected here", start, end, "Check the expression before this place")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:57] + "…"
