"""The proof of an erasure: decode every file that is left in a table's folder, and look for the ids in it.

Parquet files (data, change feed, checkpoints, leftovers of dead writers) are decoded value by value with their
statistics; log entries and checkpoints are searched in statistics, partition values, predicates and metadata. A file
that cannot be decoded cannot be vouched for, so it is a finding.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_PREFIX = 32
"""From this many characters on, a text in statistics may be cut, so that the start of an id counts as the id."""
_STATISTICS = frozenset({"minValues", "maxValues", "stats_parsed"})
_HADOOP_CHECKSUM = b"crc\x00"


@dataclass(frozen=True)
class DecodedFile:
    """A file that was decoded whole: path within the table, what it is, its rows or entries, and its SHA-256."""

    path: str
    kind: str
    entries: int
    sha256: str


@dataclass(frozen=True)
class Finding:
    """A place where an id, or something that cannot be read, is left. It never holds the id itself."""

    path: str
    reason: str


class Search:
    """Looks for ids of one column in whatever a table's folder may hold."""

    def __init__(self, column: str, ids: pa.Array) -> None:
        self.column = column
        self.ids = ids
        texts = sorted({str(value) for value in ids.to_pylist()}, key=len, reverse=True)
        self.values = set(ids.to_pylist())
        self.is_text = pa.types.is_string(ids.type)
        self.pattern = re.compile("|".join(rf"(?<!\w){re.escape(text)}(?!\w)" for text in texts)) if texts else None
        self.starts = tuple(text[:_PREFIX] for text in texts if len(text) > _PREFIX)

    def folder(self, root: Path) -> tuple[list[DecodedFile], list[Finding]]:
        """Decode every file below `root`."""
        decoded, findings = [], []
        for path in sorted(part for part in root.rglob("*") if part.is_file() or part.is_symlink()):
            name = path.relative_to(root).as_posix()
            try:
                kind, entries, reasons = self._file(path, name)
            except Exception as error:
                # Whatever a decoder raises, the file stays unread, and the proof must not pass.
                findings.append(Finding(name, f"cannot be decoded: {type(error).__name__}"))
                continue
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            decoded.append(DecodedFile(name, kind, entries, digest))
            findings += [Finding(name, reason) for reason in reasons]
            if self.is_text and self._in_text(name):
                findings.append(Finding("…", "an id is part of a file's name"))
        return decoded, findings

    def _file(self, path: Path, name: str) -> tuple[str, int, list[str]]:
        data = path.read_bytes()
        log = name.startswith("_delta_log/")
        if data[:4] == b"PAR1":
            file = pq.ParquetFile(pa.BufferReader(data))
            if log:
                return "checkpoint", file.metadata.num_rows, self._checkpoint(file)
            kind = "change data" if name.startswith("_change_data/") else "data"
            return kind, file.metadata.num_rows, self._rows(file)
        if not data or data[:4] == _HADOOP_CHECKSUM:
            return "checksum", 0, []
        if path.suffix == ".bin" and not log:
            # A deletion vector: positions of rows, no values.
            return "deletion vector", 0, []
        text = data.decode()
        lines = (
            [json.loads(line) for line in text.splitlines() if line.strip()]
            if path.suffix != ".crc"
            else [json.loads(text)]
        )
        return "log" if log else "metadata", len(lines), self._entries(lines)

    def _rows(self, file: pq.ParquetFile) -> list[str]:
        reasons = []
        names = [name for name in file.schema_arrow.names if self._searched(file.schema_arrow.field(name))]
        for batch in file.iter_batches(columns=names) if names else ():
            for name, column in zip(names, batch.columns, strict=True):
                found = pc.sum(pc.is_in(column.cast(self.ids.type), value_set=self.ids)).as_py() or 0
                if found:
                    reasons.append(f"{found} rows hold an id in column {name!r}")
        footer = file.metadata
        for place in range(footer.num_columns):
            if footer.schema.column(place).path != self.column:
                continue
            for group in range(footer.num_row_groups):
                statistics = footer.row_group(group).column(place).statistics
                if statistics is not None and statistics.has_min_max and self._is_id(statistics.min, statistics.max):
                    reasons.append("the footer's statistics hold an id")
        for value in (footer.metadata or {}).items():
            if self.is_text and any(self._in_text(part.decode(errors="replace")) for part in value):
                reasons.append("the footer's metadata hold an id")
        return reasons

    def _searched(self, field: pa.Field) -> bool:
        """The column itself; and every other text, when ids are texts, since copies of an id are ids as well."""
        return field.name == self.column or (self.is_text and pa.types.is_string(field.type))

    def _checkpoint(self, file: pq.ParquetFile) -> list[str]:
        table = file.read()
        return self._entries([row for batch in table.to_batches(1024) for row in batch.to_pylist()])

    def _entries(self, entries: Sequence[Any]) -> list[str]:
        return [reason for entry in entries for reason in self._walk(entry, ())]

    def _walk(self, value: Any, keys: tuple[str, ...]) -> Iterator[str]:
        if isinstance(value, dict):
            for key, part in value.items():
                yield from self._walk(part, (*keys, str(key)))
        elif isinstance(value, (list, tuple)):
            # Maps of a checkpoint are lists of pairs: the first of a pair is its key.
            pair = len(value) == 2 and isinstance(value, tuple)
            for part in value[1:] if pair else value:
                yield from self._walk(part, (*keys, str(value[0])) if pair else keys)
        elif isinstance(value, str) and value[:1] in "{[" and (inner := _json(value)) is not None:
            yield from self._walk(inner, keys)
        elif value is not None:
            yield from self._leaf(value, keys)

    def _leaf(self, value: Any, keys: tuple[str, ...]) -> Iterator[str]:
        place = ".".join(keys)
        statistic = keys[-1:] == (self.column,) and any(key in _STATISTICS for key in keys)
        searched = isinstance(value, str) and (self.is_text or _is_predicate(keys))
        if (statistic and self._is_id(value)) or (searched and self._in_text(value)):
            yield f"an id is in {place}"

    def _is_id(self, *values: Any) -> bool:
        for value in values:
            if value in self.values or str(value) in {str(known) for known in self.values}:
                return True
            if self.starts and isinstance(value, str) and value.startswith(self.starts):
                return True
        return False

    def _in_text(self, text: str) -> bool:
        return bool(self.pattern and self.pattern.search(text)) or any(start in text for start in self.starts)


def _is_predicate(keys: Sequence[str]) -> bool:
    return any("redicate" in key for key in keys)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
