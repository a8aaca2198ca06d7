"""Reading events with OpenLineage's own classes, which know what belongs where."""

from __future__ import annotations

import importlib
import json
import pkgutil
from typing import Any

from openlineage.client import event_v2, generated
from openlineage.client.generated import base
from openlineage.client.generated.data_quality_assertions_dataset import Assertion

from mercury.config import Settings
from mercury.runtime.lineage import FILE_NAME

Event = dict[str, Any]


def told(settings: Settings) -> list[Event]:
    """The events in a project's file, each of which OpenLineage's classes can hold."""
    events = [json.loads(line) for line in (settings.state / FILE_NAME).read_text().splitlines()]
    for event in events:
        check(event)
    return events


def check(event: Event) -> None:
    """Fail unless every part and facet of an event is one of OpenLineage's, complete, known, and where it belongs."""
    run, job = event["run"], event["job"]
    made = event_v2.RunEvent(
        eventTime=event["eventTime"],
        eventType=event_v2.RunState[event["eventType"]],
        run=event_v2.Run(run["runId"], _facets(run["facets"], base.RunFacet)),
        job=event_v2.Job(job["namespace"], job["name"], _facets(job["facets"], base.JobFacet)),
        inputs=[
            _dataset(event_v2.InputDataset, read, "inputFacets", base.InputDatasetFacet) for read in event["inputs"]
        ],
        outputs=[
            _dataset(event_v2.OutputDataset, written, "outputFacets", base.OutputDatasetFacet)
            for written in event["outputs"]
        ],
        producer=event["producer"],
    )
    assert event["schemaURL"] == made.schemaURL
    assert set(event) == {"eventTime", "eventType", "run", "job", "inputs", "outputs", "producer", "schemaURL"}


def _dataset(kind: Any, given: Event, facets: str, of: type) -> Any:
    assert set(given) == {"namespace", "name", "facets", facets}
    return kind(
        given["namespace"],
        given["name"],
        _facets(given[facets], of),
        facets=_facets(given["facets"], base.DatasetFacet),
    )


def _facets(given: dict[str, Event], of: type) -> dict[str, Any]:
    return {name: _facet(facet, of) for name, facet in given.items()}


def _facet(given: Event, of: type) -> Any:
    kind = _KINDS[given["_schemaURL"]]
    assert issubclass(kind, of), f"{kind.__name__} is no {of.__name__}"
    values = {key: value for key, value in given.items() if key[0] != "_"}
    if "assertions" in values:
        values["assertions"] = [Assertion(**entry) for entry in values["assertions"]]
    return kind(producer=given["_producer"], **values)


def _kinds() -> dict[str, type]:
    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for value in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, base.BaseFacet):
                found[value._get_schema()] = value
    return found


_KINDS = _kinds()
