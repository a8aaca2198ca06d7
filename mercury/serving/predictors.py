"""The predictors of a project that is served: champions on the online store, whose answers the monitors see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercury import models

if TYPE_CHECKING:
    from mercury.config import Settings
    from mercury.definitions import Model, Project
    from mercury.models import ModelVersion, Predictor
    from mercury.observability import Capture
    from mercury.runtime.metrics import Recorder


def predictors(project: Project, settings: Settings, recorder: Recorder | None = None) -> dict[str, Predictor]:
    """A predictor for every model of the project, by name; answers of a model that has a monitor are captured.

    Parameters
    ----------
    recorder : what is told about captured predictions; see `capture_recorder`.

    Raises as `mercury.models.predictors` does.
    """
    from mercury.observability.capture import capture_of

    watched = _watched(project)

    def capture(model: Model, champion: ModelVersion) -> Capture | None:
        return capture_of(model, champion, settings, recorder) if model.name in watched else None

    return models.predictors(project, settings, capture=capture)


def capture_recorder(project: Project) -> Recorder | None:
    """What a replica tells about captured predictions; None when no monitor of the project watches a model."""
    from mercury.observability.capture import CAPTURE_METRICS
    from mercury.runtime.metrics import shared_metrics

    return shared_metrics(CAPTURE_METRICS) if _watched(project) else None


def _watched(project: Project) -> set[str]:
    """Names of the models that a monitor of the project watches."""
    from mercury.definitions import Monitor

    return {monitor.model.name for monitor in project.of(Monitor) if monitor.model is not None}
