r"""Join flights, planes and hourly weather into the features that are known when a flight is scheduled to leave.

    RAY_AUTH_MODE=token ray job submit --working-dir . -- python jobs/flight_features.py \
        --project examples/flights/mercury_project.py --lake /shared/lake

Reads the Delta tables ``raw_flights``, ``raw_planes`` and ``raw_weather`` of the lake and writes ``flight_features``.
With ``--date`` only the flights of that day (UTC) are computed and replaced. A second run on the same input versions
does nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mercury.errors import MercuryError

if TYPE_CHECKING:
    from mercury.batch import Query, Scope

JOB = "flight_features"

SELECT = """
WITH hourly AS (
    -- The hour that a clock change repeats is in the weather twice.
    SELECT * FROM (
        SELECT origin, time_hour, temp, wind_speed, precip, visib,
               row_number() OVER (PARTITION BY origin, time_hour
                                  ORDER BY year, month, day, hour, temp, wind_speed, precip, visib) AS copy
        FROM raw_weather
    ) AS numbered WHERE copy = 1
),
flights AS (
    SELECT *, date_trunc('hour', sched_dep) AS known_at FROM raw_flights
)
SELECT f.flight_id, f.origin, f.dest, f.carrier, f.tailnum, f.sched_dep, f.known_at,
       f.distance AS distance,
       f.hour AS sched_hour,
       {iso_weekday} AS dow,
       f.month AS month,
       2013 - p.year AS plane_age,
       p.seats AS seats,
       w.temp, w.wind_speed, w.precip, w.visib
FROM flights AS f
LEFT JOIN raw_planes AS p ON f.tailnum = p.tailnum
LEFT JOIN hourly AS w ON f.origin = w.origin AND f.known_at = w.time_hour
"""
"""Hour, weekday (Monday is 1) and month are those of the schedule, in New York's time; all instants are in UTC."""

ISO_WEEKDAY = {
    "duckdb": "isodow(make_date(f.year, f.month, f.day))",
    "spark": "weekday(make_date(f.year, f.month, f.day)) + 1",
}


def query() -> Query:
    """The features' columns, and the query in both dialects."""
    from mercury.batch import Query
    from mercury.definitions import arrow_schema

    schema = arrow_schema(
        {
            "flight_id": "string",
            "origin": "string",
            "dest": "string",
            "carrier": "string",
            "tailnum": "string",
            "sched_dep": "timestamp",
            "known_at": "timestamp",
            "distance": "float64",
            "sched_hour": "int32",
            "dow": "int32",
            "month": "int32",
            "plane_age": "float64",
            "seats": "float64",
            "temp": "float64",
            "wind_speed": "float64",
            "precip": "float64",
            "visib": "float64",
        }
    )
    texts = {dialect: SELECT.format(iso_weekday=weekday) for dialect, weekday in ISO_WEEKDAY.items()}
    return Query(schema, **texts)


def scope(date: str | None) -> Scope:
    """All flights, or those that are scheduled to leave on one day (UTC)."""
    from mercury.batch import Scope

    if date is None:
        return Scope()
    day = dt.date.fromisoformat(date)
    bounds = "{column} >= TIMESTAMP '{day}' AND {column} < TIMESTAMP '{next}'"

    def within(column: str) -> str:
        return bounds.format(column=column, day=day, next=day + dt.timedelta(days=1))

    return Scope(str(day), within("known_at"), {"raw_flights": within("sched_dep"), "raw_weather": within("time_hour")})


@click.command()
@click.option("--project", type=click.Path(path_type=Path), default=Path("mercury_project.py"), help="Project file.")
@click.option("--lake", help="Root of the tables; the project's setting otherwise.")
@click.option("--date", help="One day of flights, YYYY-MM-DD (UTC); all of them otherwise.")
@click.option("--engine", help="auto, duckdb or spark; the job's own otherwise.")
@click.option("--force", is_flag=True, help="Run although no input has changed.")
def main(project: Path, lake: str | None, date: str | None, engine: str | None, force: bool) -> None:
    """Write the flight features, and print what was done as one JSON document."""
    from mercury.batch import job_settings, run
    from mercury.definitions import Job
    from mercury.projects import load_project

    settings = job_settings(project, lake)
    job = load_project(project).get(Job, JOB)
    result = run(job, query(), settings, scope=scope(date), code=__file__, engine=engine, force=force)
    click.echo(json.dumps(result.to_dict()))


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except MercuryError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
