"""The functions that an expression may call: names, operands and results. What is not listed is refused."""

from __future__ import annotations

from dataclasses import dataclass

from mercury.expressions.types import ANY, MOMENTS, NUMBERS, Kind


@dataclass(frozen=True)
class Function:
    """What a function takes and gives.

    Parameters
    ----------
    operands : allowed kinds of each operand; the last entry repeats for the operands after it.
    result : kind of the result; None means the common kind of the operands.
    arity : least and greatest number of operands.
    usage : how it is called, shown when it was called otherwise.
    """

    operands: tuple[frozenset[Kind], ...]
    result: Kind | None
    arity: tuple[int, int]
    usage: str


_TEXT = frozenset({Kind.TEXT})
_INT = frozenset({Kind.INT})
_MANY = 99


def _same(usage: str, least: int, most: int, kinds: frozenset[Kind] = ANY) -> Function:
    return Function((kinds,), None, (least, most), usage)


def _float(usage: str, count: int = 1) -> Function:
    return Function((NUMBERS,), Kind.FLOAT, (count, count), usage)


def _part(name: str) -> Function:
    return Function((MOMENTS,), Kind.INT, (1, 1), f"{name}(time)")


FUNCTIONS: dict[str, Function] = {
    "abs": _same("abs(number)", 1, 1, NUMBERS),
    "round": Function((NUMBERS, _INT), None, (1, 2), "round(number) or round(number, decimals)"),
    "floor": _same("floor(number)", 1, 1, NUMBERS),
    "ceil": _same("ceil(number)", 1, 1, NUMBERS),
    "trunc": _same("trunc(number)", 1, 1, NUMBERS),
    "sign": Function((NUMBERS,), Kind.INT, (1, 1), "sign(number)"),
    "sqrt": _float("sqrt(number)"),
    "ln": _float("ln(number)"),
    "log10": _float("log10(number)"),
    "exp": _float("exp(number)"),
    "power": _float("power(base, exponent)", 2),
    "isnan": Function((NUMBERS,), Kind.BOOL, (1, 1), "isnan(number)"),
    "isinf": Function((NUMBERS,), Kind.BOOL, (1, 1), "isinf(number)"),
    "least": _same("least(a, b, …)", 2, _MANY),
    "greatest": _same("greatest(a, b, …)", 2, _MANY),
    "coalesce": _same("coalesce(a, b, …)", 1, _MANY),
    "nullif": _same("nullif(a, b)", 2, 2),
    "lower": Function((_TEXT,), Kind.TEXT, (1, 1), "lower(text)"),
    "upper": Function((_TEXT,), Kind.TEXT, (1, 1), "upper(text)"),
    "length": Function((_TEXT,), Kind.INT, (1, 1), "length(text)"),
    "substr": Function((_TEXT, _INT), Kind.TEXT, (2, 3), "substr(text, start) or substr(text, start, length)"),
    "concat": Function((_TEXT,), Kind.TEXT, (1, _MANY), "concat(text, text, …)"),
    "trim": Function((_TEXT,), Kind.TEXT, (1, 1), "trim(text)"),
    "ltrim": Function((_TEXT,), Kind.TEXT, (1, 1), "ltrim(text)"),
    "rtrim": Function((_TEXT,), Kind.TEXT, (1, 1), "rtrim(text)"),
    "replace": Function((_TEXT,), Kind.TEXT, (3, 3), "replace(text, old, new)"),
    "starts_with": Function((_TEXT,), Kind.BOOL, (2, 2), "starts_with(text, prefix)"),
    "ends_with": Function((_TEXT,), Kind.BOOL, (2, 2), "ends_with(text, suffix)"),
    "contains": Function((_TEXT,), Kind.BOOL, (2, 2), "contains(text, part)"),
    "epoch": Function((MOMENTS,), Kind.FLOAT, (1, 1), "epoch(time), seconds since 1970"),
    "epoch_us": Function((MOMENTS,), Kind.INT, (1, 1), "epoch_us(time), microseconds since 1970"),
    **{name: _part(name) for name in ("year", "quarter", "month", "week", "day", "hour", "minute", "second")},
}

DATE_PARTS = ("year", "quarter", "month", "week", "day", "dow", "isodow", "doy", "hour", "minute", "second", "epoch")
"""What ``extract(… FROM time)`` knows."""

TRUNCATIONS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
"""The units of `date_trunc`."""

INSTEAD = {
    "log": "Use ln or log10: engines disagree about log",
    "now": "An expression has no clock; use a column",
    "currenttimestamp": "An expression has no clock; use a column",
    "current_timestamp": "An expression has no clock; use a column",
    "current_date": "An expression has no clock; use a column",
    "rand": "An expression gives the same answer every time; sample in a batch job",
    "dayofweek": "Use extract(dow FROM time), where Sunday is 0",
    "datediff": "Subtract epochs: epoch(a) - epoch(b) is seconds",
    "date_diff": "Subtract epochs: epoch(a) - epoch(b) is seconds",
    "ilike": "Write lower(x) LIKE 'a%'",
    "regexplike": "Use LIKE, contains or starts_with: engines disagree about regular expressions",
    "regexp_like": "Use LIKE, contains or starts_with: engines disagree about regular expressions",
    "similarto": "Use LIKE, contains or starts_with: engines disagree about regular expressions",
    "attimezone": "Times are instants in UTC; engines disagree about other zones",
    "left": "Use substr(text, 1, length)",
    "right": "Use substr(text, -length)",
}
"""What to write instead of common names that are not in the whitelist."""
