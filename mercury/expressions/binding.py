"""Types: a syntax tree against a schema becomes a tree of terms, each with a kind, or an error with a caret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from mercury.errors import ExpressionError, UsageError, did_you_mean
from mercury.expressions.functions import FUNCTIONS
from mercury.expressions.syntax import Node, Value, fault, read_moment
from mercury.expressions.types import MOMENTS, NUMBERS, Kind, is_canonical, kind_of

Leaf = Literal["canonical", "narrow", "encoded", "naive"]


@dataclass(frozen=True)
class Term:
    """A typed operation. `leaf` says how a column must be converted before it is computed with:

    ``canonical`` not at all, ``narrow`` from an integer of fewer bits, ``encoded`` by a cast to the engine's type of
    its kind, ``naive`` from a time without a zone to an instant in UTC.
    """

    op: str
    kind: Kind
    args: tuple[Term, ...] = ()
    value: Value = None
    escape: str = ""
    leaf: Leaf = "canonical"
    start: int = 0
    end: int = 0


def bind(text: str, root: Node, schema: pa.Schema | None) -> Term:
    """The typed tree of an expression over rows of `schema`; without a schema every column is of unknown kind.

    Raises `ExpressionError` for a column that is not there, and for operands that do not fit, with a caret.
    """
    return _Binder(text, schema).bind(root)


class _Binder:
    def __init__(self, text: str, schema: pa.Schema | None) -> None:
        self.text = text
        self.schema = schema

    def bind(self, node: Node) -> Term:
        term = self._bind(node)
        return replace(term, start=node.start, end=node.end)

    def _bind(self, node: Node) -> Term:
        op = node.op
        if op == "column":
            return self._column(node)
        if op == "literal":
            return Term("literal", _literal_kind(node.value), value=node.value)
        if op == "literal_moment":
            return Term("literal", Kind[node.escape], value=_to_day(node.value, Kind[node.escape]))
        if op == "interval":
            return Term("interval", Kind.INTERVAL, value=node.value)
        if op in ("case", "in", "between") or op in _COMPARISONS:
            return getattr(self, f"_{_COMPARISONS.get(op, op)}")(node)
        args = tuple(self.bind(part) for part in node.args)
        if op in ("and", "or", "not", "is_true", "is_false"):
            word = op.replace("_", " ").upper()
            return Term(op, Kind.BOOL, tuple(self._need(arg, frozenset({Kind.BOOL}), word) for arg in args))
        if op == "is_null":
            return Term(op, Kind.BOOL, args)
        if op == "like":
            subject = self._need(args[0], frozenset({Kind.TEXT}), "LIKE")
            return Term(op, Kind.BOOL, (subject,), node.value, node.escape)
        if op in ("+", "-", "*", "/", "//", "%", "neg"):
            return self._arithmetic(node, args)
        if op == "cast":
            return self._cast(node, args[0])
        if op in ("extract", "date_trunc"):
            moment = self._need(args[0], MOMENTS, op)
            if op == "date_trunc":
                return Term(op, Kind.TIME, (_as(moment, Kind.TIME),), node.value)
            return Term(op, Kind.FLOAT if node.value == "epoch" else Kind.INT, (moment,), node.value)
        return self._call(node, args)

    def _column(self, node: Node) -> Term:
        name = str(node.value)
        if self.schema is None:
            return Term("column", Kind.UNKNOWN, value=name)
        names = self.schema.names
        if names.count(name) != 1:
            what = f"the table has no column {name!r}" if name not in names else f"two columns are named {name!r}"
            raise fault(self.text, what, node.start, node.end, did_you_mean(name, names))
        twins = [other for other in names if other != name and other.lower() == name.lower()]
        if twins:
            raise self._fail(node, f"columns {name!r} and {twins[0]!r} differ in case only", "Rename one of them")
        type_ = self.schema.field(name).type
        kind = kind_of(type_)
        if kind is None:
            raise self._fail(
                node, f"column {name!r} has the type {type_}, which expressions do not take", "Cast it beforehand"
            )
        naive = pa.types.is_timestamp(type_) and type_.tz is None
        integer = pa.types.is_integer(type_)
        leaf: Leaf = "naive" if naive else "canonical" if is_canonical(type_) else "narrow" if integer else "encoded"
        return Term("column", kind, value=name, leaf=leaf)

    def _comparison(self, node: Node) -> Term:
        return Term(node.op, Kind.BOOL, self._unify([self.bind(part) for part in node.args])[1])

    _in = _between = _comparison

    def _case(self, node: Node) -> Term:
        terms = [self.bind(part) for part in node.args]
        tests = [self._need(test, frozenset({Kind.BOOL}), "WHEN") for test in terms[:-1:2]]
        kind, values = self._unify([*terms[1::2], terms[-1]])
        ordered = [part for pair in zip(tests, values[:-1], strict=True) for part in pair]
        return Term("case", kind, (*ordered, values[-1]))

    def _arithmetic(self, node: Node, args: tuple[Term, ...]) -> Term:
        kinds = {arg.kind for arg in args}
        if Kind.INTERVAL in kinds:
            return self._shift(node, args)
        if node.op == "-" and len(kinds & MOMENTS) and kinds <= MOMENTS | {Kind.TEXT, Kind.NULL}:
            raise self._fail(node, "times cannot be subtracted", "Write epoch(a) - epoch(b), the difference in seconds")
        for arg in args:
            if arg.kind is Kind.TEXT and node.op == "+":
                raise self._fail(arg, "+ does not take text", "Join text with ||")
        kinds_taken = frozenset({Kind.INT}) if node.op == "//" else NUMBERS
        args = tuple(self._need(arg, kinds_taken, "-" if node.op == "neg" else node.op) for arg in args)
        if node.op == "/":
            return Term("/", Kind.FLOAT, tuple(_as(arg, Kind.FLOAT) for arg in args))
        if node.op == "//":
            return Term("//", Kind.INT, args)
        kind, unified = self._unify(list(args))
        return Term(node.op, kind, unified)

    def _shift(self, node: Node, args: tuple[Term, ...]) -> Term:
        if node.op == "+" and args[0].kind is Kind.INTERVAL:
            args = (args[1], args[0])
        moment, interval = args if len(args) == 2 else (args[0], args[0])
        fits = moment.kind in MOMENTS | {Kind.UNKNOWN, Kind.NULL} and interval.kind is Kind.INTERVAL
        if node.op not in ("+", "-") or not fits:
            raise self._fail(node, "an interval is only added to or taken from a time", "Write t + INTERVAL '1 hour'")
        assert isinstance(interval.value, int)
        step = interval.value if node.op == "+" else -interval.value
        return Term("shift", Kind.TIME, (_as(moment, Kind.TIME),), step)

    def _cast(self, node: Node, arg: Term) -> Term:
        target = node.value
        assert isinstance(target, Kind)
        if arg.kind is Kind.UNKNOWN:
            raise self._fail(
                node, "a cast needs to know the type of its column", "Give the schema: sql(dialect, schema)"
            )
        if target is not arg.kind and arg.kind is not Kind.NULL and (arg.kind, target) not in _CASTS:
            raise self._fail(
                node, f"{arg.kind.value} cannot be cast to {target.value}", _CAST_HINTS.get((arg.kind, target))
            )
        return Term("cast", target, (arg,))

    def _call(self, node: Node, args: tuple[Term, ...]) -> Term:
        name = str(node.value)
        function = FUNCTIONS[name]
        for place, arg in enumerate(args):
            kinds = function.operands[min(place, len(function.operands) - 1)]
            args = (*args[:place], self._need(arg, kinds, name), *args[place + 1 :])
            if arg.kind is Kind.UNKNOWN and name in _NEED_TYPES:
                raise self._fail(
                    arg, f"{name} needs to know the type of its column", "Give the schema: sql(dialect, schema)"
                )
        if name == "round" and len(args) == 2:
            decimals = args[1].value
            if args[1].op != "literal" or not isinstance(decimals, int) or not 0 <= decimals <= 15:
                raise self._fail(args[1], "the decimals of round are a number from 0 to 15", function.usage)
            return Term("call", args[0].kind, args, name)
        if name in ("year", "quarter", "month", "week", "day", "hour", "minute", "second"):
            return Term("extract", Kind.INT, args, name)
        if name == "epoch":
            return Term("extract", Kind.FLOAT, args, name)
        if function.result is None:
            kind, args = self._unify(list(args))
            return Term("call", kind, args, name)
        if function.result is Kind.FLOAT or name in ("isnan", "isinf"):
            args = tuple(_as(arg, Kind.FLOAT) for arg in args)
        return Term("call", function.result, args, name)

    def _unify(self, terms: Sequence[Term]) -> tuple[Kind, tuple[Term, ...]]:
        """The common kind of the terms, and the terms brought to it."""
        first: Term | None = None
        kind = Kind.NULL
        for term in terms:
            if term.kind is Kind.NULL or (term.kind is Kind.UNKNOWN and kind is not Kind.NULL):
                continue
            if kind in (Kind.NULL, Kind.UNKNOWN):
                kind, first = term.kind, term
                continue
            wider = _wider(kind, term)
            if wider is None and first is not None and (back := _wider(term.kind, first)) is not None:
                wider = back
            if wider is None:
                raise self._fail(
                    term,
                    f"{term.kind.value} does not go with {kind.value}",
                    "Cast one side, as in cast(x AS double)" if term.kind is not Kind.BOOL else None,
                )
            kind = wider
        return kind, tuple(self._brought(term, kind) for term in terms)

    def _brought(self, term: Term, kind: Kind) -> Term:
        if term.kind is Kind.TEXT and kind in MOMENTS:
            if term.op != "literal":
                raise self._fail(term, f"text does not go with {kind.value}", "Cast it, as in cast(x AS timestamp)")
            try:
                instant = read_moment(str(term.value))
            except UsageError:
                raise self._fail(term, f"{term.value!r} is not a time", "Write '2013-01-31 12:00:00'") from None
            if kind is Kind.DATE and instant % _DAY:
                raise self._fail(term, f"{term.value!r} is not a date", "Write '2013-01-31'")
            return replace(term, kind=kind, value=_to_day(instant, kind))
        return _as(term, kind)

    def _need(self, term: Term, kinds: frozenset[Kind], by: str) -> Term:
        """The term, which must be of one of the kinds; a NULL becomes one of the kind that widens to the others."""
        if term.kind in kinds or term.kind is Kind.UNKNOWN:
            return term
        if term.kind is Kind.NULL:
            plain = Kind.INT if kinds == NUMBERS else Kind.DATE if kinds == MOMENTS else next(iter(kinds))
            return term if len(kinds) > 2 else _as(term, plain)
        wanted = " or ".join(sorted(kind.value for kind in kinds))
        hint = "Compare it: x <> 0" if kinds == {Kind.BOOL} and term.kind in NUMBERS else None
        if term.kind is Kind.BOOL and kinds & NUMBERS:
            hint = "Write cast(x AS bigint) for 1 or 0"
        raise self._fail(term, f"{by} takes {wanted}, not {term.kind.value}", hint)

    def _fail(self, place: Node | Term, what: str, fix: str | None = None) -> ExpressionError:
        return fault(self.text, what, place.start, place.end, fix)


_DAY = 86_400_000_000

_COMPARISONS = dict.fromkeys(("=", "<>", "<", "<=", ">", ">=", "distinct", "not_distinct"), "comparison")

_CASTS = {
    (Kind.BOOL, Kind.INT),
    (Kind.BOOL, Kind.FLOAT),
    (Kind.BOOL, Kind.TEXT),
    (Kind.INT, Kind.FLOAT),
    (Kind.INT, Kind.TEXT),
    (Kind.FLOAT, Kind.INT),
    (Kind.TEXT, Kind.BOOL),
    (Kind.TEXT, Kind.INT),
    (Kind.TEXT, Kind.FLOAT),
    (Kind.TEXT, Kind.DATE),
    (Kind.TEXT, Kind.TIME),
    (Kind.DATE, Kind.TIME),
    (Kind.DATE, Kind.TEXT),
    (Kind.TIME, Kind.DATE),
}

_CAST_HINTS = {
    (Kind.INT, Kind.BOOL): "Write x <> 0",
    (Kind.FLOAT, Kind.BOOL): "Write x <> 0",
    (Kind.FLOAT, Kind.TEXT): "Engines write floats differently; round it and cast it to bigint",
    (Kind.TIME, Kind.INT): "Write epoch_us(x)",
    (Kind.TIME, Kind.FLOAT): "Write epoch(x)",
    (Kind.TIME, Kind.TEXT): "Engines write times differently; cast it to date first, or use extract",
}

_NEED_TYPES = {"abs", "round", "floor", "ceil", "trunc"}


def _wider(kind: Kind, term: Term) -> Kind | None:
    other = term.kind
    if kind is other or other is Kind.UNKNOWN:
        return kind
    if {kind, other} == NUMBERS:
        return Kind.FLOAT
    if {kind, other} == MOMENTS:
        return Kind.TIME
    if kind in MOMENTS and other is Kind.TEXT and term.op == "literal":
        # '2013-01-01 12:00' beside a date makes an instant of both; '2013-01-01' leaves them dates.
        return Kind.TIME if kind is Kind.DATE and ":" in str(term.value) else kind
    return None


def _as(term: Term, kind: Kind) -> Term:
    """The term as another kind, which it is known to fit."""
    if term.kind is kind or term.kind is Kind.UNKNOWN or kind in (Kind.UNKNOWN, Kind.NULL):
        return term
    if term.op == "literal":
        value = term.value
        if term.kind is Kind.INT and kind is Kind.FLOAT and isinstance(value, int):
            value = float(value)
        elif term.kind is Kind.DATE and kind is Kind.TIME and isinstance(value, int):
            value = value * _DAY
        return replace(term, kind=kind, value=value)
    return Term("cast", kind, (term,), start=term.start, end=term.end)


def _literal_kind(value: Value) -> Kind:
    if value is None:
        return Kind.NULL
    if isinstance(value, bool):
        return Kind.BOOL
    return Kind.INT if isinstance(value, int) else Kind.FLOAT if isinstance(value, float) else Kind.TEXT


def _to_day(instant: Value, kind: Kind) -> int:
    assert isinstance(instant, int)
    return instant // _DAY if kind is Kind.DATE else instant
