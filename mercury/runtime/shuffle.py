"""The keyed shuffle: map kernel, hash partition, reduce kernel, on Ray tasks and the object store.

For work that needs all rows of a key together: bucketing, sessions, point-in-time joins, bounding per user. Kernels are
pure functions, Arrow table in and Arrow table out; what is big goes through the object store, which spills to disk.
Without a Ray session, or for few bytes, the same kernels run in this process, with equal results to the last bit,
because inputs are mapped one by one and rows keep their order either way.

The design follows Exoshuffle (Luan et al., "Exoshuffle: an extensible shuffle architecture", SIGCOMM 2023,
arXiv 2203.05072): shuffle as a library over distributed futures, whose system retries tasks and rebuilds lost objects.
Aggregates that are skewed should be made smaller in the map kernel already (two phases), as summaries are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mercury.errors import DeadlineExceededError, SchemaError, UnavailableError, UsageError, did_you_mean
from mercury.runtime.hashing import bucket_of
from mercury.runtime.session import original_error

PARTITION_BYTES = 128 << 20
"""Bytes of input for each partition when their number is left out."""

IN_PROCESS_BYTES = 64 << 20
"""Inputs smaller than this stay in the process: moving them to workers costs more than the work."""

Kernel = Callable[[pa.Table], pa.Table]
"""A pure function. For a reduce kernel the table holds all rows of each of its keys, in the order of the inputs."""


@runtime_checkable
class Source(Protocol):
    """Something that is read where its map task runs, instead of being sent there."""

    @property
    def bytes(self) -> int:
        """Roughly how many bytes `read` returns."""
        ...

    def read(self) -> pa.Table:
        """The rows."""
        ...


@dataclass(frozen=True)
class FileRange:
    """Some row groups of a Parquet file (all when None), and the columns to read (all when None).

    ``bytes`` is the uncompressed size of those row groups. Made by `file_ranges`.
    """

    path: str
    row_groups: tuple[int, ...] | None = None
    columns: tuple[str, ...] | None = None
    bytes: int = 0

    def read(self) -> pa.Table:
        columns = list(self.columns) if self.columns is not None else None
        with pq.ParquetFile(self.path) as file:
            if self.row_groups is None:
                return file.read(columns=columns)
            return file.read_row_groups(list(self.row_groups), columns=columns)


def file_ranges(
    paths: Iterable[str | Path], columns: Sequence[str] | None = None, *, range_bytes: int = PARTITION_BYTES
) -> list[FileRange]:
    """Ranges of whole row groups, of about `range_bytes` uncompressed bytes each, in the order of the files."""
    chosen = tuple(columns) if columns is not None else None
    ranges: list[FileRange] = []
    for path in paths:
        metadata = pq.read_metadata(path)
        groups: list[int] = []
        held = 0
        for group in range(metadata.num_row_groups):
            size = metadata.row_group(group).total_byte_size
            if groups and held + size > range_bytes:
                ranges.append(FileRange(str(path), tuple(groups), chosen, held))
                groups, held = [], 0
            groups.append(group)
            held += size
        ranges.append(FileRange(str(path), tuple(groups), chosen, held))
    return ranges


def shuffle(
    inputs: Sequence[pa.Table | Source],
    map_kernel: Kernel,
    keys: Sequence[str],
    reduce_kernel: Kernel,
    *,
    partitions: int | None = None,
    engine: Literal["auto", "ray", "process"] = "auto",
    task_options: Mapping[str, Any] | None = None,
    deadline: float | None = None,
) -> list[pa.Table]:
    """One reduced table per partition; partition p holds the keys with ``bucket_of(keys, partitions) == p``.

    Parameters
    ----------
    inputs : tables, or sources such as `FileRange` that are read in the map tasks; at least one.
    map_kernel : applied to each input.
    keys : columns of the map kernel's result.
    reduce_kernel : applied to each partition once, to an empty table with the right schema too.
    partitions : how many; left out, one for each `PARTITION_BYTES` of input.
    engine : "auto" takes Ray when this process is connected to it and the inputs have `IN_PROCESS_BYTES` or more.
    task_options : Ray's options for each task, such as ``num_cpus`` and ``memory`` (bytes).
    deadline : seconds for the whole on Ray.

    The result depends neither on the engine nor on retries: a task whose worker dies runs again. Raises what a kernel
    raised, `SchemaError` when a key is missing, `UnavailableError` when workers keep dying, `DeadlineExceededError`.
    """
    if not inputs:
        raise UsageError(
            "a shuffle needs an input", fix="Give an empty table with the right columns when there is none"
        )
    if not keys:
        raise UsageError("a shuffle needs a key", fix="Name the columns whose equal rows belong together")
    size = sum(_size(each) for each in inputs)
    count = partitions_for(size) if partitions is None else partitions
    if count < 1:
        raise UsageError(f"{count} partitions", fix="Ask for one or more")
    if engine == "ray" or (engine == "auto" and size >= IN_PROCESS_BYTES and _ray_runs()):
        return _on_ray(inputs, map_kernel, tuple(keys), reduce_kernel, count, task_options or {}, deadline)
    return _in_process(inputs, map_kernel, keys, reduce_kernel, count)


def partitions_for(size: int) -> int:
    """How many partitions so many bytes of input get.

    >>> partitions_for(0), partitions_for(PARTITION_BYTES), partitions_for(PARTITION_BYTES + 1)
    (1, 1, 2)
    """
    return max(1, -(-size // PARTITION_BYTES))


def split(table: pa.Table, keys: Sequence[str], partitions: int) -> list[pa.Table]:
    """The rows of each partition, in their order; `SchemaError` when a key is not a column."""
    for key in keys:
        if key not in table.column_names:
            raise SchemaError(
                f"the map kernel returned no key column {key!r}", fix=did_you_mean(key, table.column_names)
            )
    if partitions == 1:
        return [table]
    buckets = bucket_of([table.column(key) for key in keys], partitions)
    grouped = table.take(pa.array(np.argsort(buckets, kind="stable")))
    ends = np.cumsum(np.bincount(buckets, minlength=partitions))
    return [grouped.slice(end - length, length) for end, length in zip(ends, np.diff(ends, prepend=0), strict=True)]


def _in_process(
    inputs: Sequence[pa.Table | Source],
    map_kernel: Kernel,
    keys: Sequence[str],
    reduce_kernel: Kernel,
    partitions: int,
) -> list[pa.Table]:
    parts = [split(map_kernel(_read(each)), keys, partitions) for each in inputs]
    return [reduce_kernel(_concatenate(part[p] for part in parts)) for p in range(partitions)]


def _on_ray(
    inputs: Sequence[pa.Table | Source],
    map_kernel: Kernel,
    keys: tuple[str, ...],
    reduce_kernel: Kernel,
    partitions: int,
    task_options: Mapping[str, Any],
    deadline: float | None,
) -> list[pa.Table]:
    import ray
    from ray.exceptions import GetTimeoutError, ObjectLostError, OutOfMemoryError, RayError, WorkerCrashedError

    mapper = ray.remote(_map_task).options(**{**task_options, "num_returns": partitions})
    reducer = ray.remote(_reduce_task).options(**task_options)
    kernels = ray.put((map_kernel, keys, partitions)), ray.put(reduce_kernel)
    mapped = [mapper.remote(kernels[0], _shipped(each)) for each in inputs]
    columns = [[refs] for refs in mapped] if partitions == 1 else mapped
    reduced = [reducer.remote(kernels[1], *(refs[p] for refs in columns)) for p in range(partitions)]
    del mapped, columns  # Each map output is freed as soon as its reduce task has run.
    try:
        return [_from_ipc(buffer) for buffer in ray.get(reduced, timeout=deadline)]
    except GetTimeoutError as error:
        for reference in reduced:
            ray.cancel(reference, force=True, recursive=True)
        raise DeadlineExceededError(f"the shuffle took longer than {deadline:g} s and was cancelled") from error
    except RayError as error:
        cause = original_error(error)
        if isinstance(cause, WorkerCrashedError | OutOfMemoryError | ObjectLostError):
            raise UnavailableError(
                f"a shuffle task died on every attempt: {type(cause).__name__}",
                fix="Usually a partition does not fit in memory: ask for more partitions, or give tasks more memory",
            ) from error
        raise cause from error


def _map_task(work: tuple[Kernel, tuple[str, ...], int], source: pa.Buffer | Source) -> Any:
    map_kernel, keys, partitions = work
    table = _from_ipc(source) if isinstance(source, pa.Buffer) else source.read()
    parts = [_to_ipc(part) for part in split(map_kernel(table), keys, partitions)]
    return parts[0] if partitions == 1 else tuple(parts)


def _reduce_task(reduce_kernel: Kernel, *parts: pa.Buffer) -> pa.Buffer:
    return _to_ipc(reduce_kernel(_concatenate(_from_ipc(part) for part in parts)))


def _shipped(each: pa.Table | Source) -> Any:
    import ray

    return ray.put(_to_ipc(each)) if isinstance(each, pa.Table) else each


def _to_ipc(table: pa.Table) -> pa.Buffer:
    # A pickled slice would carry the buffers of the whole table; IPC writes only its rows, and is read without a copy.
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _from_ipc(buffer: pa.Buffer) -> pa.Table:
    with pa.ipc.open_stream(buffer) as reader:
        return reader.read_all()


def _concatenate(tables: Iterator[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="permissive")


def _read(each: pa.Table | Source) -> pa.Table:
    return each if isinstance(each, pa.Table) else each.read()


def _size(each: pa.Table | Source) -> int:
    if isinstance(each, pa.Table):
        return each.nbytes
    if isinstance(each, Source):
        return each.bytes
    raise UsageError(f"{type(each).__name__} is no input of a shuffle", fix="Give Arrow tables or file_ranges(…)")


def _ray_runs() -> bool:
    import sys

    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()
