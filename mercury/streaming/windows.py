"""Tumbling and hopping windows over panes: assignment, closing under the watermark, emission once. Pure.

A window of ``size`` that advances by ``slide`` is the merge of its panes of gcd(size, slide) (Li et al. 2005, "No pane,
no gain"), and a pane is a group of `mercury.summaries`, keyed by its start. Bounds are ``[start, end)`` in event time,
aligned to 1970-01-01T00:00:00Z. A window is emitted when the watermark reaches its end, once and for good.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from mercury.definitions import Aggregate, FeatureView, Stream, Window
from mercury.errors import DefinitionError
from mercury.summaries import Summary, SummarySpec, finish, merge, partial
from mercury.time import duration

PANE = "pane_start"
WINDOW_START = "window_start"
WINDOW_END = "window_end"
_TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class PaneWindow:
    """A window as the engine keeps it; all lengths in microseconds."""

    name: str
    spec: SummarySpec
    event_time: str
    size: int
    slide: int

    @classmethod
    def of(cls, window: Window) -> PaneWindow:
        """The engine's form of a defined window."""
        assert window.source is not None
        size = duration(window.size)
        slide = duration(window.slide) if window.slide else size
        return cls._of(window.name, window.source, window.keys, window.aggregates, window.where, size, slide)

    @classmethod
    def of_view(cls, view: FeatureView) -> PaneWindow:
        """The panes that a feature view over a stream keeps: one hop long, its aggregates without their ``over``."""
        assert isinstance(view.source, Stream) and view.entity is not None
        aggregates = {
            name: replace(part, over=None) for name, part in view.columns.items() if not isinstance(part, str)
        }
        hop = view.hop_length
        return cls._of(view.name, view.source, view.entity.keys, aggregates, view.where, hop, hop)

    @classmethod
    def _of(
        cls,
        name: str,
        stream: Stream,
        keys: Sequence[str],
        aggregates: Mapping[str, Aggregate],
        where: str | None,
        size: int,
        slide: int,
    ) -> PaneWindow:
        for taken in (PANE, WINDOW_START, WINDOW_END):
            if taken in stream.schema:
                raise DefinitionError(
                    f"the column name {taken!r} is taken by windows", where=stream.address, fix="Rename the column"
                )
        spec = SummarySpec(
            keys={PANE: PANE, **{key: key for key in keys}}, aggregates=aggregates, time=stream.event_time, where=where
        )
        return cls(name, spec, stream.event_time, size, slide)

    @property
    def pane(self) -> int:
        """Length of a pane."""
        return math.gcd(self.size, self.slide)

    def summarize(self, rows: pa.Table) -> Summary:
        """The panes of these rows."""
        times = rows.column(self.event_time).cast(pa.int64()).to_numpy()
        return partial(self.spec, rows.append_column(PANE, pa.array(pane_starts(times, self.pane), _TIMESTAMP)))

    def closed(self, panes: Summary, previous: int, watermark: int) -> Summary:
        """Windows whose end the watermark passed on its way from `previous`: panes merged, keyed by window start."""

        def spread(table: pa.Table) -> pa.Table:
            starts = _starts(table)
            parts = []
            for hop in range(math.ceil(self.size / self.slide)):
                window = starts - starts % self.slide - hop * self.slide
                end = window + self.size
                inside = (end > previous) & (end <= watermark) & (starts + self.pane <= end)
                parts.append(_with_starts(table.filter(pa.array(inside)), window[inside]))
            return pa.concat_tables(parts)

        return merge([_each(panes, spread)])

    def open(self, panes: Summary, watermark: int) -> Summary:
        """The panes that a window still to be closed needs."""

        def keep(table: pa.Table) -> pa.Table:
            starts = _starts(table)
            return table.filter(pa.array(starts - starts % self.slide + self.size > watermark))

        return _each(panes, keep)

    def finish(self, closed: Summary) -> pa.Table:
        """Answers of closed windows: ``window_start``, ``window_end``, keys, one column per aggregate; sorted."""
        table = finish(closed)
        ends = pa.array(_starts(table) + self.size, _TIMESTAMP)
        names = [WINDOW_START if name == PANE else name for name in table.column_names]
        table = table.rename_columns(names)
        return table.add_column(table.column_names.index(WINDOW_START) + 1, WINDOW_END, ends)


def pane_starts(event_times: np.ndarray, pane: int) -> np.ndarray:
    """Start of the pane that holds each time, right before 1970 as well."""
    return event_times - event_times % pane


def rows_of(summary: Summary) -> int:
    """Rows of all tables of a summary: what it weighs."""
    return sum(table.num_rows for table in summary.tables.values())


def _each(summary: Summary, change: Callable[[pa.Table], pa.Table]) -> Summary:
    return Summary(summary.spec, {name: change(table) for name, table in summary.tables.items()})


def _starts(table: pa.Table) -> np.ndarray:
    return table.column(PANE).cast(pa.int64()).to_numpy()


def _with_starts(table: pa.Table, starts: np.ndarray) -> pa.Table:
    return table.set_column(table.column_names.index(PANE), PANE, pa.array(starts, _TIMESTAMP))
