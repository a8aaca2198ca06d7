"""Terms as SQL of DuckDB 2."""

from __future__ import annotations

from mercury.errors import ExpressionError
from mercury.expressions.binding import Term
from mercury.expressions.rendering import Renderer
from mercury.expressions.types import Kind


class DuckDB(Renderer):
    """SQL that does not depend on the session's time zone, once the schema is known."""

    types = {
        Kind.BOOL: "BOOLEAN",
        Kind.INT: "BIGINT",
        Kind.FLOAT: "DOUBLE",
        Kind.TEXT: "VARCHAR",
        Kind.DATE: "DATE",
        Kind.TIME: "TIMESTAMPTZ",
    }

    def identifier(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def text(self, value: str) -> str:
        if "\0" in value:
            raise ExpressionError("a text holds the character NUL", fix="DuckDB does not take it; leave it out")
        return "'" + value.replace("'", "''") + "'"

    def integer(self, value: int) -> str:
        return f"CAST({value} AS BIGINT)"

    def float(self, value: float) -> str:
        digits = repr(value)
        return f"({digits if 'e' in digits else digits + 'e0'})"

    def instant(self, value: str) -> str:
        return f"TIMESTAMPTZ '{value.removesuffix('Z')}+00'"

    def from_naive(self, sql: str) -> str:
        return f"(CAST({sql} AS TIMESTAMP) AT TIME ZONE 'UTC')"

    def checked(self, kind: Kind, op: str, left: str, right: str) -> str:
        return f"TRY({left} {op} {right})"

    def divided(self, left: str, right: str) -> str:
        return f"TRY({left} // NULLIF({right}, 0))"

    def remainder(self, kind: Kind, left: str, right: str) -> str:
        if kind is Kind.FLOAT:
            return f"({left} % NULLIF({right}, 0e0))"
        # The least integer % -1 overflows in DuckDB, though the remainder is plainly 0.
        return f"(CASE WHEN {right} = -1 THEN {left} - {left} ELSE {left} % NULLIF({right}, 0) END)"

    def different(self, left: str, right: str) -> str:
        return f"({left} IS DISTINCT FROM {right})"

    def like(self, operand: str, pattern: str) -> str:
        if "!" not in pattern:
            return f"({operand} LIKE {self.text(pattern)})"
        return f"({operand} LIKE {self.text(pattern)} ESCAPE '!')"

    def matches(self, operand: str, pattern: str) -> str:
        return f"regexp_full_match({operand}, {self.text(pattern)})"

    def try_cast(self, operand: str, kind: Kind) -> str:
        if kind is Kind.TIME:
            naive = f"(TRY_CAST({operand} AS TIMESTAMP) AT TIME ZONE 'UTC')"
            zoned = self.matches(operand, "(?s:.*)(?:Z|[+-][0-9]{2}:[0-9]{2})")
            return f"(CASE WHEN {zoned} THEN TRY_CAST({operand} AS TIMESTAMPTZ) ELSE {naive} END)"
        return f"TRY_CAST({operand} AS {self.types[kind]})"

    def part(self, part: str, moment: str, kind: Kind) -> str:
        return f"CAST(date_part('{part}', {self._local(moment, kind)}) AS BIGINT)"

    def microseconds(self, moment: str, kind: Kind) -> str:
        return f"epoch_us({moment})"

    def truncated(self, unit: str, moment: str) -> str:
        return f"(date_trunc('{unit}', {self._local(moment, Kind.TIME)}) AT TIME ZONE 'UTC')"

    def shifted(self, moment: str, microseconds: int, kind: Kind) -> str:
        return f"TRY({moment} + to_microseconds({self.integer(microseconds)}))"

    def date_of(self, moment: str) -> str:
        return f"CAST({self._local(moment, Kind.TIME)} AS DATE)"

    def instant_of(self, day: str) -> str:
        return f"(TRY_CAST({day} AS TIMESTAMP) AT TIME ZONE 'UTC')"

    def whole(self, function: str, operand: str) -> str:
        return f"{function}({operand})"

    def substring(self, operand: str, start: Term, length: Term | None) -> str:
        first = self.place(start)
        if length is None:
            return f"substr({operand}, {first})"
        count = self.place(length)
        if length.op != "literal" or (isinstance(length.value, int) and length.value < 0):
            count = f"(CASE WHEN {count} < 0 THEN 0 ELSE {count} END)"
        return f"substr({operand}, {first}, {count})"

    def simple(self, name: str, operands: list[str]) -> str:
        if name in ("trim", "ltrim", "rtrim"):
            # By itself trim takes away every kind of space but tabs.
            operands = [*operands, "' '"]
        return f"{name}({', '.join(operands)})"

    def _local(self, moment: str, kind: Kind) -> str:
        if kind is Kind.DATE:
            return moment
        if kind is Kind.UNKNOWN:
            moment = f"CAST({moment} AS TIMESTAMPTZ)"
        return f"({moment} AT TIME ZONE 'UTC')"
