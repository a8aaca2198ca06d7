"""From typed terms to SQL: what both engines write alike, and hooks for what they do not.

Rules of `mercury.expressions` are kept here and in the two dialects: nothing that is rendered can fail on a value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date, timedelta
from typing import ClassVar

from mercury.errors import ExpressionError
from mercury.expressions.binding import Term
from mercury.expressions.types import Kind
from mercury.time import to_iso

MAX_SQL = 50_000
"""Longest SQL that an expression may grow to, in characters; some functions write their operand several times."""

EXACT = float(2**52)
"""Every double from here on is a whole number."""

LONGEST = 1_000_000_000
"""More characters than a text can have."""

_WORD = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}"
INT_TEXT = r"[+-]?[0-9]+"
FLOAT_TEXT = r"[+-]?(?:[0-9]+(?:[.][0-9]*)?|[.][0-9]+)(?:[eE][+-]?[0-9]{1,9})?|[+-]?(?i:inf|infinity)|(?i:nan)"
DATE_TEXT = _WORD
TIME_TEXT = (
    _WORD + r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,6})?)?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?"
)


class Renderer(ABC):
    """Writes a term as SQL of one engine. Every rendered operation is in parentheses or is a call."""

    types: ClassVar[dict[Kind, str]]
    """The engine's name of the type of each kind."""

    def value(self, term: Term) -> str:
        """SQL of the term in the engine's type of its kind."""
        text = self.raw(term)
        if term.leaf in ("narrow", "encoded"):
            text = f"CAST({text} AS {self.types[term.kind]})"
        elif term.leaf == "naive":
            text = self.from_naive(text)
        if len(text) > MAX_SQL:
            raise ExpressionError(
                f"the expression grows to more than {MAX_SQL} characters of SQL",
                fix="Split it into columns",
            )
        return text

    def raw(self, term: Term) -> str:
        """SQL of the term; a column as it lies in the table."""
        if term.op == "column":
            return self.identifier(str(term.value))
        if term.op == "literal":
            return self._literal(term)
        if term.op in ("=", "<>", "<", "<=", ">", ">=", "in", "between", "distinct", "not_distinct"):
            return self._comparison(term)
        return str(getattr(self, f"_{_METHODS.get(term.op, term.op)}")(term))

    @abstractmethod
    def identifier(self, name: str) -> str:
        """A column's name, quoted."""

    @abstractmethod
    def text(self, value: str) -> str:
        """A text literal."""

    @abstractmethod
    def integer(self, value: int) -> str:
        """A 64-bit integer literal."""

    @abstractmethod
    def float(self, value: float) -> str:
        """A double literal."""

    @abstractmethod
    def instant(self, value: str) -> str:
        """A literal of a time, from ISO 8601 text in UTC."""

    @abstractmethod
    def from_naive(self, sql: str) -> str:
        """An instant from a time without a zone, which is UTC."""

    @abstractmethod
    def checked(self, kind: Kind, op: str, left: str, right: str) -> str:
        """``+``, ``-`` or ``*`` of 64-bit integers; NULL on overflow."""

    @abstractmethod
    def divided(self, left: str, right: str) -> str:
        """Integer division that truncates; NULL for a zero divisor and on overflow."""

    @abstractmethod
    def remainder(self, kind: Kind, left: str, right: str) -> str:
        """Remainder with the sign of the dividend; NULL for a zero divisor."""

    @abstractmethod
    def different(self, left: str, right: str) -> str:
        """IS DISTINCT FROM."""

    @abstractmethod
    def like(self, operand: str, pattern: str) -> str:
        """LIKE with ``!`` as the escape character of the pattern."""

    @abstractmethod
    def matches(self, operand: str, pattern: str) -> str:
        """Whether a regular expression, of the subset that RE2 and Java read alike, matches the whole text."""

    @abstractmethod
    def try_cast(self, operand: str, kind: Kind) -> str:
        """A cast of text; NULL when it does not fit."""

    @abstractmethod
    def part(self, part: str, moment: str, kind: Kind) -> str:
        """A field of a time or date in UTC, as int64."""

    @abstractmethod
    def microseconds(self, moment: str, kind: Kind) -> str:
        """Microseconds since 1970, as int64."""

    @abstractmethod
    def truncated(self, unit: str, moment: str) -> str:
        """`date_trunc` of an instant in UTC."""

    @abstractmethod
    def shifted(self, moment: str, microseconds: int, kind: Kind) -> str:
        """An instant some microseconds later; NULL out of range."""

    @abstractmethod
    def date_of(self, moment: str) -> str:
        """The date of an instant in UTC."""

    @abstractmethod
    def instant_of(self, day: str) -> str:
        """The first instant of a date in UTC."""

    @abstractmethod
    def whole(self, function: str, operand: str) -> str:
        """``floor``, ``ceil`` or ``trunc`` of a double, as a double."""

    @abstractmethod
    def substring(self, operand: str, start: Term, length: Term | None) -> str:
        """`substr`, where position 0 lies before the first character and a negative length is none."""

    @abstractmethod
    def simple(self, name: str, operands: list[str]) -> str:
        """A call that is only spelt differently."""

    def place(self, term: Term) -> str:
        """A position or length in a text, within what engines count in; no text is longer."""
        sql = self.value(term)
        if term.op == "literal" and isinstance(term.value, int) and abs(term.value) <= LONGEST:
            return sql
        low, high = self.integer(-LONGEST), self.integer(LONGEST)
        return f"(CASE WHEN {sql} < {low} THEN {low} WHEN {sql} > {high} THEN {high} ELSE {sql} END)"

    def _literal(self, term: Term) -> str:
        value, kind = term.value, term.kind
        if value is None:
            return f"CAST(NULL AS {self.types[kind]})" if kind in self.types else "NULL"
        if kind is Kind.DATE:
            assert isinstance(value, int)
            return f"DATE '{(date(1970, 1, 1) + timedelta(days=value)).isoformat()}'"
        if kind is Kind.TIME:
            assert isinstance(value, int)
            return self.instant(to_iso(value))
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if isinstance(value, int):
            return self.integer(value)
        # Adding zero makes -0.0 plain zero, which Spark's sets of literals tell apart.
        return self.float(value + 0.0) if isinstance(value, float) else self.text(str(value))

    def _comparison(self, term: Term) -> str:
        integers = all(arg.kind is Kind.INT and arg.leaf in ("canonical", "narrow") for arg in term.args)
        # Integers of any width compare alike, and a bare column lets the engine prune files by their statistics.
        left, *rest = [self.raw(arg) if integers else self.value(arg) for arg in term.args]
        if term.op == "in":
            return f"({self.member(term.args[0].kind, left)} IN ({', '.join(rest)}))"
        if term.op == "between":
            return f"({left} BETWEEN {rest[0]} AND {rest[1]})"
        if term.op in ("distinct", "not_distinct"):
            different = self.different(left, rest[0])
            return different if term.op == "distinct" else f"(NOT {different})"
        return f"({left} {term.op} {rest[0]})"

    def member(self, kind: Kind, operand: str) -> str:
        """The left side of IN, of this kind."""
        return operand

    def _junction(self, term: Term) -> str:
        return f"({self.value(term.args[0])} {term.op.upper()} {self.value(term.args[1])})"

    def _not(self, term: Term) -> str:
        return f"(NOT {self.value(term.args[0])})"

    def _test(self, term: Term) -> str:
        operand = self.value(term.args[0])
        return f"({operand} IS {term.op.removeprefix('is_').upper()})"

    def _like(self, term: Term) -> str:
        pattern, escape = str(term.value), term.escape
        rewritten, index = "", 0
        while index < len(pattern):
            character = pattern[index]
            if escape and character == escape:
                index += 1
                character = pattern[index]
                rewritten += "!" + character if character in "!%_" else character
            else:
                rewritten += "!!" if character == "!" else character
            index += 1
        return self.like(self.value(term.args[0]), rewritten)

    def _case(self, term: Term) -> str:
        parts = [self.value(arg) for arg in term.args]
        branches = " ".join(
            f"WHEN {test} THEN {value}" for test, value in zip(parts[:-1:2], parts[1:-1:2], strict=True)
        )
        return f"(CASE {branches} ELSE {parts[-1]} END)"

    def _sum(self, term: Term) -> str:
        left, right = (self.value(arg) for arg in term.args)
        return (
            f"({left} {term.op} {right})" if term.kind is Kind.FLOAT else self.checked(term.kind, term.op, left, right)
        )

    def _quotient(self, term: Term) -> str:
        left, right = (self._double(arg) for arg in term.args)
        return f"({left} / NULLIF({right}, {self.float(0.0)}))"

    def _whole_quotient(self, term: Term) -> str:
        return self.divided(*(self.value(arg) for arg in term.args))

    def _remainder(self, term: Term) -> str:
        return self.remainder(term.kind, *(self.value(arg) for arg in term.args))

    def _neg(self, term: Term) -> str:
        operand = self.value(term.args[0])
        return f"(- {operand})" if term.kind is Kind.FLOAT else self.checked(term.kind, "-", self.integer(0), operand)

    def _shift(self, term: Term) -> str:
        assert isinstance(term.value, int)
        return self.shifted(self.value(term.args[0]), term.value, term.args[0].kind)

    def _extract(self, term: Term) -> str:
        arg = term.args[0]
        if term.kind is Kind.FLOAT:
            return f"(CAST({self.microseconds(self.value(arg), arg.kind)} AS DOUBLE) / {self.float(1e6)})"
        return self.part(str(term.value), self.value(arg), arg.kind)

    def _date_trunc(self, term: Term) -> str:
        return self.truncated(str(term.value), self.value(term.args[0]))

    def _cast(self, term: Term) -> str:
        (arg,) = term.args
        operand, source, target = self.value(arg), arg.kind, term.kind
        if source is target:
            return operand
        if source is Kind.TEXT:
            return self._read(operand, target)
        if (source, target) == (Kind.FLOAT, Kind.INT):
            low, high = self.float(-(2.0**63)), self.float(2.0**63)
            fits = f"{operand} >= {low} AND {operand} < {high}"
            return f"(CASE WHEN {fits} THEN CAST({self.whole('trunc', operand)} AS BIGINT) END)"
        if (source, target) == (Kind.DATE, Kind.TIME):
            return self.instant_of(operand)
        if (source, target) == (Kind.TIME, Kind.DATE):
            return self.date_of(operand)
        return f"CAST({operand} AS {self.types[target]})"

    def _read(self, operand: str, target: Kind) -> str:
        text = self.simple("trim", [operand])
        if target is Kind.BOOL:
            yes, no = ("'true', 't', 'yes', 'y', '1'", "'false', 'f', 'no', 'n', '0'")
            return f"(CASE WHEN lower({text}) IN ({yes}) THEN TRUE WHEN lower({text}) IN ({no}) THEN FALSE END)"
        pattern = {Kind.INT: INT_TEXT, Kind.FLOAT: FLOAT_TEXT, Kind.DATE: DATE_TEXT, Kind.TIME: TIME_TEXT}[target]
        return f"(CASE WHEN {self.matches(text, pattern)} THEN {self.try_cast(text, target)} END)"

    def _call(self, term: Term) -> str:
        name = str(term.value)
        method = getattr(self, f"_call_{name}", None)
        if method is not None:
            return str(method(term))
        return self.simple(name, [self.value(arg) for arg in term.args])

    def _call_abs(self, term: Term) -> str:
        operand = self.value(term.args[0])
        if term.kind is Kind.FLOAT:
            return f"abs({operand})"
        zero = self.integer(0)
        return f"(CASE WHEN {operand} < {zero} THEN {self.checked(term.kind, '-', zero, operand)} ELSE {operand} END)"

    def _call_sign(self, term: Term) -> str:
        operand, zero = self.value(term.args[0]), self.integer(0)
        cases = f"WHEN {operand} > {zero} THEN {self.integer(1)} WHEN {operand} < {zero} THEN {self.integer(-1)}"
        return f"(CASE {cases} WHEN {operand} = {zero} THEN {zero} END)"

    def _call_round(self, term: Term) -> str:
        operand = self.value(term.args[0])
        decimals = term.args[1].value if len(term.args) == 2 else 0
        assert isinstance(decimals, int)
        if term.kind is not Kind.FLOAT:
            return operand
        if not decimals:
            return f"round({operand})"
        scale = self.float(10.0**decimals)
        # Greater numbers have no digits left to round, and scaling could take them to infinity.
        small = f"abs({operand}) < {self.float(EXACT)}"
        return f"(CASE WHEN {small} THEN round({operand} * {scale}) / {scale} ELSE {operand} END)"

    def _whole(self, term: Term) -> str:
        operand = self.value(term.args[0])
        return self.whole(str(term.value), operand) if term.kind is Kind.FLOAT else operand

    _call_floor = _call_ceil = _call_trunc = _whole

    def _call_sqrt(self, term: Term) -> str:
        operand = self._double(term.args[0])
        return f"(CASE WHEN {operand} >= {self.float(0.0)} THEN sqrt({operand}) END)"

    def _logarithm(self, term: Term) -> str:
        operand = self._double(term.args[0])
        return f"(CASE WHEN {operand} > {self.float(0.0)} THEN {term.value}({operand}) END)"

    _call_ln = _call_log10 = _logarithm

    def _call_exp(self, term: Term) -> str:
        return f"exp({self._double(term.args[0])})"

    def _call_power(self, term: Term) -> str:
        base, exponent = (self._double(arg) for arg in term.args)
        zero, one, nan, infinity = self.float(0.0), self.float(1.0), self._special("NaN"), self._special("Infinity")
        finite = f"abs({exponent}) < {infinity}"
        cases = [
            f"WHEN {base} IS NULL OR {exponent} IS NULL THEN NULL",
            f"WHEN {base} = {nan} OR {exponent} = {nan} THEN {nan}",
            f"WHEN {base} = {zero} AND {exponent} < {zero} THEN NULL",
            f"WHEN {finite} AND {base} < {zero} AND {self.whole('trunc', exponent)} <> {exponent} THEN NULL",
            f"WHEN abs({base}) = {one} AND NOT {finite} THEN NULL",
        ]
        return f"(CASE {' '.join(cases)} ELSE power({base}, {exponent}) END)"

    def _call_isnan(self, term: Term) -> str:
        return f"({self._double(term.args[0])} = {self._special('NaN')})"

    def _call_isinf(self, term: Term) -> str:
        return f"(abs({self._double(term.args[0])}) = {self._special('Infinity')})"

    def _call_epoch_us(self, term: Term) -> str:
        return self.microseconds(self.value(term.args[0]), term.args[0].kind)

    def _call_concat(self, term: Term) -> str:
        return f"({' || '.join(self.value(arg) for arg in term.args)})"

    def _call_substr(self, term: Term) -> str:
        length = term.args[2] if len(term.args) == 3 else None
        return self.substring(self.value(term.args[0]), term.args[1], length)

    def _special(self, name: str) -> str:
        return f"CAST('{name}' AS DOUBLE)"

    def _double(self, term: Term) -> str:
        return f"CAST({self.value(term)} AS DOUBLE)" if term.kind is Kind.UNKNOWN else self.value(term)


_METHODS = {
    "and": "junction",
    "or": "junction",
    "is_null": "test",
    "is_true": "test",
    "is_false": "test",
    "+": "sum",
    "-": "sum",
    "*": "sum",
    "/": "quotient",
    "//": "whole_quotient",
    "%": "remainder",
}
