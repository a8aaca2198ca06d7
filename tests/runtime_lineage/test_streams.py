"""A stream's run: one from start to end, with the offsets that it read and the tables that it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mercury import Count, Entity, FeatureView, Kafka, Stream, Window
from mercury.config import Settings
from mercury.features import FeatureSink, FeatureStore, materialize
from mercury.lake import Lake
from mercury.runtime import lineage
from mercury.streaming import Counts, EpochProgress, FileSource, KafkaSource, Limits, StreamJob
from mercury.streaming.telling import Telling
from mercury.tables import Table
from mercury.time import HOUR, to_iso
from tests.runtime_lineage.official import Event, told

START = 1_700_000_000_000_000 // HOUR * HOUR
CLICKS = Stream(
    "clicks",
    source=Kafka(topic="clicks"),
    schema={"id": "string", "ts": "timestamp", "page": "string"},
    event_time="ts",
    key="id",
    lateness="1m",
)
HOURLY = Window("hourly", CLICKS, keys="page", size="1h", aggregates={"clicks": Count()})
VIEW = FeatureView("page_clicks", Entity("page", "page"), CLICKS, {"clicks_1h": Count(over="1h")})


def write(folder: Path, file: str, hours: list[int]) -> None:
    """One click per hour, each on its own page."""
    folder.mkdir(exist_ok=True)
    rows = [{"id": f"{file}{hour}", "ts": to_iso(START + hour * HOUR), "page": f"p{hour % 2}"} for hour in hours]
    (folder / f"{file}.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))


def job(settings: Settings, folder: Path, **options: Any) -> StreamJob:
    return StreamJob.from_settings(
        CLICKS,
        settings,
        FileSource.of(folder),
        windows=[HOURLY],
        panes=[VIEW],
        sinks=[FeatureSink(FeatureStore.of(settings), [VIEW])],
        limits=Limits(records=2, first_records=2),
        **options,
    )


def versions(datasets: list[Event]) -> dict[str, tuple[str, int]]:
    """Version and rows of each dataset, by name."""
    return {
        each["name"]: (
            each["facets"]["version"]["datasetVersion"],
            {**each.get("inputFacets", {}), **each.get("outputFacets", {})}[
                "inputStatistics" if "inputFacets" in each else "outputStatistics"
            ]["rowCount"],
        )
        for each in datasets
    }


def test_a_run_tells_its_offsets_and_the_tables_that_it_leaves(settings: Settings, tmp_path: Path) -> None:
    events = tmp_path / "events"
    write(events, "a", [0, 1, 2])
    write(events, "b", [0, 1, 2, 3])
    first = job(settings, events).run("end")
    write(events, "a", [0, 1, 2, 4, 5])
    job(settings, events).run("end", drain=True)

    lake, online = Lake(settings.lake), settings.state / "online" / "page_clicks"
    _, one, _, two = told(settings)
    assert {event["job"]["name"] for event in (one, two)} == {"stream.clicks"}
    assert one["job"]["facets"]["jobType"]["processingType"] == "STREAMING"
    assert first.epochs > 1
    assert versions(one["inputs"]) == {str(events): ("0:0-3,1:0-4", 7)}
    assert versions(two["inputs"]) == {str(events): ("0:3-5", 2)}
    written = versions(two["outputs"])
    runs = FeatureStore.of(settings).runs("page_clicks")
    for address in (lake.stream_rows("clicks"), lake.window("hourly"), f"{lake.panes('page_clicks')}/scalars"):
        assert written[address][0] == str(Table.open(address).version)
    assert written[str(runs.folder)][0] == written[str(online)][0] == runs.manifest().data_version
    rows = [versions(event["outputs"])[lake.window("hourly")][1] for event in (one, two)]
    assert sum(rows) == Table.open(lake.window("hourly")).read().num_rows
    kept = [versions(event["outputs"])[lake.stream_rows("clicks")][1] for event in (one, two)]
    assert kept == [7, 2]

    materialize(FeatureStore.of(settings), VIEW)
    (panes,) = told(settings)[-1]["inputs"]
    assert panes["facets"]["version"]["datasetVersion"] == written[panes["name"]][0]
    assert panes["name"] == f"{lake.panes('page_clicks')}/scalars"


def test_a_run_that_fails_tells_the_epochs_that_it_committed(settings: Settings, tmp_path: Path) -> None:
    events = tmp_path / "events"
    write(events, "a", list(range(9)))

    def stop(progress: EpochProgress) -> None:
        if progress.epoch == 2:
            raise OSError("the sky fell")

    with pytest.raises(OSError, match="the sky fell"):
        job(settings, events, on_epoch=stop).run("end")

    fail = told(settings)[-1]
    assert fail["eventType"] == "FAIL"
    assert versions(fail["inputs"]) == {str(events): ("0:0-4", 4)}
    assert versions(fail["outputs"])[Lake(settings.lake).stream_rows("clicks")][1] == 4


def test_a_run_that_goes_on_tells_of_itself_now_and_then(settings: Settings) -> None:
    now = [0.0]
    with lineage.run("stream.clicks", settings=settings, streaming=True) as run:
        telling = Telling(run, KafkaSource("10.0.0.1:9092, 10.0.0.2:9092", "clicks"), every=60, clock=lambda: now[0])
        for epoch in range(1, 6):
            now[0] += 25
            ranges = {0: (epoch * 10, epoch * 10 + 10), 1: (0, 0)}
            telling.epoch(EpochProgress(epoch, Counts(events=10), 0, {}, {}, 0, ranges))

    events = told(settings)
    assert [event["eventType"] for event in events] == ["START", "RUNNING", "COMPLETE"]
    assert {each["namespace"] for event in events for each in event["inputs"]} == {"kafka://10.0.0.1:9092"}
    assert [versions(event["inputs"]) for event in events] == [
        {},
        {"clicks": ("0:10-40", 30)},
        {"clicks": ("0:10-60", 50)},
    ]
