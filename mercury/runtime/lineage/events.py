"""A run as an OpenLineage event (https://openlineage.io/spec/2-0-2/OpenLineage.json), made of its client's classes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, RunEvent, RunState
from openlineage.client.event_v2 import Run as RunOfEvent
from openlineage.client.generated.data_quality_assertions_dataset import Assertion, DataQualityAssertionsDatasetFacet
from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
from openlineage.client.generated.error_message_run import ErrorMessageRunFacet
from openlineage.client.generated.input_statistics_input_dataset import InputStatisticsInputDatasetFacet
from openlineage.client.generated.job_type_job import JobTypeJobFacet
from openlineage.client.generated.output_statistics_output_dataset import OutputStatisticsOutputDatasetFacet
from openlineage.client.generated.parent_run import Job as ParentJob
from openlineage.client.generated.parent_run import ParentRunFacet
from openlineage.client.generated.parent_run import Run as ParentRun
from openlineage.client.generated.processing_engine_run import ProcessingEngineRunFacet
from openlineage.client.generated.source_code_location_job import SourceCodeLocationJobFacet

import mercury
from mercury.runtime.lineage.code import code_version
from mercury.runtime.lineage.record import Dataset, Run

PRODUCER = f"https://pypi.org/project/mercury-platform/{mercury.__version__}"

ERROR_CHARACTERS = 10_000
"""An error's message is cut off here."""


def event(told: Run, state: str, error: BaseException | None = None) -> RunEvent:
    """The event of a run that has come to a state (START, RUNNING, COMPLETE, FAIL, ABORT)."""
    return RunEvent(
        eventTime=dt.datetime.now(dt.UTC).isoformat(),
        eventType=RunState[state],
        run=RunOfEvent(told.id, _about_run(told, error)),
        job=Job(told.name.namespace, told.name.job, _about_job(told)),
        inputs=[_input(each) for each in told.inputs.values()],
        outputs=[_output(each) for each in told.outputs.values()],
        producer=PRODUCER,
    )


def _about_run(told: Run, error: BaseException | None) -> dict[str, Any]:
    engine = ProcessingEngineRunFacet(mercury.__version__, "mercury", producer=PRODUCER)
    facets: dict[str, Any] = {"processing_engine": engine}
    if told.parent is not None:
        job = ParentJob(told.parent.namespace, told.parent.job)
        facets["parent"] = ParentRunFacet(ParentRun(told.parent.id), job, producer=PRODUCER)
    if error is not None:
        text = f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]
        facets["errorMessage"] = ErrorMessageRunFacet(text, "python", producer=PRODUCER)
    return facets


def _about_job(told: Run) -> dict[str, Any]:
    assert told.settings is not None
    code = code_version(Path(told.settings.project))
    return {
        "jobType": JobTypeJobFacet("STREAMING" if told.streaming else "BATCH", "MERCURY", "JOB", producer=PRODUCER),
        "sourceCodeLocation": SourceCodeLocationJobFacet(code.kind, code.url, version=code.version, producer=PRODUCER),
    }


def _input(read: Dataset) -> InputDataset:
    facets: dict[str, Any] = {}
    if read.rows is not None:
        facets["inputStatistics"] = InputStatisticsInputDatasetFacet(rowCount=read.rows, producer=PRODUCER)
    if read.assertions:
        entries = [Assertion(**entry) for entry in read.assertions]
        facets["dataQualityAssertions"] = DataQualityAssertionsDatasetFacet(entries, producer=PRODUCER)
    return InputDataset(read.namespace, read.name, facets, facets=_version(read))


def _output(written: Dataset) -> OutputDataset:
    facets: dict[str, Any] = {}
    if written.rows is not None:
        facets["outputStatistics"] = OutputStatisticsOutputDatasetFacet(rowCount=written.rows, producer=PRODUCER)
    return OutputDataset(written.namespace, written.name, facets, facets=_version(written))


def _version(about: Dataset) -> dict[str, Any]:
    if about.version is None:
        return {}
    return {"version": DatasetVersionDatasetFacet(about.version, producer=PRODUCER)}
