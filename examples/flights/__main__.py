"""The pieces of the story by hand: ``python -m flights tables`` and ``python -m flights feed``."""

from __future__ import annotations

from pathlib import Path

import click

from flights import events
from flights.replay import FileReplayer, KafkaReplayer, Replayer
from mercury.config import load_settings
from mercury.lake import Lake
from mercury.tables import Table

PROJECT = Path(__file__).parent / "mercury_project.py"

_MONTHS = click.option("--months", type=click.IntRange(1, 12), default=1, show_default=True, help="Months of 2013.")


@click.group()
def main() -> None:
    """Put the flights where the project expects them."""


@main.command()
@_MONTHS
def tables(months: int) -> None:
    """Write raw_flights, raw_planes and raw_weather into the lake, and the flights as a Parquet file beside it."""
    import pyarrow.parquet as pq

    settings = load_settings(PROJECT)
    flights = events.history(months)
    rows = {
        "raw_flights": flights,
        "raw_planes": events.read_table("planes"),
        "raw_weather": events.read_table("weather"),
    }
    for name, table in rows.items():
        commit = Table.create(Lake(settings.lake).table(name), table.schema, exist_ok=True).overwrite(table)
        click.echo(f"{name}: {table.num_rows:,} rows, version {commit.version}")
    pq.write_table(flights, "flights.parquet")


@main.command()
@_MONTHS
@click.option(
    "--files", type=click.Path(path_type=Path), help="Write the events to files in this folder, not to Kafka."
)
@click.option("--bootstrap-servers", help="Kafka to send to [default: the project's].")
def feed(months: int, files: Path | None, bootstrap_servers: str | None) -> None:
    """Send the events of the first months, in the order and with the faults of a real feed."""
    made = events.feed(events.history(months))
    replayer: Replayer
    if files is not None:
        replayer = FileReplayer(made, files)
    else:
        from mercury.runtime.kafka import bootstrap, create_topic, list_topics

        address = bootstrap_servers or bootstrap(load_settings(PROJECT))
        if "flights" not in list_topics(address):
            create_topic(address, "flights", events.PARTITIONS, retention_ms=-1)
        replayer = KafkaReplayer(made, address, "flights")
    replayer.deliver(len(made))
    replayer.close()
    click.echo(
        f"{len(made):,} events: " + ", ".join(f"{n:,} {fault.replace('_', ' ')}" for fault, n in made.counts.items())
    )


main()
