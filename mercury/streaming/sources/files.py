"""Files as a source: the same events through the same engine, without a broker.

A Parquet file holds records with the columns partition, offset, timestamp, key and value (timestamp and key may be
missing). Of NDJSON files each is a partition, in order of their names, and a line is a value with its number as the
offset: a broken line stays a broken event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mercury.errors import NotFoundError, SchemaError, UsageError
from mercury.streaming import records

_NDJSON = {".ndjson", ".jsonl", ".json"}
_PARQUET = {".parquet"}


@dataclass(frozen=True)
class FileSource:
    """Parquet or NDJSON files, or folders of them."""

    paths: tuple[str, ...]

    @classmethod
    def of(cls, *paths: str | Path) -> FileSource:
        """A source of files and folders."""
        return cls(tuple(str(path) for path in paths))

    @property
    def name(self) -> str:
        """The paths."""
        return ",".join(self.paths)

    def open(self) -> ParquetReader | NdjsonReader:
        """A reader; raises `NotFoundError` for no files, `UsageError` for files of several kinds."""
        files = _files(self.paths)
        kinds = {path.suffix for path in files}
        if kinds <= _PARQUET:
            return ParquetReader(self.paths)
        if kinds <= _NDJSON:
            return NdjsonReader(files)
        raise UsageError(
            f"files of the kinds {', '.join(sorted(kinds))} cannot be replayed together",
            where=self.name,
            fix="Give Parquet files or NDJSON files (.ndjson, .jsonl, .json)",
        )


class ParquetReader:
    """Reads row groups that meet the range. Files that are added to a folder while it reads are found."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._known: set[Path] = set()
        self._groups: dict[int, list[tuple[int, int, Path, int]]] = {}
        self._look()

    def bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        """The least offset, and one past the greatest, per partition."""
        self._look()
        first = {partition: min(low for low, _, _, _ in groups) for partition, groups in self._groups.items()}
        return first, {p: max(high for _, high, _, _ in groups) + 1 for p, groups in self._groups.items()}

    def read(self, ranges: Mapping[int, tuple[int, int]]) -> dict[int, pa.Table]:
        """The records of the ranges."""
        self._look()
        return {partition: self._read(partition, low, high) for partition, (low, high) in ranges.items()}

    def close(self) -> None:
        """Nothing is held open."""

    def _look(self) -> None:
        for path in _files(self._paths):
            if path not in self._known:
                self._index(path)
                self._known.add(path)

    def _index(self, path: Path) -> None:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if not {"partition", "offset", "value"} <= set(names):
                raise SchemaError(
                    f"a file of records needs the columns partition, offset and value, not {', '.join(names)}",
                    where=str(path),
                    fix="Write the columns partition, offset, timestamp, key, value",
                )
            for group in range(file.num_row_groups):
                places = file.read_row_group(group, columns=["partition", "offset"])
                for row in places.group_by("partition").aggregate([("offset", "min"), ("offset", "max")]).to_pylist():
                    entry = (int(row["offset_min"]), int(row["offset_max"]), path, group)
                    self._groups.setdefault(int(row["partition"]), []).append(entry)

    def _read(self, partition: int, low: int, high: int) -> pa.Table:
        parts = []
        for least, greatest, path, group in self._groups.get(partition, ()):
            if least < high and greatest >= low:
                with pq.ParquetFile(path) as file:
                    table = file.read_row_group(group)
                inside = pc.and_(
                    pc.equal(table["partition"], partition),
                    pc.and_(pc.greater_equal(table["offset"], low), pc.less(table["offset"], high)),
                )
                parts.append(_as_records(table.filter(inside)))
        return records.concat([records.concat(parts).sort_by("offset")]) if parts else records.empty()


class NdjsonReader:
    """Reads lines by number; a file's line index is made once, at 4 bytes a line."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = dict(enumerate(files))
        self._ends: dict[int, np.ndarray] = {}

    def bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        """0, and the number of lines."""
        return dict.fromkeys(self._files, 0), {partition: len(self._index(partition)) - 1 for partition in self._files}

    def read(self, ranges: Mapping[int, tuple[int, int]]) -> dict[int, pa.Table]:
        """The lines of the ranges, without their ends."""
        return {partition: self._read(partition, low, high) for partition, (low, high) in ranges.items()}

    def close(self) -> None:
        """Nothing is held open."""

    def _index(self, partition: int) -> np.ndarray:
        if partition not in self._ends:
            data = np.fromfile(self._files[partition], dtype=np.uint8)
            ends = np.flatnonzero(data == ord("\n")) + 1
            if len(data) and (not len(ends) or ends[-1] != len(data)):
                ends = np.append(ends, len(data))
            self._ends[partition] = np.concatenate([[0], ends]).astype(np.int64)
        return self._ends[partition]

    def _read(self, partition: int, low: int, high: int) -> pa.Table:
        index = self._index(partition)
        high = min(high, len(index) - 1)
        if low >= high:
            return records.empty()
        with self._files[partition].open("rb") as file:
            file.seek(int(index[low]))
            data = np.frombuffer(file.read(int(index[high] - index[low])), dtype=np.uint8)
        starts = index[low:high] - index[low]
        stops = index[low + 1 : high + 1] - index[low]
        for end in (b"\n", b"\r"):
            ended = (stops > starts) & (data[np.maximum(stops - 1, 0)] == end[0])
            stops = stops - ended
        return pa.Table.from_arrays(
            [
                pa.array(np.arange(low, high)),
                pa.nulls(high - low, pa.timestamp("us", tz="UTC")),
                pa.nulls(high - low, pa.binary()),
                records.slices(data, starts, stops - starts, pa.binary()),
            ],
            schema=records.RECORDS,
        )


def _files(paths: Sequence[str]) -> list[Path]:
    found: list[Path] = []
    for text in paths:
        path = Path(text)
        if path.is_dir():
            found += sorted(file for file in path.iterdir() if file.suffix in _NDJSON | _PARQUET)
        elif path.is_file():
            found.append(path)
        else:
            raise NotFoundError(f"no file or folder {text!r}", fix="Check the path")
    if not found:
        raise NotFoundError(f"no .parquet or .ndjson files in {', '.join(paths)}", fix="Check the path")
    return found


def _as_records(table: pa.Table) -> pa.Table:
    columns = []
    for field in records.RECORDS:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
        else:
            columns.append(table.column(field.name).cast(field.type))
    return pa.Table.from_arrays(columns, schema=records.RECORDS)
