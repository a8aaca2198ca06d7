"""The cluster engine: plain Ray tasks over groups of ranges, which return merged states and never import ray.data."""

from __future__ import annotations

from collections.abc import Sequence

from mercury.quality.engines.arrow import scan
from mercury.quality.plan import Partial, Plan, merge
from mercury.quality.source import Range, Source

TASK_BYTES = 256 << 20
"""How much data one task reads, uncompressed."""


def scan_on_ray(plan: Plan, source: Source, ranges: Sequence[Range], *, task_bytes: int = TASK_BYTES) -> Partial:
    """The same answer as `mercury.quality.engines.arrow.scan`, computed by tasks of the Ray that is running."""
    import ray

    task = ray.remote(_scan_shared).options(name="quality-scan")
    shared = ray.put((plan, source))
    pending = [task.remote(shared, group) for group in groups(ranges, task_bytes)]
    parts: list[Partial] = []
    while pending:
        done, pending = ray.wait(pending, num_returns=1)
        parts.extend(ray.get(done))
        if len(parts) > 32:
            parts = [merge(plan, parts)]
    return merge(plan, parts)


def groups(ranges: Sequence[Range], task_bytes: int) -> list[list[Range]]:
    """Consecutive ranges in groups of about `task_bytes`, none empty."""
    found: list[list[Range]] = []
    size = 0
    for part in ranges:
        if not found or size + part.size > task_bytes:
            found.append([])
            size = 0
        found[-1].append(part)
        size += part.size
    return found


def _scan_shared(shared: tuple[Plan, Source], group: Sequence[Range]) -> Partial:
    plan, source = shared
    return scan(plan, source, group)
