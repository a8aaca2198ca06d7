"""Eight questions as a dashboard asks them: Mercury's text, and DuckDB's SQL over the base table. Plain text only."""

from __future__ import annotations

ZONE = "America/New_York"
LOCAL = f"ts AT TIME ZONE '{ZONE}'"
LATE = "count(*) FILTER (dep_delay > 15) / nullif(count(*), 0)"

QUESTIONS: dict[str, tuple[str, str]] = {
    "totals": (
        "flights, miles, mean_delay",
        "SELECT count(*) AS flights, sum(distance)::BIGINT AS miles, avg(dep_delay) AS mean_delay FROM base",
    ),
    "by day": (
        "flights, late_rate by day",
        f"SELECT CAST({LOCAL} AS DATE) AS day, count(*) AS flights, {LATE} AS late_rate FROM base GROUP BY ALL",
    ),
    "by carrier and origin": (
        "flights, mean_delay, late_rate by carrier, origin",
        f"SELECT carrier, origin, count(*) AS flights, avg(dep_delay) AS mean_delay, {LATE} AS late_rate "
        "FROM base GROUP BY ALL",
    ),
    "by month, filtered": (
        "flights, mean_delay by month where origin = 'JFK' and carrier in ('C0', 'C1')",
        f"SELECT CAST(date_trunc('month', {LOCAL}) AS DATE) AS month, count(*) AS flights, "
        "avg(dep_delay) AS mean_delay FROM base WHERE origin = 'JFK' AND carrier IN ('C0', 'C1') GROUP BY ALL",
    ),
    "unaligned range": (
        "flights, miles by carrier where time >= '2013-03-10 06:30' and time < '2013-06-20 17:45'",
        "SELECT carrier, count(*) AS flights, sum(distance)::BIGINT AS miles FROM base "
        "WHERE ts >= TIMESTAMPTZ '2013-03-10 10:30:00+00' AND ts < TIMESTAMPTZ '2013-06-20 21:45:00+00' GROUP BY ALL",
    ),
    "exact distinct": (
        "planes by month",
        f"SELECT CAST(date_trunc('month', {LOCAL}) AS DATE) AS month, count(DISTINCT tail) AS planes "
        "FROM base GROUP BY ALL",
    ),
    "90th percentile": (
        "p90 by carrier",
        "SELECT carrier, quantile_disc(dep_delay, 0.9) AS p90 FROM base GROUP BY ALL",
    ),
    "a week by hour": (
        "flights, late_rate by hour where time >= '2013-07-01' and time < '2013-07-08'",
        f"SELECT date_trunc('hour', ts) AS hour, count(*) AS flights, {LATE} AS late_rate FROM base "
        "WHERE ts >= TIMESTAMPTZ '2013-07-01 04:00:00+00' AND ts < TIMESTAMPTZ '2013-07-08 04:00:00+00' GROUP BY ALL",
    ),
}

ROUNDS = 10
"""How often a question is asked in one run, after once that does not count: a dashboard that is open."""
