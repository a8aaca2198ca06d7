"""What is asked: metrics, what to group them by, which rows and times, in what order, and how many rows.

    METRIC, … [by DIMENSION | GRAIN, …] [where CONDITION] [order by NAME [desc], …] [limit N]

    flights, late_rate by carrier, day where origin = 'JFK' and time >= '2013-03-01' order by flights desc limit 10

The condition is one of `mercury.expressions` over the dimensions. ``time`` and the grains may be compared with times in
it, joined with AND to the rest; a time without an offset is local to the query's time zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from mercury.analytics import calendars
from mercury.analytics.conditions import comparison, conjuncts, text_of
from mercury.analytics.model import TIME, ResolvedModel, resolve
from mercury.definitions import SemanticModel
from mercury.definitions.analytics import GRAINS
from mercury.errors import ExpressionError, UsageError, did_you_mean
from mercury.expressions import Expression
from mercury.expressions.syntax import Node
from mercury.time import MICROSECOND

MAX_ROWS = 10_000
"""Rows of an answer unless the query says otherwise."""

LARGEST_LIMIT = 1_000_000
"""Rows that a query may ask for."""

MAX_NAMES = 100
"""Metrics and groups in one query, and filters, and what it is ordered by."""

MAX_VALUES = 1_000
"""Values of one filter."""

LONGEST_NAME = 200

FIELDS = ("query", "model", "metrics", "by", "where", "filters", "from", "to", "order", "limit", "timezone")
"""Keys of a query in JSON."""


@dataclass(frozen=True)
class MetricQuery:
    """A query that is known to fit its model.

    Parameters
    ----------
    model : name of the semantic model.
    metrics, by : names, in the order of the answer's columns; at most one of ``by`` is a grain.
    where : condition on dimensions, as checked SQL; None for all rows.
    start, end : ``[start, end)`` of the model's time in microseconds UTC; None for no bound.
    order : column and whether it descends; after these, and by default, rows are in the order of ``by``.
    limit : rows of the answer at most.
    timezone : IANA name of the zone whose calendar cuts time.
    """

    model: str
    metrics: tuple[str, ...]
    by: tuple[str, ...] = ()
    where: str | None = None
    start: int | None = None
    end: int | None = None
    order: tuple[tuple[str, bool], ...] = ()
    limit: int = MAX_ROWS
    timezone: str = "UTC"

    @property
    def grain(self) -> str | None:
        """The calendar unit that it groups by."""
        return next((name for name in self.by if name in GRAINS), None)

    @property
    def filtered(self) -> frozenset[str]:
        """Dimensions that the condition reads."""
        return Expression.parse(self.where).columns if self.where is not None else frozenset()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; equal queries have equal ones."""
        return {
            "model": self.model,
            "metrics": list(self.metrics),
            "by": list(self.by),
            "where": self.where,
            "start": self.start,
            "end": self.end,
            "order": [list(part) for part in self.order],
            "limit": self.limit,
            "timezone": self.timezone,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], model: SemanticModel | ResolvedModel) -> MetricQuery:
        """The query in a JSON object: ``metrics``, ``by``, ``filters`` (field, op, value or values), ``where`` (text),
        ``from`` and ``to`` (times), ``order`` (names, ``-`` before one that descends), ``limit``, ``timezone``; or
        ``query``, the text form."""
        resolved = model if isinstance(model, ResolvedModel) else resolve(model)
        for key in data:
            if key not in FIELDS:
                raise UsageError(f"{key!r} is not a field of a query", fix=did_you_mean(str(key), FIELDS))
        if "query" in data:
            extra = set(data) - {"query", "model", "timezone"}
            if extra:
                raise UsageError(f"'query' and {sorted(extra)[0]!r} were given", fix="Put everything into one of them")
            return parse_query(_text(data["query"], "query"), resolved, timezone=_optional(data, "timezone"))
        order = [(name.removeprefix("-"), name.startswith("-")) for name in _texts(data.get("order", ()), "order")]
        nodes = [Expression.parse(_text(data["where"], "where")).tree] if data.get("where") is not None else []
        nodes += [_filter(part) for part in _list(data.get("filters", ()), "filters")]
        return _checked(
            resolved,
            _texts(data.get("metrics", ()), "metrics"),
            _texts(data.get("by", ()), "by"),
            nodes,
            order,
            data.get("limit"),
            _optional(data, "timezone"),
            (_optional(data, "from"), _optional(data, "to")),
        )


def parse_query(text: str, model: SemanticModel | ResolvedModel, *, timezone: str | None = None) -> MetricQuery:
    """The query in a text.

    Raises `UsageError` for text that is none, `NotFoundError` ("Did you mean …?") for a metric or dimension that the
    model does not have, `ExpressionError` with a caret for a condition that does not fit.
    """
    resolved = model if isinstance(model, ResolvedModel) else resolve(model)
    clauses = _clauses(text)
    limit = clauses.get("limit")
    if limit is not None and not re.fullmatch(r"\d{1,9}", limit):
        raise UsageError(f"limit {limit!r} is not a number", fix="Write limit 10")
    order = []
    for part in _names(clauses.get("order by", "")):
        words = part.split()
        if len(words) > 2 or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
            raise UsageError(f"order by {part!r} cannot be read", fix="Write order by flights desc")
        order.append((words[0], len(words) == 2 and words[1].lower() == "desc"))
    nodes = [Expression.parse(clauses["where"]).tree] if "where" in clauses else []
    return _checked(
        resolved,
        _names(clauses["metrics"]),
        _names(clauses.get("by", "")),
        nodes,
        order,
        None if limit is None else int(limit),
        timezone,
    )


_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[A-Za-z_][A-Za-z0-9_]*|.", re.DOTALL)
_ORDER = ("metrics", "by", "where", "order by", "limit")


def _clauses(text: str) -> dict[str, str]:
    """The text of each clause; keywords count outside of quotes and parentheses only."""
    if len(text) > 20_000:
        raise UsageError("the query is too long", fix="Keep it under 20000 characters")
    tokens = [(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text)]
    found: dict[str, str] = {}
    name, begins, depth, at = "metrics", 0, 0, 0
    while at < len(tokens):
        word, start, end = tokens[at]
        depth += (word == "(") - (word == ")")
        keyword = word.lower() if depth == 0 else ""
        if keyword == "order":
            rest = [place for place in range(at + 1, len(tokens)) if not tokens[place][0].isspace()]
            if rest and tokens[rest[0]][0].lower() == "by":
                keyword, at, end = "order by", rest[0], tokens[rest[0]][2]
        if keyword in _ORDER[1:] and not (keyword == "by" and name == "where"):
            _close(found, name, text[begins:start])
            if _ORDER.index(keyword) <= _ORDER.index(name):
                raise UsageError(f"{keyword!r} is not expected after {name!r}", fix=_USAGE)
            name, begins = keyword, end
        at += 1
    _close(found, name, text[begins:])
    return found


_USAGE = "Write METRIC, … by DIMENSION, … where CONDITION order by NAME desc limit N"


def _close(found: dict[str, str], name: str, text: str) -> None:
    if not text.strip():
        raise UsageError(
            f"there is nothing after {name!r}" if name != "metrics" else "no metric is asked for", fix=_USAGE
        )
    found[name] = text.strip()


def _names(text: str) -> list[str]:
    if not text:
        return []
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*(\s+\w+)?", name):
            raise UsageError(f"{name!r} is not a name", fix=_USAGE)
    return names


def _checked(
    model: ResolvedModel,
    metrics: Sequence[str],
    by: Sequence[str],
    nodes: Sequence[Node],
    order: Sequence[tuple[str, bool]],
    limit: object,
    timezone: str | None,
    bounds: tuple[str | None, str | None] = (None, None),
) -> MetricQuery:
    if not metrics:
        raise UsageError("no metric is asked for", fix=_USAGE)
    if len(metrics) + len(by) > MAX_NAMES:
        raise UsageError(f"{len(metrics) + len(by)} columns are asked for", fix=f"Ask for at most {MAX_NAMES}")
    for name in metrics:
        model.require_metric(name)
    for name in by:
        model.require_group(name)
    for names, clause in ((metrics, "metrics"), (by, "by"), ([name for name, _ in order], "order")):
        for name in names:
            if list(names).count(name) > 1:
                raise UsageError(f"{name!r} is named twice", where=clause, fix="Name it once")
    if sum(name in GRAINS for name in by) > 1:
        raise UsageError("two calendar units are asked for", where="by", fix="Group by the finer one")
    for name, _ in order:
        if name not in (*metrics, *by):
            raise UsageError(
                f"{name!r} is no column of the answer", where="order by", fix=did_you_mean(name, [*metrics, *by])
            )
    if limit is None:
        limit = MAX_ROWS
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LARGEST_LIMIT:
        raise UsageError(f"limit={limit!r} cannot be", fix=f"Use 1 to {LARGEST_LIMIT}")
    zone = timezone or model.model.timezone
    if timezone is not None:
        model.model.check_timezone("timezone", timezone)
    span = _Span(zone)
    span.between(*bounds)
    conditions = []
    for part in [part for node in nodes for part in conjuncts(node)]:
        used = {str(inner.value) for inner in part.walk() if inner.op == "column"}
        moments = {name for name in used if name == TIME or (name in GRAINS and name not in model.dimensions)}
        if moments:
            span.read(part, used, moments)
        else:
            _require_condition(part, model)
            conditions.append(text_of(part))
    return MetricQuery(
        model.name,
        tuple(metrics),
        tuple(by),
        " AND ".join(sorted(conditions)) or None,
        span.start,
        span.end,
        tuple(order),
        limit,
        zone,
    )


def _require_condition(node: Node, model: ResolvedModel) -> None:
    for inner in node.walk():
        if inner.op == "column" and inner.value not in model.dimensions:
            name = str(inner.value)
            if name in model.model.metrics:
                raise UsageError(
                    f"{name!r} is a metric: rows are chosen by dimensions and time", where="where",
                    fix="Filter the answer where you read it",
                )  # fmt: skip
            known = [*model.dimensions, TIME]
            raise ExpressionError(
                f"{model.name!r} has no dimension {name!r}", where="where", fix=did_you_mean(name, known)
            )
    Expression.parse(text_of(node)).check_condition(model.filter_schema)


class _Span:
    """The range of time that conditions leave."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self.start: int | None = None
        self.end: int | None = None

    def between(self, start: str | None, end: str | None) -> None:
        """From a time on, and before another."""
        if start is not None:
            self._after(calendars.read_instant(start, self.zone))
        if end is not None:
            self._before(calendars.read_instant(end, self.zone))

    def read(self, node: Node, names: set[str], moments: set[str]) -> None:
        """Narrow the range by a comparison of the time, or of a bucket of it, with a literal."""
        if len(names) == 1 and len(moments) == 1:
            (name,) = moments
            if node.op == "between" and node.args[0].op == "column":
                self._compare(name, ">=", node.args[1])
                self._compare(name, "<=", node.args[2])
                return
            if node.op in _MIRRORED:
                left, right = node.args
                if left.op == "column":
                    self._compare(name, node.op, right)
                    return
                if right.op == "column":
                    self._compare(name, _MIRRORED[node.op], left)
                    return
        shown = ", ".join(sorted(moments))
        raise UsageError(
            f"{shown} is used in a condition that is no plain range", where="where",
            fix="Compare it with a time, joined to the rest with AND, as in time >= '2013-03-01'",
        )  # fmt: skip

    def _compare(self, name: str, op: str, literal: Node) -> None:
        if literal.op != "literal" or not isinstance(literal.value, str):
            raise UsageError(f"{name} is compared with something that is no time in quotes", where="where",
                             fix=f"Write {name} {op} '2013-03-01'")  # fmt: skip
        first, after = self._extent(name, literal.value)
        if op in ("=", ">="):
            self._after(first)
        if op == ">":
            self._after(after)
        if op in ("=", "<="):
            self._before(after)
        if op == "<":
            self._before(first)

    def _extent(self, name: str, text: str) -> tuple[int, int]:
        """First instant of the bucket, or the instant itself, and the first one after."""
        if name == TIME:
            instant = calendars.read_instant(text, self.zone)
            return instant, instant + MICROSECOND
        if name in calendars.FIXED:
            instant, length = calendars.read_instant(text, self.zone), calendars.FIXED[name]
            (here,) = calendars.segments(self.zone, instant, instant)
            if (instant + here.offset) % length:
                raise UsageError(f"{text!r} is no beginning of a {name}", where="where", fix="Compare time instead")
            return instant, instant + length
        try:
            day = date.fromisoformat(text.strip())
        except ValueError:
            raise UsageError(f"{text!r} is not a date", where="where", fix=f"Write {name} >= '2013-03-01'") from None
        if not calendars.is_first_day(day, name):
            raise UsageError(f"{text!r} is not the first day of a {name}", where="where", fix="Compare time instead")
        following = calendars.next_first_day(day, name)
        return calendars.day_start(day, self.zone), calendars.day_start(following, self.zone)

    def _after(self, instant: int) -> None:
        self.start = instant if self.start is None else max(self.start, instant)

    def _before(self, instant: int) -> None:
        self.end = instant if self.end is None else min(self.end, instant)


_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _filter(part: object) -> Node:
    if not isinstance(part, Mapping) or not isinstance(part.get("field"), str):
        shown = repr(part)
        shown = shown if len(shown) <= LONGEST_NAME else shown[:LONGEST_NAME] + "…"
        raise UsageError(f"{shown} is not a filter", where="filters", fix='Write {"field": "origin", "value": "JFK"}')
    for key in part:
        if key not in ("field", "op", "value", "values"):
            raise UsageError(f"{key!r} is not a part of a filter", where="filters", fix="Use field, op, value, values")
    values = part.get("values", [part["value"]] if "value" in part else [])
    operator = part.get("op", "in" if "values" in part else "=")
    return comparison(_name(part["field"], "field"), _name(operator, "op"), _list(values, "values", MAX_VALUES))


def _list(value: object, field: str, most: int = MAX_NAMES) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise UsageError(f"{field} is not a list", fix="Write [ … ]")
    if len(value) > most:
        raise UsageError(f"{field} has {len(value)} entries", fix=f"Give at most {most}")
    return list(value)


def _texts(value: object, field: str) -> list[str]:
    return [_name(part, field) for part in ([value] if isinstance(value, str) else _list(value, field))]


def _name(value: object, field: str) -> str:
    text = _text(value, field)
    if len(text) > LONGEST_NAME:
        raise UsageError(f"{text[:20]!r}… with {len(text)} characters is not a name", where=field)
    return text


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{field} is {value!r}, not a text", fix="Put it in quotes")
    return value


def _optional(data: Mapping[str, Any], field: str) -> str | None:
    return None if data.get(field) is None else _text(data[field], field)
