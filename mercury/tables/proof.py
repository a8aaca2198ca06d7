"""The proof of an erasure: decode every file that is left in a table's folder, and look for the ids in it.

Parquet files (data, change feed, checkpoints, leftovers of dead writers) are decoded value by value, nested ones and
bytes too (`mercury.tables.mentions`), with their statistics; log entries and checkpoints are searched in statistics,
partition values, predicates and metadata. What cannot be decoded cannot be vouched for, so it is a finding.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mercury.tables.mentions import Mentions, folded

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
        self.mentions = Mentions(column, ids)
        texts = self.mentions.texts
        self.is_text = self.mentions.is_text
        self.values = set(texts)
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
        found: Counter[tuple[str, bool]] = Counter()
        for batch in file.iter_batches():
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                for each in self.mentions.in_column(name, column):
                    found[each.path, each.legible] += each.values
        reasons = [
            f"{count} rows hold an id in column {path!r}"
            if legible
            else f"{count} values of column {path!r} are bytes that are no text, and may hold an id"
            for (path, legible), count in found.items()
        ]
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
        texts = [folded(str(value)) for value in values]
        return any(text in self.values or (self.starts and text.startswith(self.starts)) for text in texts)

    def _in_text(self, text: str) -> bool:
        whole = folded(text)
        return bool(self.pattern and self.pattern.search(whole)) or any(start in whole for start in self.starts)


def _is_predicate(keys: Sequence[str]) -> bool:
    return any("redicate" in key for key in keys)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
