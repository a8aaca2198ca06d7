"""What a stream's run tells lineage: the offsets that it read, and the tables that it wrote with their versions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mercury.errors import TableNotFoundError
from mercury.lake import Lake
from mercury.runtime import lineage
from mercury.streaming.log import Counts
from mercury.tables import Table

if TYPE_CHECKING:
    from mercury.config import Settings


@contextlib.contextmanager
def told(settings: Settings | None, job: str) -> Iterator[lineage.Run | None]:
    """The lineage run of a job; None without settings, which say where events go."""
    if settings is None:
        yield None
        return
    with lineage.run(job, settings=settings) as run:
        yield run


def tell_input(run: lineage.Run, source: str, before: Mapping[int, int], after: Mapping[int, int]) -> None:
    """Name the source with the offsets that the run read of each partition, as its version."""
    read = {p: (before.get(p, 0), high) for p, high in after.items() if high > before.get(p, 0)}
    run.input(source, version=lineage.offset_ranges(read), rows=sum(high - low for low, high in read.values()))


def tell_outputs(
    run: lineage.Run,
    lake: Lake,
    stream: str,
    windows: Sequence[str],
    panes: Sequence[str],
    counts: Counts,
    storage_options: Mapping[str, str] | None = None,
) -> None:
    """Name the tables that there are, with the versions that the run leaves and the rows that it added."""
    written = [
        (f"streams/{stream}/rows", lake.stream_rows(stream), counts.rows),
        (f"streams/{stream}/late", lake.stream_late(stream), counts.late),
        (f"streams/{stream}/dead_letters", lake.stream_dead_letters(stream), counts.dead),
        *((f"windows/{name}", lake.window(name), counts.windows.get(name, 0)) for name in windows),
        *((f"features/{name}/panes", f"{lake.panes(name)}/scalars", counts.windows.get(name, 0)) for name in panes),
    ]
    for name, uri, rows in written:
        with contextlib.suppress(TableNotFoundError):
            run.output(name, version=Table.open(uri, storage_options=storage_options).version, rows=rows)
