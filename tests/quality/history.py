"""The history that `flights_history.odcs.yaml` describes: the flights with an id and the scheduled departure."""

from __future__ import annotations

from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from tests import flights_data


@cache
def history() -> pa.Table:
    """All 336,776 flights; ``sched_dep`` is UTC, ``flight_id`` is unique."""
    table = flights_data.flights()

    def padded(name: str, width: int) -> pa.ChunkedArray:
        return pc.utf8_lpad(table[name].cast(pa.string()), width, "0")

    number = pc.binary_join_element_wise(table["carrier"], table["flight"].cast(pa.string()), "")
    day = pc.binary_join_element_wise(table["year"].cast(pa.string()), padded("month", 2), padded("day", 2), "")
    ident = pc.binary_join_element_wise(number, table["origin"], day, "-")
    minutes = pc.multiply(table["minute"], 60_000_000).cast(pa.duration("us"))
    return table.append_column("flight_id", ident).append_column("sched_dep", pc.add(table["time_hour"], minutes))
