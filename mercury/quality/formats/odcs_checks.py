"""One table of an ODCS contract as checks: keys, types, ranges, patterns, quality rules, relations, agreements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mercury.quality.checks import (
    Check,
    ColumnPresent,
    ColumnType,
    ForeignKey,
    Freshness,
    NotNull,
    Unique,
    Unsupported,
    Valid,
)
from mercury.quality.contract import ContractColumn
from mercury.quality.formats.faults import Fault
from mercury.quality.formats.odcs_quality import QualityReader
from mercury.quality.formats.yaml_lines import Document, Key
from mercury.quality.rules import Length, MultipleOf, Pattern, Range, valid_pattern
from mercury.time import DAY, HOUR, MINUTE, SECOND, WEEK

OPEN_CLASSIFICATIONS = ("", "public", "open", "internal", "none", "unclassified", "unrestricted", "non-sensitive")
"""Classifications whose values may be shown; with any other one, a column's values are redacted in every output."""

SENSITIVE_TAGS = ("pii", "phi", "pci", "sensitive", "personal", "gdpr", "secret")

FORMATS = {
    "uuid": r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    "email": r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
    "ipv4": r"^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])$",
}
"""Formats of text that are evaluated; any other is listed as not evaluated."""

_TIME_UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), SECOND),
    **dict.fromkeys(("m", "min", "minute", "minutes"), MINUTE),
    **dict.fromkeys(("h", "hr", "hour", "hours"), HOUR),
    **dict.fromkeys(("d", "day", "days"), DAY),
    **dict.fromkeys(("w", "week", "weeks"), WEEK),
    **dict.fromkeys(("y", "yr", "year", "years"), 365 * DAY),
}


class TableReader:
    """Reads one schema object of a validated document; what cannot be read is added to `faults`."""

    def __init__(self, document: Document, index: int) -> None:
        self.document = document
        self.path: tuple[Key, ...] = ("schema", index)
        self.table: Mapping[str, Any] = document.data["schema"][index]
        self.faults: list[Fault] = []
        self.names = {str(entry["name"]): column_name(entry) for _, entry in self._properties()}
        self.quality = QualityReader(document, self.faults, self.names, self.table)

    def columns(self) -> Iterator[ContractColumn]:
        """The columns of the table."""
        for path, entry in self._properties():
            yield ContractColumn(
                name=column_name(entry),
                logical_type=entry.get("logicalType"),
                sensitive=is_sensitive(entry),
                line=self.document.line(path),
                description=str(entry.get("description", "")),
            )

    def checks(self) -> Iterator[Check]:
        """The checks of the table, in the order of the file."""
        names: dict[str, tuple[Key, ...]] = {}
        for path, entry in self._properties():
            name = column_name(entry)
            if name in names:
                self._fault(
                    path, f"the column {name!r} stands twice", f"First on line {self.document.line(names[name])}"
                )
            names[name] = path
            yield from self._column_checks(path, entry)
        yield from self._primary_key()
        yield from self.quality.checks((*self.path, "quality"), self.table.get("quality", []), None)
        yield from self._relationships((*self.path, "relationships"), self.table.get("relationships", []), None)
        yield from self._agreements()
        yield from self._physical_types()

    def _properties(self) -> Iterator[tuple[tuple[Key, ...], Mapping[str, Any]]]:
        for number, entry in enumerate(self.table.get("properties", [])):
            yield (*self.path, "properties", number), entry

    def _column_checks(self, path: tuple[Key, ...], entry: Mapping[str, Any]) -> Iterator[Check]:
        name = column_name(entry)
        line = self.document.line(path)
        yield ColumnPresent(f"{name}: present", name, line=line, dimension="conformity")
        if "logicalType" in entry:
            at = self.document.line((*path, "logicalType"))
            yield ColumnType(f"{name}: type", name, entry["logicalType"], line=at, dimension="conformity")
        if entry.get("required") and not entry.get("primaryKey"):
            at = self.document.line((*path, "required"))
            yield NotNull(f"{name}: required", name, line=at, dimension="completeness")
        if entry.get("unique"):
            at = self.document.line((*path, "unique"))
            yield Unique(f"{name}: unique", (name,), line=at, dimension="uniqueness")
        yield from self._options((*path, "logicalTypeOptions"), entry)
        yield from self.quality.checks((*path, "quality"), entry.get("quality", []), name)
        yield from self._relationships((*path, "relationships"), entry.get("relationships", []), name)
        for part in ("properties", "items"):
            if entry.get(part):
                at = self.document.line((*path, part))
                yield Unsupported(f"{name}: {part}", "nested values are not evaluated", (name,), line=at)

    def _options(self, path: tuple[Key, ...], entry: Mapping[str, Any]) -> Iterator[Check]:
        options: Mapping[str, Any] = entry.get("logicalTypeOptions", {})
        name, logical = column_name(entry), entry.get("logicalType")
        left = dict(options)

        def line(*keys: str) -> int:
            return min(self.document.line((*path, key)) for key in keys if key in options)

        bounds = {key: left.pop(key) for key in _BOUNDS if key in left}
        if bounds and logical != "time":
            yield Valid(f"{name}: range", self._range(path, name, bounds), line=line(*bounds), dimension="conformity")
        elif bounds:
            yield Unsupported(f"{name}: range", "bounds on times of day are not evaluated", (name,), line=line(*bounds))
        lengths = {key: left.pop(key) for key in ("minLength", "maxLength") if key in left}
        if lengths:
            rule = Length(name, lengths.get("minLength"), lengths.get("maxLength"))
            yield Valid(f"{name}: length", rule, line=line(*lengths), dimension="conformity")
        if "pattern" in left:
            pattern = left.pop("pattern")
            self.check_pattern((*path, "pattern"), pattern)
            yield Valid(f"{name}: pattern", Pattern(name, pattern), line=line("pattern"), dimension="conformity")
        if "multipleOf" in left:
            step = MultipleOf(name, left.pop("multipleOf"))
            yield Valid(f"{name}: multiple", step, line=line("multipleOf"), dimension="conformity")
        if "format" in left:
            yield self._format(name, logical, left.pop("format"), line("format"))
        for key in left:
            yield Unsupported(f"{name}: {key}", f"the option {key} is not evaluated", (name,), line=line(key))

    def _range(self, path: tuple[Key, ...], name: str, bounds: Mapping[str, Any]) -> Range:
        for closed, opened in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if closed in bounds and opened in bounds:
                self._fault((*path, opened), f"{name} has {closed} and {opened}", "Keep one of them")
        return Range(
            name,
            bounds.get("minimum", bounds.get("exclusiveMinimum")),
            bounds.get("maximum", bounds.get("exclusiveMaximum")),
            "exclusiveMinimum" in bounds,
            "exclusiveMaximum" in bounds,
        )

    def _format(self, name: str, logical: str | None, text: str, line: int) -> Check:
        if logical == "integer":
            bits, signed = int(text[1:]), text[0] == "i"
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
            return Valid(f"{name}: format", Range(name, low, high), line=line, dimension="conformity")
        if logical == "string" and text in FORMATS:
            return Valid(f"{name}: format", Pattern(name, FORMATS[text]), line=line, dimension="conformity")
        return Unsupported(f"{name}: format", f"the format {text!r} is not evaluated", (name,), line=line)

    def _primary_key(self) -> Iterator[Check]:
        parts = [(path, entry) for path, entry in self._properties() if entry.get("primaryKey")]
        ordered = sorted(parts, key=lambda part: part[1].get("primaryKeyPosition", -1))
        for path, entry in ordered:
            name, line = column_name(entry), self.document.line((*path, "primaryKey"))
            yield NotNull(f"{name}: key not null", name, line=line, dimension="completeness")
        if ordered:
            keys = tuple(column_name(entry) for _, entry in ordered)
            line = self.document.line((*ordered[0][0], "primaryKey"))
            yield Unique(f"{', '.join(keys)}: primary key", keys, line=line, dimension="uniqueness")

    def _relationships(self, path: tuple[Key, ...], entries: list[Any], column: str | None) -> Iterator[Check]:
        for number, entry in enumerate(entries):
            at = (*path, number)
            line = self.document.line(at)
            names = [_reference(str(source))[1] for source in _as_list(entry.get("from", []))]
            keys = (column,) if column else tuple(self.names.get(name, name) for name in names)
            targets = [_reference(str(target)) for target in _as_list(entry["to"])]
            if any(table is None for table, _ in targets) or len({table for table, _ in targets}) != 1:
                why = f"the reference {entry['to']!r} is not to one table of this contract"
                yield Unsupported(f"{', '.join(keys)}: foreign key", why, keys, line=line)
                continue
            table = str(targets[0][0])
            physical = self._names_of(table)
            columns = tuple(physical.get(name, name) for _, name in targets)
            yield ForeignKey(
                f"{', '.join(keys)}: foreign key", keys, table, columns, line=line, dimension="consistency"
            )

    def _names_of(self, table: str) -> dict[str, str]:
        """The physical names of the columns of another table of the contract; none for a table it does not describe."""
        entries = [entry for entry in self.document.data["schema"] if entry["name"] == table]
        return {str(part["name"]): column_name(part) for entry in entries for part in entry.get("properties", [])}

    def _agreements(self) -> Iterator[Check]:
        known = {entry["name"] for entry in self.document.data["schema"]}
        for number, entry in enumerate(self.document.data.get("slaProperties", [])):
            path: tuple[Key, ...] = ("slaProperties", number)
            line = self.document.line(path)
            kind = str(entry["property"])
            element = str(entry.get("element") or self.document.data.get("slaDefaultElement") or "")
            tables = {_reference(part.strip())[0] for part in element.split(",") if "." in part}
            if tables & known and self.table["name"] not in tables:
                continue
            if tables and not tables & known:
                why = f"the contract does not describe {', '.join(sorted(map(str, tables)))}"
                yield Unsupported(f"agreement: {kind}", why, line=line)
                continue
            if kind != "freshness":
                yield Unsupported(f"agreement: {kind}", f"{kind} cannot be seen in the data", line=line)
                continue
            column = self.names.get(_reference(element)[1], _reference(element)[1])
            unit, value = str(entry.get("unit", "d")).lower(), entry["value"]
            if not column or "," in element:
                self._fault(path, "freshness does not name one column", "Write element: table.column")
            elif unit not in _TIME_UNITS:
                self._fault((*path, "unit"), f"{unit!r} is not a unit of time", "Write s, min, h, d or w")
            elif not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
                self._fault((*path, "value"), f"{value!r} is not a positive number", "Write a number and its unit")
            else:
                yield freshness(f"{column}: freshness", column, int(value * _TIME_UNITS[unit]), line=line)

    def _physical_types(self) -> Iterator[Check]:
        named = [(path, column_name(entry)) for path, entry in self._properties() if "physicalType" in entry]
        if named:
            line = self.document.line((*named[0][0], "physicalType"))
            names = tuple(name for _, name in named)
            why = f"physical types ({len(names)} columns) are not evaluated; logical types are"
            yield Unsupported("physical types", why, names, line=line)

    def check_pattern(self, path: tuple[Key, ...], pattern: str) -> None:
        """Add a fault unless the pattern is a regular expression that RE2 accepts."""
        why = valid_pattern(pattern)
        if why:
            self._fault(path, f"the pattern {pattern!r} cannot be used: {why}", "Write RE2 syntax (no look-around)")

    def _fault(self, path: tuple[Key, ...], what: str, fix: str) -> None:
        self.faults.append(Fault(self.document.where(path), what, fix))


def freshness(name: str, column: str, max_age: int, *, line: int) -> Freshness:
    """A freshness check whose threshold says its bound in seconds."""
    from mercury.quality.thresholds import Threshold

    bound = Threshold("mustBeLessOrEqualTo", (max_age / SECOND,), "seconds")
    return Freshness(name, column, max_age, threshold=bound, line=line, dimension="timeliness")


def column_name(entry: Mapping[str, Any]) -> str:
    """The name that the data has: the physical one where the contract gives it."""
    return str(entry.get("physicalName") or entry["name"])


def is_sensitive(entry: Mapping[str, Any]) -> bool:
    """Whether the values of a column must not be shown: by its classification or its tags."""
    tags = {str(tag).lower() for tag in entry.get("tags", [])}
    return str(entry.get("classification", "")).strip().lower() not in OPEN_CLASSIFICATIONS or bool(
        tags.intersection(SENSITIVE_TAGS)
    )


_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _reference(text: str) -> tuple[str | None, str]:
    """Table and column of ``table.column`` or ``/schema/table/properties/column``; no table for another file."""
    if ".yaml#" in text:
        return None, text.rpartition("/")[2]
    if "/" in text:
        parts = text.strip("/").split("/")
        return (parts[1] if len(parts) >= 2 else None), parts[-1]
    table, _, column = text.rpartition(".")
    return table or None, column
