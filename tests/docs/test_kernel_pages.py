"""Lists in the kernel's pages are complete: every function, every aggregate and its state columns."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from mercury import definitions
from mercury.definitions import Aggregate, Histogram
from mercury.expressions.functions import DATE_PARTS, FUNCTIONS, TRUNCATIONS
from mercury.summaries import SummarySpec, partial

DOCS = Path(__file__).parents[2] / "docs"


def test_every_function_and_part_of_a_time_is_on_the_page() -> None:
    text = (DOCS / "expressions.md").read_text()
    words = set(re.findall(r"[a-z_0-9]+", text))

    assert set(FUNCTIONS) <= set(re.findall(r"`([a-z_0-9]+)`", text))
    assert {*DATE_PARTS, TRUNCATIONS[0], TRUNCATIONS[-1]} <= words


def test_every_aggregate_is_on_the_page_with_its_state() -> None:
    text = (DOCS / "summaries.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    rows = pa.table({"k": [1], "x": [1.5], "t": pa.array([0], pa.timestamp("us", tz="UTC"))})
    kinds = [
        kind
        for kind in vars(definitions).values()
        if isinstance(kind, type) and issubclass(kind, Aggregate) and kind is not Aggregate
    ]

    assert len(kinds) >= 13
    for kind in kinds:
        mine = " ".join(line for line in lines if re.search(rf"`{kind.__name__}[`(]", line))
        options = {"edges": [0]} if kind is Histogram else {}
        of = "k" if kind.__name__ in ("CountDistinct", "TopK") else "x"
        state = partial(SummarySpec(["k"], {"name": kind(of, **options)}, time="t"), rows)
        columns = {column for table in state.tables.values() for column in table.column_names} - {"k"}
        assert columns <= set(re.findall(r"`(name\w*)`", mine)), (kind, mine)
