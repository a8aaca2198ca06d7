"""Terms as SQL of Spark 3.5, in a session whose time zone is UTC."""

from __future__ import annotations

from mercury.errors import ExpressionError
from mercury.expressions.binding import Term
from mercury.expressions.casing import LOWER_FROM, LOWER_TO, UPPER_FROM, UPPER_TO
from mercury.expressions.rendering import EXACT, Renderer
from mercury.expressions.types import Kind

_PARTS = {
    "year": "year({})",
    "quarter": "quarter({})",
    "month": "month({})",
    "week": "weekofyear({})",
    "day": "dayofmonth({})",
    "dow": "(dayofweek({}) - 1)",
    "isodow": "(weekday({}) + 1)",
    "doy": "dayofyear({})",
    "hour": "hour({})",
    "minute": "minute({})",
    "second": "second({})",
}

_NAMES = {"starts_with": "startswith", "ends_with": "endswith"}


class Spark(Renderer):
    """SQL that means the same with ANSI mode on and off."""

    types = {
        Kind.BOOL: "BOOLEAN",
        Kind.INT: "BIGINT",
        Kind.FLOAT: "DOUBLE",
        Kind.TEXT: "STRING",
        Kind.DATE: "DATE",
        Kind.TIME: "TIMESTAMP",
    }

    def identifier(self, name: str) -> str:
        if "${" in name:
            raise ExpressionError(f"Spark replaces '${{' in the name of column {name!r}", fix="Rename the column")
        return "`" + name.replace("`", "``") + "`"

    def text(self, value: str) -> str:
        # Spark reads backslash escapes, and puts variables in place of ${…} before it parses.
        escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024")
        return f"'{escaped}'"

    def integer(self, value: int) -> str:
        return f"{value}L" if value >= 0 else f"({value}L)"

    def float(self, value: float) -> str:
        return f"({value!r}D)"

    def instant(self, value: str) -> str:
        return f"TIMESTAMP '{value}'"

    def from_naive(self, sql: str) -> str:
        return f"CAST({sql} AS TIMESTAMP)"

    def checked(self, kind: Kind, op: str, left: str, right: str) -> str:
        function = {"+": "try_add", "-": "try_subtract", "*": "try_multiply"}[op]
        result = f"{function}({left}, {right})"
        # The optimizer regroups sums and products of integers by their constants, and moves their overflow with them;
        # it does not look through a bitwise or.
        return f"({result} | 0L)" if kind is Kind.INT and op != "-" else result

    def divided(self, left: str, right: str) -> str:
        plain = f"{left} div NULLIF({right}, 0L)"
        return f"(CASE WHEN {right} = -1L THEN try_subtract(0L, {left}) ELSE {plain} END)"

    def remainder(self, kind: Kind, left: str, right: str) -> str:
        return f"({left} % NULLIF({right}, {'0D' if kind is Kind.FLOAT else '0L'}))"

    def different(self, left: str, right: str) -> str:
        return f"(NOT ({left} <=> {right}))"

    def member(self, kind: Kind, operand: str) -> str:
        # Long lists become a hash set of literals, in which -0.0 is not 0.0.
        return f"({operand} + 0D)" if kind is Kind.FLOAT else operand

    def like(self, operand: str, pattern: str) -> str:
        return f"({operand} LIKE {self.text(pattern)} ESCAPE '!')"

    def matches(self, operand: str, pattern: str) -> str:
        # Java's $ would also match before a last line break.
        whole = rf"\A(?:{pattern})\z"
        return f"({operand} RLIKE {self.text(whole)})"

    def try_cast(self, operand: str, kind: Kind) -> str:
        return f"try_cast({operand} AS {self.types[kind]})"

    def part(self, part: str, moment: str, kind: Kind) -> str:
        return f"CAST({_PARTS[part].format(moment)} AS BIGINT)"

    def microseconds(self, moment: str, kind: Kind) -> str:
        return f"unix_micros({moment if kind is Kind.TIME else f'CAST({moment} AS TIMESTAMP)'})"

    def truncated(self, unit: str, moment: str) -> str:
        return f"date_trunc('{unit.upper()}', {moment})"

    def shifted(self, moment: str, microseconds: int, kind: Kind) -> str:
        return f"timestamp_micros(try_add({self.microseconds(moment, kind)}, {self.integer(microseconds)}))"

    def date_of(self, moment: str) -> str:
        return f"CAST({moment} AS DATE)"

    def instant_of(self, day: str) -> str:
        return f"CAST({day} AS TIMESTAMP)"

    def whole(self, function: str, operand: str) -> str:
        # floor and ceil give a bigint, which doubles beyond 2**52 need not pass through.
        inner = f"CAST({operand} AS BIGINT)" if function == "trunc" else f"{function}({operand})"
        return f"(CASE WHEN abs({operand}) < {self.float(EXACT)} THEN CAST({inner} AS DOUBLE) ELSE {operand} END)"

    def substring(self, operand: str, start: Term, length: Term | None) -> str:
        first = f"CAST({self.place(start)} AS INT)"
        if length is None:
            return f"substring({operand}, {first})"
        count = f"CAST({self.place(length)} AS INT)"
        before = f"substring({operand}, 1, {count} - 1)"
        if start.op == "literal":
            return before if start.value == 0 else f"substring({operand}, {first}, {count})"
        return f"(CASE WHEN {first} = 0 THEN {before} ELSE substring({operand}, {first}, {count}) END)"

    def simple(self, name: str, operands: list[str]) -> str:
        if name == "length":
            return f"CAST(length({operands[0]}) AS BIGINT)"
        if name in ("lower", "upper"):
            return self._cased(name, operands[0])
        return f"{_NAMES.get(name, name)}({', '.join(operands)})"

    def _cased(self, name: str, operand: str) -> str:
        """The native function, or character by character where the text holds one that Java maps in its own way."""
        odd, plain = (LOWER_FROM, LOWER_TO) if name == "lower" else (UPPER_FROM, UPPER_TO)
        is_odd = f"RLIKE {self.text(f'[{odd}]')}"
        mapped = f"translate(c, {self.text(odd)}, {self.text(plain)})"
        one = f"CASE WHEN c {is_odd} THEN {mapped} ELSE {name}(c) END"
        each = f"array_join(transform(regexp_extract_all({operand}, '(?s).', 0), c -> {one}), '')"
        return f"(CASE WHEN {operand} {is_odd} THEN {each} ELSE {name}({operand}) END)"
