"""The in-process engine: one fused pass over ranges with Arrow and numpy, and footers before any data is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mercury.quality.block import Block
from mercury.quality.metrics.base import Metric
from mercury.quality.plan import Partial, Plan, compute, expressions_of, merge
from mercury.quality.results import Position
from mercury.quality.source import Range, Source

MERGE_EVERY = 64
"""Partial results are merged after this many blocks, so that their number does not grow with the data."""


def scan(plan: Plan, source: Source, ranges: Sequence[Range]) -> Partial:
    """The states of all metrics over some ranges: each from footers where they prove it, else from one pass."""
    parts: list[Partial] = []
    for part in ranges:
        parts += _scan_range(plan, source, part)
        if len(parts) >= MERGE_EVERY:
            parts = [merge(plan, parts)]
    return merge(plan, parts)


def blocks(source: Source, columns: Sequence[str], ranges: Sequence[Range] | None = None) -> Iterator[Block]:
    """Some columns of the source again, in the order of rows, whatever the order of the ranges."""
    parts = source.ranges() if ranges is None else ranges
    for part in sorted(parts, key=lambda part: (part.file, part.start)):
        for start, table in source.read(part, columns):
            yield Block(table, Position(part.file, start))


def _scan_range(plan: Plan, source: Source, part: Range) -> Iterator[Partial]:
    known, left = plan.from_footer(source.footer(part))
    if known or (not left and part.rows >= 0):
        yield Partial(part.rows if not left else 0, known)
    if left or part.rows < 0:
        yield from _scan_blocks(plan, source, part, left)


def _scan_blocks(plan: Plan, source: Source, part: Range, metrics: tuple[Metric, ...]) -> Iterator[Partial]:
    columns = plan.columns(metrics) or tuple(source.schema.names[:1])
    expressions = expressions_of(metrics)
    for start, table in source.read(part, columns):
        block = Block(table, Position(part.file, start), expressions)
        yield Partial(block.rows, compute(metrics, block), frozenset(metrics), table.nbytes)
