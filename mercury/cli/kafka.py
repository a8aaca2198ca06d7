"""`mercury kafka`: the project's own broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

_FORMAT = click.option(
    "--format", "form", type=click.Choice(["human", "json"]), default="human", show_default=True, help="Form of output."
)
_STATE = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="State folder of the broker.  [default: the project's]",
)
_SERVERS = click.option("--bootstrap-servers", help="Use this broker instead of the project's own.")


@click.group()
def kafka() -> None:
    """Start, stop and inspect the project's Kafka broker: a real Apache Kafka on the loopback address."""


@kafka.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: a free one]")
@_STATE
@_FORMAT
def start(port: int | None, state: Path | None, form: str) -> None:
    """Start the broker, or say where it runs.

    Example: mercury kafka start --port 9092
    """
    running = _broker(state).start(port)
    _tell(form, {"bootstrap": running.bootstrap, "pid": running.pid}, f"Kafka answers at {running.bootstrap}")


@kafka.command()
@_STATE
@_FORMAT
def stop(state: Path | None, form: str) -> None:
    """Stop the broker; its topics and events stay."""
    stopped = _broker(state).stop()
    _tell(form, {"stopped": stopped}, "Kafka has stopped" if stopped else "Kafka was not running")


@kafka.command()
@_STATE
@_FORMAT
def status(state: Path | None, form: str) -> None:
    """Say whether the broker runs, and where; exits with 7 when it does not."""
    from mercury.errors import BrokerUnavailableError

    broker = _broker(state)
    running = broker.running()
    if running is None:
        raise BrokerUnavailableError(
            "Kafka is not running", where=str(broker.folder), fix="Start it with `mercury kafka start`"
        )
    _tell(
        form,
        {"bootstrap": running.bootstrap, "pid": running.pid, "folder": str(broker.folder)},
        f"Kafka answers at {running.bootstrap} (process {running.pid}, data in {broker.folder})",
    )


@kafka.group(invoke_without_command=True)
@_SERVERS
@_STATE
@_FORMAT
@click.pass_context
def topics(context: click.Context, bootstrap_servers: str | None, state: Path | None, form: str) -> None:
    """List topics with the offsets of their partitions.

    Example: mercury kafka topics --format json
    """
    context.obj = (bootstrap_servers, state)
    if context.invoked_subcommand is not None:
        return
    from mercury.runtime.kafka import list_topics, offsets

    address = _address(bootstrap_servers, state)
    found = {name: offsets(address, name) for name in list_topics(address)}
    lines = [
        f"{name}  {len(parts)} partitions  {sum(end - first for first, end in parts.values())} events"
        for name, parts in found.items()
    ]
    rows = [
        {"topic": name, "partition": number, "first": first, "end": end}
        for name, parts in found.items()
        for number, (first, end) in parts.items()
    ]
    _tell(form, rows, "\n".join(lines) or "There are no topics")


@topics.command()
@click.argument("name")
@click.option("--partitions", type=click.IntRange(1), default=1, show_default=True, help="Number of partitions.")
@click.pass_context
def create(context: click.Context, name: str, partitions: int) -> None:
    """Make the topic NAME.

    Example: mercury kafka topics create flights --partitions 4
    """
    from mercury.runtime.kafka import create_topic

    create_topic(_address(*context.obj), name, partitions)
    click.echo(f"Made {name} with {partitions} partitions")


def _broker(state: Path | None) -> Any:
    from mercury.runtime.kafka import KafkaBroker

    return KafkaBroker(_state(state))


def _state(state: Path | None) -> Path:
    if state is not None:
        return state
    from mercury.config import load_settings

    return load_settings().state


def _address(servers: str | None, state: Path | None) -> str:
    from dataclasses import replace

    from mercury.config import load_settings
    from mercury.runtime.kafka import bootstrap

    settings = load_settings()
    return bootstrap(replace(settings, state=_state(state)), servers)


def _tell(form: str, data: Any, text: str) -> None:
    click.echo(json.dumps(data) if form == "json" else text)
