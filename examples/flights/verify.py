"""The stream's tables against a batch recomputation of the same feed by other means: plain DuckDB over the raw events.

Nothing of the streaming engine is used here: the events are parsed by DuckDB's own JSON reader, the contract's rules
are written out in SQL, duplicates are dropped by ``DISTINCT``, and windows are one ``GROUP BY``.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from mercury.errors import DataError

CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")

EVENTS = """
    SELECT * FROM (SELECT number, CASE WHEN json_valid(value) THEN value::JSON END AS event FROM feed)
    WHERE event IS NULL OR event ->> 'kind' IS DISTINCT FROM 'heartbeat'
"""
"""What was delivered less the heartbeats, which are no events; null for what is not JSON."""

GOOD = f"""
    SELECT DISTINCT ON (event_id) * FROM (
        SELECT number, event ->> 'event_id' AS event_id, event ->> 'kind' AS kind, event ->> 'carrier' AS carrier,
               event ->> 'origin' AS origin, TRY_CAST(event ->> 'ts' AS TIMESTAMPTZ) AS ts,
               TRY_CAST(event ->> 'distance' AS DOUBLE) AS distance,
               TRY_CAST(event ->> 'dep_delay' AS DOUBLE) AS dep_delay,
               TRY_CAST(event ->> 'arr_delay' AS DOUBLE) AS arr_delay
        FROM events WHERE event IS NOT NULL
    )
    WHERE ts IS NOT NULL AND distance > 0 AND carrier IN {CARRIERS} AND origin IN ('EWR', 'JFK', 'LGA')
    ORDER BY event_id, number
"""
"""The first copy of every event that keeps the contract."""

WINDOWS = {
    "carrier_hourly": """
        SELECT date_trunc('hour', ts) AS window_start, carrier,
               count(*) FILTER (kind = 'departure') AS departures, count(*) FILTER (kind = 'arrival') AS arrivals,
               count(*) FILTER (kind = 'cancellation') AS cancellations,
               sum(dep_delay) FILTER (kind = 'departure') / nullif(count(dep_delay) FILTER (kind = 'departure'), 0)
                   AS dep_delay_mean,
               max(dep_delay) FILTER (kind = 'departure') AS dep_delay_max
        FROM kept GROUP BY ALL
    """,
    "origin_hourly": """
        SELECT date_trunc('hour', ts) AS window_start, origin, count(*) FILTER (kind = 'departure') AS departures,
               count(*) FILTER (kind = 'departure' AND dep_delay > 15) / nullif(count(*) FILTER (kind = 'departure'), 0)
                   AS late_share,
               sum(distance) FILTER (kind = 'departure') AS miles
        FROM kept GROUP BY ALL
    """,
}
"""The windows of the project, recomputed; quantiles have a stated error and are left to their own test."""


def compare(
    values: list[bytes], rows: pa.Table, late: pa.Table | None, dead: int, windows: dict[str, pa.Table]
) -> dict[str, int]:
    """Raise `DataError` at the first difference; else say how many rows were compared, by table.

    Parameters
    ----------
    values : every event that was delivered, raw.
    rows, late : the stream's tables; late rows are in no window.
    dead : number of dead letters.
    windows : the stream's windows by name.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        texts = pa.array([value.decode("utf-8", "replace") for value in values], pa.string())
        connection.register("feed", pa.table({"number": pa.array(range(len(values)), pa.int64()), "value": texts}))
        connection.register("stream_rows", rows)
        connection.register("stream_late", late if late is not None else rows.slice(0, 0))
        connection.execute(f"CREATE TEMP TABLE events AS {EVENTS}")
        connection.execute(f"CREATE TEMP TABLE good AS {GOOD}")
        connection.execute("CREATE TEMP TABLE kept AS SELECT * FROM good SEMI JOIN stream_rows USING (event_id)")
        compared = {"events": len(values)}

        def same(name: str, expected: str, actual: str) -> None:
            differing = _count(connection, f"SELECT count(*) FROM (({expected}) EXCEPT ALL ({actual}))")
            extra = _count(connection, f"SELECT count(*) FROM (({actual}) EXCEPT ALL ({expected}))")
            if differing or extra:
                raise DataError(
                    f"{name}: {differing} recomputed rows are not in the stream's table, {extra} of its rows are new",
                    where="batch recomputation",
                )
            compared[name] = _count(connection, f"SELECT count(*) FROM ({expected})")

        both = "SELECT event_id FROM stream_rows UNION ALL SELECT event_id FROM stream_late"
        same("rows and late rows", "SELECT event_id FROM good", both)
        columns = "event_id, kind, carrier, origin, ts, distance, dep_delay, arr_delay"
        same("rows", f"SELECT {columns} FROM kept", f"SELECT {columns} FROM stream_rows")
        refused = _count(connection, "SELECT count(*) FROM events") - _count(connection, _refused_complement())
        if refused != dead:
            raise DataError(f"{dead} dead letters, {refused} in the batch recomputation", where="batch recomputation")
        compared["dead letters"] = dead
        for name, query in WINDOWS.items():
            connection.register(f"stream_{name}", windows[name])
            rounded = _rounded(connection, query)
            same(name, f"SELECT {rounded} FROM ({query})", f"SELECT {rounded} FROM stream_{name}")
        return compared


def _refused_complement() -> str:
    """Number of events, copies included, that keep the contract."""
    return f"SELECT count(*) FROM ({GOOD.replace('DISTINCT ON (event_id) ', '')})"


def _rounded(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """The columns of a window, floats to nine digits: sums of floats depend on their order beyond that."""
    columns = connection.sql(query).to_arrow_table().schema
    return ", ".join(
        f"round({field.name}, 9) AS {field.name}" if pa.types.is_floating(field.type) else field.name
        for field in columns
    )


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])
