"""The quality rules of an ODCS contract: the library's metrics, and the checks of ``engine: mercury``.

A custom check of Mercury is a SQL condition, or a mapping with ``check`` and what that check needs::

    implementation: "arr_delay IS NULL OR dep_delay IS NOT NULL"
    implementation: {check: quantile, column: dep_delay, q: 0.99, mustBeLessThan: 300}

===========  =====================================================  =====================================
check        keys                                                   default threshold
===========  =====================================================  =====================================
expression   expression                                             no row may be false
mean, std,   column                                                 none: an operator is needed
sum, min,
max
quantile     column, q                                              none
distinct     column or columns                                      none
unique       column or columns                                      no copies
monotonic    column, direction (increasing, decreasing), strict     no neighbours out of order
freshness    column, maxAge (a duration such as 36h)                given by maxAge
===========  =====================================================  =====================================

Every check takes one of the standard's operators; those that count rows also ``unit: percent``. ``column`` may be left
out below a property.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mercury.errors import ExpressionError, UsageError, did_you_mean
from mercury.expressions import Expression
from mercury.quality.checks import (
    STATISTICS,
    Check,
    Condition,
    Distinct,
    Freshness,
    Missing,
    Monotonic,
    NotNull,
    QuantileBound,
    RowCount,
    Statistic,
    Unique,
    Unsupported,
    Valid,
)
from mercury.quality.formats.faults import Fault
from mercury.quality.formats.yaml_lines import Document, Key
from mercury.quality.rules import OneOf, Pattern, valid_pattern
from mercury.quality.thresholds import NONE_FAIL, OPERATORS, SEVERITIES, UNITS, Severity, Threshold
from mercury.time import SECOND, duration

CHECK_KEYS = {
    "expression": ("expression",),
    **dict.fromkeys(STATISTICS, ("column",)),
    "quantile": ("column", "q"),
    "distinct": ("column", "columns"),
    "unique": ("column", "columns"),
    "monotonic": ("column", "direction", "strict"),
    "freshness": ("column", "maxAge"),
}
"""The checks of ``engine: mercury`` with the keys that each takes, besides an operator and a unit."""

COUNTS_ROWS = ("expression", "unique", "monotonic")

_DIMENSIONS = {
    "rowCount": "coverage",
    "nullValues": "completeness",
    "missingValues": "completeness",
    "invalidValues": "conformity",
    "duplicateValues": "uniqueness",
    "expression": "consistency",
    "unique": "uniqueness",
    "freshness": "timeliness",
}

_COUNT_QUERY = re.compile(
    r"\s*SELECT\s+COUNT\s*\(\s*\*\s*\)\s+FROM\s+(?P<table>\S+)\s+WHERE\s+(?P<condition>.+?)\s*;?\s*\Z",
    re.IGNORECASE | re.DOTALL,
)

_PLACEHOLDER = re.compile(r"\$?\{(column|property)\}", re.IGNORECASE)

Path = tuple[Key, ...]


class QualityReader:
    """Turns quality rules into checks; what cannot be understood is added to `faults`."""

    def __init__(
        self, document: Document, faults: list[Fault], names: Mapping[str, str], table: Mapping[str, Any]
    ) -> None:
        self.document = document
        own = (str(table["name"]), str(table.get("physicalName", table["name"])))
        self._table_words = {"table", "object", "model", *(name.lower() for name in own)}
        self.faults = faults
        self._names = names
        """Column as the contract names it, to its physical name where that differs."""

    def checks(self, path: Path, rules: list[Mapping[str, Any]], column: str | None) -> Iterator[Check]:
        """The checks of a list of rules, of a table (`column` None) or of one of its columns."""
        for number, rule in enumerate(rules):
            yield from self._rule((*path, number), rule, column)

    def _rule(self, path: Path, rule: Mapping[str, Any], column: str | None) -> Iterator[Check]:
        kind = rule.get("type", "library" if "metric" in rule else "text")
        match kind:
            case "library":
                check = self._library(path, rule, column)
            case "custom" if str(rule["engine"]).lower() == "mercury":
                check = self._custom(path, rule, column)
            case "custom":
                check = self._unsupported(path, rule, column, f"the engine {rule['engine']!r} is not Mercury's")
            case "sql":
                check = self._count_query(path, rule, column)
            case _:
                check = self._unsupported(path, rule, column, "text is for people")
        if check is not None:
            yield self._described(path, rule, check)

    def _described(self, path: Path, rule: Mapping[str, Any], check: Check) -> Check:
        kind = str(rule.get("metric") or (check.kind if check.kind in _DIMENSIONS else ""))
        return replace(
            check,
            name=str(rule.get("name") or check.name),
            line=self.document.line(path),
            severity=self._severity(path, rule),
            dimension=str(rule.get("dimension") or _DIMENSIONS.get(kind, "accuracy")),
            description=str(rule.get("description") or ""),
        )

    def _unsupported(self, path: Path, rule: Mapping[str, Any], column: str | None, why: str) -> Check:
        name = f"{column or 'table'}: {rule.get('type', 'text')} rule"
        return Unsupported(name, why, (column,) if column else ())

    def _count_query(self, path: Path, rule: Mapping[str, Any], column: str | None) -> Check | None:
        """``SELECT count(*) FROM this_table WHERE condition`` counts rows; no other query is evaluated."""
        found = _COUNT_QUERY.match(str(rule["query"]))
        if found is None or found["table"].strip('${}"`').lower() not in self._table_words:
            why = "only SELECT COUNT(*) FROM this table WHERE … is evaluated; write a condition"
            return self._unsupported(path, rule, column, why)
        condition = _PLACEHOLDER.sub(column or "", found["condition"])
        try:
            Expression.parse(condition)  # by itself, so that no parenthesis of its own closes the one around it
            parsed = Expression.parse(f"NOT ({condition})")
        except ExpressionError as error:
            return self._unsupported(path, rule, column, f"the query's condition is not evaluated: {error.what}")
        threshold = self._threshold(path, rule, None, percent=False)
        if threshold is None:
            return None
        return Condition(f"none: {condition}", parsed.text, tuple(sorted(parsed.columns)), threshold=threshold)

    def _library(self, path: Path, rule: Mapping[str, Any], column: str | None) -> Check | None:
        if "metric" not in rule:
            why = f"the rule {rule.get('rule')!r} of ODCS 3.0 is not evaluated; write a metric"
            return self._unsupported(path, rule, column, why)
        metric = rule["metric"]
        threshold = self._threshold(path, rule, rule.get("unit"), percent=metric != "rowCount")
        if threshold is None:
            return None
        arguments = dict(rule.get("arguments") or {})
        if metric == "rowCount":
            self._no_more(path, arguments, ())
            return RowCount("row count", threshold=threshold)
        if metric == "duplicateValues":
            self._no_more(path, arguments, ("properties",))
            keys = (column,) if column else tuple(map(self._physical, arguments.get("properties") or ()))
            if not keys:
                self._fault(
                    path, "duplicateValues of a table names no columns", "Write arguments: {properties: [a, b]}"
                )
                return None
            return Unique(f"{', '.join(keys)}: duplicates", keys, threshold=threshold)
        if column is None:
            self._fault(path, f"{metric} stands at the table", "Put it below a property")
            return None
        if metric == "nullValues":
            self._no_more(path, arguments, ())
            return NotNull(f"{column}: nulls", column, threshold=threshold)
        if metric == "missingValues":
            self._no_more(path, arguments, ("missingValues",))
            values = [value for value in arguments.get("missingValues", [""]) if value is not None]
            return Missing(f"{column}: missing", column, tuple(values), threshold=threshold)
        return self._invalid_values(path, arguments, column, threshold)

    def _invalid_values(
        self, path: Path, arguments: Mapping[str, Any], column: str, threshold: Threshold
    ) -> Check | None:
        self._no_more(path, arguments, ("validValues", "pattern"))
        at = (*path, "arguments")
        if ("validValues" in arguments) == ("pattern" in arguments):
            self._fault(at if arguments else path, "invalidValues needs one rule", "Give validValues or a pattern")
            return None
        if "pattern" in arguments:
            pattern = str(arguments["pattern"])
            why = valid_pattern(pattern)
            if why:
                self._fault((*at, "pattern"), f"the pattern {pattern!r} cannot be used: {why}", "Write RE2 syntax")
            return Valid(f"{column}: pattern", Pattern(column, pattern), threshold=threshold)
        values = arguments["validValues"]
        if not isinstance(values, list) or not values:
            self._fault((*at, "validValues"), f"{values!r} is not a list of values", "Write [a, b, c]")
            return None
        values = [value for value in values if value is not None]  # a null is never invalid
        kinds = {"text" if isinstance(v, str) else "boolean" if isinstance(v, bool) else "number" for v in values}
        if len(kinds) > 1:
            hint = "Quote them all; YAML reads NO, ON, YES and 1e3 as something else than text"
            self._fault((*at, "validValues"), f"the values mix {' and '.join(sorted(kinds))}", hint)
            return None
        return Valid(f"{column}: values", OneOf(column, tuple(values)), threshold=threshold)

    def _custom(self, path: Path, rule: Mapping[str, Any], column: str | None) -> Check | None:
        at = (*path, "implementation")
        given = rule["implementation"]
        body: dict[str, Any] = {"expression": given} if isinstance(given, str) else dict(given)
        kind = str(body.pop("check", "expression"))
        if kind not in CHECK_KEYS:
            self._fault((*at, "check"), f"the check {kind!r} is not known", did_you_mean(kind, CHECK_KEYS) or "")
            return None
        allowed = (*CHECK_KEYS[kind], *(() if kind == "freshness" else (*OPERATORS, "unit")))
        for key in body:
            if key not in allowed:
                self._fault((*at, key), f"{kind} does not take {key!r}", did_you_mean(key, allowed) or "")
                return None
        if kind == "expression":
            return self._condition(at, body, rule)
        names = self._columns_of(at, body, column)
        if kind == "freshness":
            return self._freshness(at, body, names)
        threshold = self._threshold(
            at, body, body.get("unit", rule.get("unit")), percent=kind in COUNTS_ROWS, default=kind in COUNTS_ROWS
        )
        if not names or threshold is None:
            return None
        return self._check_of(kind, at, body, names, threshold)

    def _check_of(
        self, kind: str, at: Path, body: Mapping[str, Any], names: tuple[str, ...], threshold: Threshold
    ) -> Check | None:
        label = f"{', '.join(names)}: {kind}"
        if kind == "unique":
            return Unique(label, names, threshold=threshold)
        if kind == "distinct":
            return Distinct(label, names, threshold=threshold)
        if kind == "quantile":
            q = body.get("q")
            if not isinstance(q, (int, float)) or isinstance(q, bool) or not 0 <= q <= 1:
                self._fault((*at, "q"), f"q: {q!r} is not between 0 and 1", "Write the 99th percentile as 0.99")
                return None
            return QuantileBound(label, names[0], float(q), threshold=threshold)
        if kind == "monotonic":
            direction = body.get("direction", "increasing")
            if direction not in ("increasing", "decreasing"):
                self._fault((*at, "direction"), f"{direction!r} is no direction", "Write increasing or decreasing")
                return None
            strict = bool(body.get("strict", False))
            return Monotonic(label, names[0], direction == "decreasing", strict, threshold=threshold)
        return Statistic(label, names[0], kind, threshold=threshold)

    def _condition(self, at: Path, body: Mapping[str, Any], rule: Mapping[str, Any]) -> Check | None:
        text = str(body.get("expression", "")).strip()
        where = (*at, "expression") if (*at, "expression") in self.document.lines else at
        try:
            parsed = Expression.parse(text)
        except ExpressionError as error:
            excerpt = f"\n{error.excerpt}" if error.excerpt else ""
            self._fault(where, f"{error.what}{excerpt}", error.fix or "Write a SQL condition, as in a > 0")
            return None
        threshold = self._threshold(at, body, body.get("unit", rule.get("unit")), percent=True, default=True)
        if threshold is None:
            return None
        return Condition(text, text, tuple(sorted(parsed.columns)), threshold=threshold)

    def _freshness(self, at: Path, body: Mapping[str, Any], names: tuple[str, ...]) -> Check | None:
        try:
            age = duration(str(body.get("maxAge", "")))
        except UsageError as error:
            self._fault((*at, "maxAge"), f"maxAge: {error.what}", error.fix or "")
            return None
        if not names:
            return None
        bound = Threshold("mustBeLessOrEqualTo", (age / SECOND,), "seconds")
        return Freshness(f"{names[0]}: freshness", names[0], age, threshold=bound)

    def _columns_of(self, at: Path, body: Mapping[str, Any], column: str | None) -> tuple[str, ...]:
        named = body.get("columns", body.get("column", column))
        if not named:
            self._fault(at, "the check names no column", "Write column: …")
            return ()
        return tuple(map(self._physical, named)) if isinstance(named, list) else (self._physical(named),)

    def _physical(self, name: Any) -> str:
        return self._names.get(str(name), str(name))

    def _threshold(
        self, path: Path, rule: Mapping[str, Any], unit: Any, *, percent: bool, default: bool = False
    ) -> Threshold | None:
        written = [operator for operator in OPERATORS if operator in rule]
        if not written and default:
            return NONE_FAIL
        if len(written) != 1:
            what = f"the operators {' and '.join(written)}" if written else "no operator"
            self._fault(path, f"the rule has {what}", "Write exactly one, as in mustBe: 0")
            return None
        bounds = rule[written[0]]
        listed = bounds if isinstance(bounds, list) else [bounds]
        wanted = 2 if written[0].endswith("Between") else 1
        if len(listed) != wanted or any(isinstance(b, bool) or not isinstance(b, (int, float)) for b in listed):
            self._fault((*path, written[0]), f"{written[0]}: {bounds!r} is not {wanted} number(s)", "Write numbers")
            return None
        if wanted == 2 and listed[0] > listed[1]:
            self._fault((*path, written[0]), f"{bounds!r} begins with the greater bound", "Write the lesser one first")
            return None
        return self._with_unit(path, Threshold(written[0], tuple(listed)), unit, percent)

    def _with_unit(self, path: Path, threshold: Threshold, unit: Any, percent: bool) -> Threshold | None:
        if unit is None or not percent:
            return threshold
        word = {"%": "percent", "row": "rows"}.get(str(unit).lower(), str(unit).lower())
        if word not in UNITS:
            self._fault((*path, "unit"), f"the unit {unit!r} is not known", "Write rows or percent")
            return None
        return replace(threshold, unit=word)

    def _severity(self, path: Path, rule: Mapping[str, Any]) -> Severity:
        word = str(rule.get("severity", "error")).lower()
        if word not in SEVERITIES:
            self._fault(
                (*path, "severity"), f"the severity {word!r} is not known", did_you_mean(word, SEVERITIES) or ""
            )
        return SEVERITIES.get(word, Severity.ERROR)

    def _no_more(self, path: Path, arguments: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in arguments:
            if key not in known:
                where = (*path, "arguments", key)
                fix = did_you_mean(key, known) or "This metric takes no arguments"
                self._fault(where, f"the argument {key!r} is not known", fix)

    def _fault(self, path: Path, what: str, fix: str) -> None:
        self.faults.append(Fault(self.document.where(path), what, fix))
